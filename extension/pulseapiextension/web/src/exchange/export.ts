// Copies of an exchange: without secrets, or as it was.
import { fromBase64 } from './bytes.ts';
import { asText } from './bytes.ts';
import type { Entry } from './har.ts';
import { decode } from './look.ts';
import { cleanEntry } from './sanitise.ts';

/** A copy without secrets. Bodies are decoded first, so that it can be looked into them; what is no text then is left out. */
export async function cleanCopy(e: Entry): Promise<Entry> {
  const out = structuredClone(e);
  const post = out.request.postData;
  if (post?._encoding === 'base64') {
    const text = await readable(post.text, post._contentEncoding, post._truncated);
    if (text !== null) {
      post.text = text;
      delete post._encoding;
      delete post._contentEncoding;
      out.request.headers = out.request.headers.filter((h) => h.name.toLowerCase() !== 'content-encoding');
    }
  }
  const content = out.response.content;
  if (content.encoding === 'base64') {
    const text = await readable(content.text, content._contentEncoding, content._truncated);
    if (text !== null) {
      content.text = text;
      delete content.encoding;
      delete content._contentEncoding;
    }
  }
  return cleanEntry(out);
}

/**
 * An exchange and its parts as entries of a file, as tools know them: the messages, the events and the text of all parts are the
 * exchange's. A part that has bytes, or a body of its request, follows as an entry of its own.
 */
export function withParts(own: Entry, parts: Entry[]): Entry[] {
  if (parts.length === 0) return [own];
  const out = structuredClone(own);
  const rest: Entry[] = [];
  const content = out.response.content;
  for (const p of parts) {
    const c = p.response.content;
    if (c.encoding || (c.text && content.encoding) || p.request.postData?.text) {
      rest.push(p);
      continue;
    }
    if (p._webSocketMessages) {
      out._resourceType = 'websocket'; // makes browsers show them
      (out._webSocketMessages ??= []).push(...structuredClone(p._webSocketMessages));
    }
    if (p._eventStream) (out._eventStream ??= []).push(...structuredClone(p._eventStream));
    if (c.text) {
      content.text = (content.text ?? '') + c.text;
      content.size = (content.size ?? 0) + (c.size ?? 0);
      if (c._decoded) {
        content._decoded = true;
        delete content._contentEncoding;
      }
      if (c._truncated) content._truncated = true;
    }
  }
  return [out, ...rest];
}

async function readable(text: string | undefined, coding: string | undefined, truncated: boolean | undefined): Promise<string | null> {
  const d = await decode(fromBase64(text ?? ''), coding ?? '', truncated ?? false);
  return d.note.startsWith('Shown as sent') ? null : asText(d.bytes, truncated ?? false);
}
