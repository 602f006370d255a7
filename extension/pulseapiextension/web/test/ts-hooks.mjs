import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { compileModule } from 'svelte/compiler';
import ts from 'typescript';

const brotli = new URL('../node_modules/brotli/dec/decode.js', import.meta.url).href; // as in vite.config.ts

export const resolve = (name, context, next) => (name === 'brotli-decode' ? { url: brotli, shortCircuit: true } : next(name, context));

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const fileName = fileURLToPath(url);
  const { outputText } = ts.transpileModule(await readFile(fileName, 'utf8'), {
    fileName,
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true, inlineSourceMap: true },
  });
  // Runes, as a server has them: values that change, and no page that follows.
  const source = fileName.endsWith('.svelte.ts') ? compileModule(outputText, { filename: fileName, generate: 'server' }).js.code : outputText;
  return { format: 'module', source, shortCircuit: true };
}
