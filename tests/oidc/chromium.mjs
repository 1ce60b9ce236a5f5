#!/usr/bin/env node
// A person in front of a real browser, for tests: opens Chromium at the address it is given, types
// into the provider's forms, and waits for the page that the program shows at the end.
//   OIDC_PERSON=alice       who signs in
//   OIDC_PICTURE=FILE.png   takes a picture of the last page
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '../../target/oidc/package.json'));
const { chromium } = require('playwright-core');

const start = process.argv[2];
const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  // Nothing here is to be reached but the pages of the test.
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(start);
  await page.fill('input[name=login]', process.env.OIDC_PERSON ?? 'nobody');
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  // The provider asks once more, whether the program may know.
  await page.click('button[type=submit]');
  await page.waitForURL((url) => url.pathname === '/callback');
  if (process.env.OIDC_PICTURE) await page.screenshot({ path: process.env.OIDC_PICTURE });
} catch (error) {
  // Nobody waits for minutes to see a test fail.
  const asked = new URL(start).searchParams;
  const back = new URL(asked.get('redirect_uri'));
  back.searchParams.set('state', asked.get('state'));
  back.searchParams.set('error', 'test_browser');
  back.searchParams.set('error_description', `${error}`);
  await fetch(back);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
