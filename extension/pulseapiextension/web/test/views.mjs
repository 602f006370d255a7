// Every view but the requests.
import assert from 'node:assert/strict';
import { accessible, everyLook, shot, signedIn, step } from './harness.mjs';

const page = await signedIn('#/coverage');

await step('coverage: what is not seen, why, and what to do', async () => {
  const notSeen = page.getByRole('region', { name: /^Not seen/ });
  await notSeen.getByRole('row', { name: '/usr/bin/java 1,234 no secret let it write a key log' }).waitFor();
  await page.getByRole('region', { name: /^Missing on the host/ }).getByRole('row', { name: 'uprobe_multi kernel since Linux 6.6, perf uprobes are used instead' }).waitFor();
  await page.getByRole('region', { name: /^Given up/ }).getByRole('row', { name: 'ring 42 packet raise ring_size_mib' }).waitFor();
  await page.getByRole('region', { name: /^Seen/ }).getByRole('row', { name: '/usr/bin/curl 7' }).waitFor();
  const there = page.getByRole('region', { name: /^There/ });
  await there.getByRole('row', { name: '/usr/lib/libcrypto.so.3' }).waitFor();
  assert.equal(await there.getByRole('row').count(), 3);
  assert.equal(await page.title(), 'Coverage · Pulse');
  await accessible(page, 'coverage');
  await everyLook('#/coverage', async (p, look) => {
    await p.getByRole('region', { name: /^Not seen/ }).waitFor();
    await shot(p, `coverage-${look}`);
  });
});

await page.context().close();
