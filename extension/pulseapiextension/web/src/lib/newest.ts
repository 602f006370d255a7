// The first question of the list of requests.
import type { Query } from './api.ts';

export interface Which {
  filter: string;
  from: string;
  to: string;
}

const firstPage = 200; // shows at once

export const newest = (which: Which, live: boolean): Query => ({ ...which, to: live ? '' : which.to, limit: firstPage });
