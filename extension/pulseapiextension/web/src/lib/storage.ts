// What a person prefers, kept by the browser. No row and no payload is put here; the filters of saved views may hold captured values.
export const store = {
  get(key: string): string {
    try {
      return localStorage.getItem(`pulse.${key}`) ?? '';
    } catch {
      return ''; // storage is switched off
    }
  },
  set(key: string, value: string) {
    try {
      if (value) localStorage.setItem(`pulse.${key}`, value);
      else localStorage.removeItem(`pulse.${key}`);
    } catch {
      // it holds for this visit only
    }
  },
};
