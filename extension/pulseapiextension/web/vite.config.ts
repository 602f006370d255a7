import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

// What the first screen is made of, in one script and one style sheet: the browser asks for each file anew.
const first = new Set<string>();
const firstScreen: Plugin = {
  name: 'first-screen',
  apply: 'build',
  buildEnd() {
    const walk = (id: string) => {
      if (first.has(id)) return;
      first.add(id);
      this.getModuleInfo(id)?.importedIds.forEach(walk);
    };
    for (const id of this.getModuleIds()) if (this.getModuleInfo(id)?.isEntry) walk(id);
  },
};

export default defineConfig({
  plugins: [svelte(), firstScreen],
  resolve: { alias: { 'brotli-decode': new URL('node_modules/brotli/dec/decode.js', import.meta.url).pathname } },
  base: './', // works behind any path prefix
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: ['chrome125', 'firefox128', 'safari18'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'first', test: (id) => first.has(id) }] } } },
    reportCompressedSize: true,
  },
});
