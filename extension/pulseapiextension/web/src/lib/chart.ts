/** One line, or one part of a stack, of parts/Chart.svelte. */
export interface Series {
  label: string;
  color: string; // the name of a variable of app.css: --s5
  values: (number | null)[]; // one for each time; null where there is none
}
