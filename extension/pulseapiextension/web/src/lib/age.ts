// Opens what qpoint_s3 has encrypted to age recipients (https://age-encryption.org/v1). The key is the user's: it stays in the memory of
// this tab, is written nowhere, sent to nobody, and a reload forgets it. The library is loaded when the first key is given.
import type { Decrypter } from 'age-encryption';
import { inflate } from './inflate.ts';

/** What the names of encrypted entries end with: `age -d` and then `gunzip` give the HAR. */
export const sealedSuffix = '.gz.age';

const magic = new TextEncoder().encode('age-encryption.org/v1\n');
const maxPlain = 256 << 20;

/** The text is no key that opens anything. */
export class BadKey extends Error {}
/** No key was given, or none of those that were given is that of a recipient. */
export class NoKey extends Error {
  readonly given: boolean;
  constructor(given: boolean) {
    super(given ? 'another key is needed' : 'a key is needed');
    this.given = given;
  }
}
/** A key fits, but the bytes are not what was encrypted. */
export class Damaged extends Error {}

export function isSealed(bytes: Uint8Array): boolean {
  return magic.every((b, i) => bytes[i] === b);
}

let keys: Decrypter | null = null;

export function hasKey(): boolean {
  return keys !== null;
}

export function forgetKey(): void {
  keys = null;
}

/** Takes an identity, or a file of them as `age-keygen` writes it: AGE-SECRET-KEY-1… on a line of its own. */
export async function setKey(text: string): Promise<void> {
  const { Decrypter } = await import('age-encryption');
  const next = new Decrypter();
  let some = false;
  for (const line of text.split(/\r?\n/)) {
    const one = line.trim();
    if (!one || one.startsWith('#')) continue;
    if (/^age1/.test(one)) throw new BadKey('This is a recipient, the public half. The key begins with AGE-SECRET-KEY-.');
    try {
      next.addIdentity(one);
      some = true;
    } catch {
      throw new BadKey('This is no key of age. One begins with AGE-SECRET-KEY- and is printed by age-keygen.');
    }
  }
  if (!some) throw new BadKey('There is no key in this text.');
  keys = next;
}

/** The plain bytes of a whole encrypted entry. */
export async function openSealed(bytes: Uint8Array): Promise<Uint8Array> {
  if (!keys) throw new NoKey(false);
  let packed: Uint8Array;
  try {
    packed = await keys.decrypt(bytes);
  } catch (err) {
    if (err instanceof Error && /identit/i.test(err.message)) throw new NoKey(true);
    throw new Damaged(err instanceof Error ? err.message : '');
  }
  const out = await inflate(packed, 'gzip', maxPlain);
  if (!out.complete) throw new Damaged(out.bytes.length === maxPlain ? 'it is too large' : 'it does not inflate');
  return out.bytes;
}
