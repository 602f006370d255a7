// The one small bar that shows what can be done with a value: whatever has data-f (field) and data-v (value) gets it.
import type { Of } from './api.ts';

export interface Shown {
  field: string;
  value: string;
  of: Of;
  rect: DOMRect;
  asked: boolean; // by a click or a key, so it takes the focus
  anchor: HTMLElement;
}

class ValueBar {
  shown: Shown | null = $state.raw(null);

  open(anchor: HTMLElement, asked: boolean) {
    const { f, v, of } = anchor.dataset;
    if (!f || v === undefined) return;
    this.shown = { field: f, value: v, of: (of as Of) || 'requests', rect: anchor.getBoundingClientRect(), asked, anchor };
  }
  close() {
    const was = this.shown;
    this.shown = null;
    if (was?.asked) was.anchor.focus();
  }
}

export const valueBar = new ValueBar();
