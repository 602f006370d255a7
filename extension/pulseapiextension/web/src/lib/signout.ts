import { bucketKeys } from '../exchange/keys.svelte.ts';
import { forgetKey } from './age.ts';
import { deleteSession } from './api.ts';

/** Ends the session and forgets every key that was given to this tab, whether or not Pulse answers. */
export async function signOut(): Promise<void> {
  bucketKeys.set(null, false);
  forgetKey();
  await deleteSession().catch(() => {});
  location.reload(); // what was loaded goes with the page
}
