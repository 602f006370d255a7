import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  resolve: { alias: { 'brotli-decode': new URL('node_modules/brotli/dec/decode.js', import.meta.url).pathname } },
  base: './', // works behind any path prefix
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: ['chrome125', 'firefox128', 'safari18'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
});
