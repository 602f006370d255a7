import assert from 'node:assert/strict';
import { generateX25519Identity } from 'age-encryption';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BadKey, Damaged, forgetKey, hasKey, isSealed, NoKey, openSealed, setKey } from '../../src/lib/age.ts';
import { decrypt, Encrypted } from '../../src/exchange/decrypt.ts';
import { readLocal } from '../../src/exchange/zip.ts';

// Written by the collector's own packer: internal/archive, TestSealedFixture.
const fixture = JSON.parse(readFileSync(new URL('../../../../../internal/archive/testdata/sealed.json', import.meta.url), 'utf8'));
const entry = new Uint8Array(Buffer.from(fixture.entry, 'base64'));

test('an entry that the collector has encrypted', async () => {
  forgetKey();
  const sealed = await readLocal(entry, fixture.name);
  assert.ok(isSealed(sealed));
  assert.ok(!isSealed(new TextEncoder().encode(fixture.har)));
  assert.equal(hasKey(), false);
  await assert.rejects(openSealed(sealed), (e) => e instanceof NoKey && !e.given);
  await assert.rejects(decrypt(sealed), (e) => e instanceof Encrypted && e.how === 'age');

  await setKey(`# created: today\n# public key: age1…\n${fixture.identity}\n`);
  assert.ok(hasKey());
  assert.equal(new TextDecoder().decode(await decrypt(sealed)), fixture.har);

  const bad = sealed.slice();
  bad[bad.length - 20]! ^= 1;
  await assert.rejects(openSealed(bad), Damaged);
  forgetKey();
  await assert.rejects(openSealed(sealed), NoKey);
});

test('keys that open nothing', async () => {
  forgetKey();
  for (const text of ['', '# only a comment', 'hello', 'AGE-SECRET-KEY-1QQQ', 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p']) await assert.rejects(setKey(text), BadKey);
  assert.equal(hasKey(), false);
  await setKey(await generateX25519Identity());
  await assert.rejects(openSealed(await readLocal(entry, fixture.name)), (e) => e instanceof NoKey && e.given);
});
