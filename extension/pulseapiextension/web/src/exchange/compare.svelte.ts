/** The exchange that the next one is to be compared with, for as long as the page is open. */
class Mark {
  value: { trace: string; span: string; title: string } | null = $state.raw(null);
}
export const mark = new Mark();
