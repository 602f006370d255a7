// Drives the page in Chromium. TestBrowser, TestViews and TestBrowserFirstScreen start it with what it needs in SCENARIO. Each scenario
// is a module of steps; with ONLY=exchange in the environment only that one runs.
import { finish, s } from './harness.mjs';

for (const scenario of s.scenarios) {
  if (process.env.ONLY && process.env.ONLY !== scenario) continue;
  console.log(scenario);
  await import(`./${scenario}.mjs`);
}
await finish();
