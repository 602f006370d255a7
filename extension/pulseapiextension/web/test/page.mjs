// Drives the page in Chromium. TestBrowser starts it with what it needs in SCENARIO. Each scenario is a module of steps; with
// ONLY=exchange in the environment only that one runs.
import { finish } from './harness.mjs';

for (const scenario of ['shell', 'requests', 'exchange', 'hostile', 'views']) {
  if (process.env.ONLY && process.env.ONLY !== scenario) continue;
  console.log(scenario);
  await import(`./${scenario}.mjs`);
}
await finish();
