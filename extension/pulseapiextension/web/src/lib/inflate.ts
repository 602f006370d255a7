/** Undoes gzip, deflate or what else the browser can, as far as the bytes go and up to limit bytes. complete: everything, and no error. */
export async function inflate(packed: Uint8Array, format: string, limit: number): Promise<{ bytes: Uint8Array; complete: boolean }> {
  const stream = new DecompressionStream(format as CompressionFormat);
  const writer = stream.writable.getWriter();
  // Errors come out of the reader as well; here they would only be unhandled.
  writer.write(packed as Uint8Array<ArrayBuffer>).then(() => writer.close()).catch(() => {});
  const reader = stream.readable.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  let complete = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        complete = true;
        break;
      }
      parts.push(value);
      length += value.length;
      if (length > limit) {
        reader.cancel().catch(() => {});
        break;
      }
    }
  } catch {
    // what was inflated before the error is still of use
  }
  const bytes = new Uint8Array(length);
  let p = 0;
  for (const part of parts) {
    bytes.set(part, p);
    p += part.length;
  }
  return { bytes: bytes.subarray(0, limit), complete };
}
