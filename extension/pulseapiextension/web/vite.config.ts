import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

// The view that is opened first is loaded beside the page's own code, not after it.
function firstView(file: string): Plugin {
  return {
    name: 'first-view',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((c) => c.type === 'chunk');
        const view = chunks.find((c) => c.facadeModuleId?.endsWith(file));
        if (!view) throw new Error(`no chunk of ${file}`);
        const all = [view, ...view.imports.map((name) => chunks.find((c) => c.fileName === name)!)].filter((c) => !c.isEntry && !html.includes(c.fileName));
        const link = (rel: string, name: string) => ({ tag: 'link', attrs: { rel, crossorigin: true, href: `./${name}` }, injectTo: 'head' as const });
        return [...all.map((c) => link('modulepreload', c.fileName)), ...all.flatMap((c) => [...(c.viteMetadata?.importedCss ?? [])]).map((name) => link('stylesheet', name))];
      },
    },
  };
}

export default defineConfig({
  plugins: [svelte(), firstView('views/Requests.svelte')],
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
