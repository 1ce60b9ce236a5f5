// An OpenID provider for one test: the npm package oidc-provider, with a client that has no secret.
//   node provider.mjs FOLDER     FOLDER/node_modules holds the package
// Prints its issuer, then serves until its standard input is closed. Anybody signs in with any
// password; access tokens name NAME@corp.example, or the very address that somebody signs in by,
// with a further one. It knows two servers that tokens are for, by
// JWT, and gives opaque tokens to whoever names none.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join, resolve } from 'node:path';

const require = createRequire(join(resolve(process.argv[2]), 'package.json'));
const { default: Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')));

const SERVERS = ['https://rms.corp.example/', 'https://other.corp.example/'];
const mail = (account) => (account.includes('@') ? account : `${account}@corp.example`);
const further = (account) => [`smtp:also.${mail(account)}`];

const http = createServer();
await new Promise((ready) => http.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${http.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'rms',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
  }],
  claims: { openid: ['sub'], email: ['email'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: mail(id) }) }),
  extraTokenClaims: (_, token) => ({
    email: mail(token.accountId),
    proxyAddresses: further(token.accountId),
  }),
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(_, resource) {
        if (!SERVERS.includes(resource)) throw new errors.InvalidTarget();
        return {
          scope: 'rms.use',
          audience: resource,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        };
      },
    },
  },
});
http.on('request', provider.callback());
process.stdin.on('close', () => process.exit()).resume();
console.log(issuer);
// Whoever has read that may close the pipe, and the package goes on talking.
console.log = console.info = console.error;
