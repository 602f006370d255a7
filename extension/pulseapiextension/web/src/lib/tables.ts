/** What the tables of the store hold, in a few words. See internal/pulsestore/migrations. */
export const tableWords: Record<string, string> = {
  requests: 'one row per request and observed end',
  connections: 'records of connections',
  payload_objects: 'what became of each segment of payloads',
  payload_entries: 'where in a segment each exchange lies',
  coverage: 'what hosts see and what not',
  dns: 'names that were resolved',
  findings: 'kinds and places of sensitive data, no values',
  audit: 'who asked for which payload',
  requests_1m: 'sums by minute and endpoint',
  requests_1h: 'sums by hour and endpoint',
  processes_1m: 'sums by minute and program',
  processes_1h: 'sums by hour and program',
};
