// Messages with five bytes before each: gRPC, gRPC-Web and Connect streams.
import { fromBase64, mediaType } from './bytes.ts';

export interface Frame {
  compressed: boolean;
  trailer: boolean; // of gRPC-Web and Connect: fields, not a message
  size: number; // as the frame says
  data: Uint8Array; // less than size when the body is cut
}

/** Whether a body of this type has frames. */
export function framed(contentType: string): boolean {
  return /^application\/(grpc(-web)?(-text)?|connect)(\+|$)/.test(mediaType(contentType));
}

const maxFrames = 10_000;

/** The frames of a body; what does not fit the format at its end is left out and counted. */
export function frames(body: Uint8Array, contentType: string): { frames: Frame[]; rest: number } {
  const type = mediaType(contentType);
  let bytes = body;
  if (type.includes('grpc-web-text')) {
    try {
      bytes = fromBase64(new TextDecoder('latin1').decode(body));
    } catch {
      return { frames: [], rest: body.length };
    }
  }
  const trailerBit = type.includes('connect') ? 2 : type.includes('grpc-web') ? 0x80 : 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: Frame[] = [];
  let at = 0;
  while (at + 5 <= bytes.length && out.length < maxFrames) {
    const flags = bytes[at]!;
    if (flags & ~(1 | trailerBit)) break;
    const size = view.getUint32(at + 1);
    const data = bytes.subarray(at + 5, at + 5 + size);
    out.push({ compressed: (flags & 1) !== 0, trailer: (flags & trailerBit) !== 0, size, data });
    at += 5 + data.length;
  }
  return { frames: out, rest: bytes.length - at };
}
