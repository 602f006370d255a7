// Lets node run the page's TypeScript as it is: `node --import ./test/ts.mjs --test test/unit/*.test.ts`. Types are erased by
// the compiler that checks them; node 20 cannot do that by itself.
import { register } from 'node:module';

register('./ts-hooks.mjs', import.meta.url);
