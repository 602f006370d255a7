import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateX25519Identity } from 'age-encryption';

test('signing out forgets the keys, even when Pulse does not answer', async () => {
  const kept = new Map([['pulse.bucket-keys', JSON.stringify({ accessKey: 'a', secretKey: 's' })]]);
  const did: string[] = [];
  // What a browser has and node lacks.
  Object.assign(globalThis, {
    sessionStorage: { getItem: (k: string) => kept.get(k) ?? null, setItem: (k: string, v: string) => kept.set(k, v), removeItem: (k: string) => kept.delete(k) },
    location: { reload: () => did.push('reload') },
  });
  const real = globalThis.fetch;
  globalThis.fetch = async (to, init) => {
    did.push(`${init?.method} ${String(to)}`);
    throw new TypeError('no answer');
  };
  try {
    const { bucketKeys } = await import('../../src/exchange/keys.svelte.ts');
    const { hasKey, setKey } = await import('../../src/lib/age.ts');
    const { signOut } = await import('../../src/lib/signout.ts');
    await setKey(await generateX25519Identity());
    assert.ok(bucketKeys.value && hasKey());
    await signOut();
    assert.deepEqual([bucketKeys.value, hasKey(), kept.size], [null, false, 0]);
    assert.deepEqual(did, ['DELETE api/v1/session', 'reload']);
  } finally {
    globalThis.fetch = real;
  }
});
