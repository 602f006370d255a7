// The user's own keys for the bucket, where Pulse has none. They stay in this tab: in memory, and in its sessionStorage so that a
// reload keeps them. They are sent to nobody; requests to the bucket carry a signature made with them.
import type { Keys } from './sigv4.ts';

const name = 'pulse.bucket-keys';

class BucketKeys {
  value: Keys | null = $state.raw(read());

  set(keys: Keys | null, remember: boolean) {
    this.value = keys;
    try {
      if (keys && remember) sessionStorage.setItem(name, JSON.stringify(keys));
      else sessionStorage.removeItem(name);
    } catch {
      // storage is switched off: memory has to do
    }
  }
}

function read(): Keys | null {
  try {
    const v = JSON.parse(sessionStorage.getItem(name) ?? 'null');
    return typeof v?.accessKey === 'string' && typeof v.secretKey === 'string' ? { accessKey: v.accessKey, secretKey: v.secretKey, sessionToken: String(v.sessionToken ?? '') } : null;
  } catch {
    return null;
  }
}

export const bucketKeys = new BucketKeys();
