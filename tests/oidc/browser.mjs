#!/usr/bin/env node
// A browser with a person in front of it, for tests: opens the address it is given, fills in the
// forms of the provider's pages, and follows where they lead.
//   OIDC_PERSON=alice            who signs in
//   OIDC_PERSON_DOES=declines    presses "Cancel" instead
//   OIDC_PERSON_DOES=is-tricked  comes back with the answer to somebody else's sign-in
const person = process.env.OIDC_PERSON ?? 'nobody';
const does = process.env.OIDC_PERSON_DOES ?? 'signs-in';
const cookies = new Map();

async function visit(url, form) {
  const answer = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form && new URLSearchParams(form),
    headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
    redirect: 'manual',
  });
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
    if (value) cookies.set(name, value);
    else cookies.delete(name);
  }
  return answer;
}

async function browse(start) {
  let url = start;
  let answer = await visit(url);
  for (let steps = 0; steps < 20; steps += 1) {
    const location = answer.headers.get('location');
    if (location) {
      url = new URL(location, url);
      if (url.pathname === '/callback' && does === 'is-tricked') url.searchParams.set('state', 'x');
      answer = await visit(url);
      if (url.pathname === '/callback') return;
      continue;
    }
    const page = await answer.text();
    const action = page.match(/<form [^>]*action="([^"]+)"/);
    if (!action) throw new Error(`no form at ${url}: ${page}`);
    if (does === 'declines') {
      url = new URL(page.match(/<a href="([^"]+\/abort)"/)[1], url);
      answer = await visit(url);
    } else {
      const hidden = page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g);
      const form = Object.fromEntries([...hidden].map(([, name, value]) => [name, value]));
      if (form.prompt === 'login') Object.assign(form, { login: person, password: 'any' });
      url = new URL(action[1], url);
      answer = await visit(url, form);
    }
  }
  throw new Error(`no end at ${url}`);
}

const start = new URL(process.argv[2]);
try {
  await browse(start);
} catch (error) {
  // Nobody waits for minutes to see a test fail.
  const back = new URL(start.searchParams.get('redirect_uri'));
  back.searchParams.set('state', start.searchParams.get('state'));
  back.searchParams.set('error', 'test_browser');
  back.searchParams.set('error_description', `${error}: ${error.cause}`);
  await visit(back);
}
