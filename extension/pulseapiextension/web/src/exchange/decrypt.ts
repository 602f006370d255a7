// The seam between the bytes of an entry and the HAR in them: what was encrypted on its way to the bucket is opened here.
import { isSealed, NoKey, openSealed } from '../lib/age.ts';

/** The payload is encrypted, and this page has no key for it. */
export class Encrypted extends Error {
  readonly how: string;
  constructor(how: string) {
    super(`encrypted by ${how}`);
    this.how = how;
  }
}

/** The plain bytes of an entry, which has to be whole when it is encrypted. */
export async function decrypt(bytes: Uint8Array): Promise<Uint8Array> {
  if (!isSealed(bytes)) return bytes;
  try {
    return await openSealed(bytes);
  } catch (err) {
    if (err instanceof NoKey) throw new Encrypted('age');
    throw err;
  }
}
