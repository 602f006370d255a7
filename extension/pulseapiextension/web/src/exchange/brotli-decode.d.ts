// The decoder inside the package `brotli`, which takes its own input and output: the function that the package exports
// decodes any amount.
declare module 'brotli-decode' {
  export function BrotliDecompress(
    input: { read(to: Uint8Array, at: number, count: number): number },
    output: { buffer: { length: number }; write(b: Uint8Array, count: number): number },
  ): void;
}
