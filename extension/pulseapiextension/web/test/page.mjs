// Drives the page in Chromium. TestBrowser and TestBrowserFirstScreen start it with what it needs in SCENARIO. Each scenario is a
// module of steps; with ONLY=exchange in the environment only that one runs.
import { finish, s } from './harness.mjs';

const only = s.only ?? process.env.ONLY;
for (const scenario of only ? [only] : ['shell', 'requests', 'exchange', 'views']) {
  console.log(scenario);
  await import(`./${scenario}.mjs`);
}
await finish();
