// Event streams (HTML, Server-sent events) and lines of JSON as lists, and what a language model said in one.

export interface StreamEvent {
  event: string;
  id: string;
  data: string;
}

const maxEvents = 100_000;

/** The events of a body, as a browser reads them. */
export function events(text: string): StreamEvent[] {
  const out: StreamEvent[] = [];
  let data: string[] = [];
  let event = '';
  let id = '';
  let at = text.startsWith('\ufeff') ? 1 : 0;
  const lineEnd = /\r\n|\r|\n/g;
  while (at < text.length && out.length < maxEvents) {
    lineEnd.lastIndex = at;
    const m = lineEnd.exec(text);
    if (!m) break; // a line without an end is not a line yet
    const line = text.slice(at, m.index);
    at = lineEnd.lastIndex;
    if (line === '') {
      if (data.length > 0) out.push({ event: event || 'message', id, data: data.join('\n') });
      data = [];
      event = '';
      continue;
    }
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (name === 'data') data.push(value);
    else if (name === 'event') event = value;
    else if (name === 'id' && !value.includes('\0')) id = value;
  }
  return out;
}

/** Lines of JSON; null when some line is none. The last may be cut. */
export function jsonSequence(text: string, cut: boolean): string[] | null {
  const lines = text.split('\n').map((l) => l.trim()).filter(Boolean);
  if (lines.length < 2 || lines.length > maxEvents) return null;
  for (const [i, line] of lines.entries()) {
    if (!/^[[{]/.test(line)) return null;
    try {
      JSON.parse(line);
    } catch {
      if (!cut || i < lines.length - 1) return null;
    }
  }
  return lines;
}

/** What a model wrote piece by piece, put together; "" when these are not the events of one that is known. */
export function assemble(data: string[]): string {
  let out = '';
  for (const text of data) {
    if (text[0] !== '{') continue;
    let v: unknown;
    try {
      v = JSON.parse(text);
    } catch {
      continue;
    }
    out += delta(v);
  }
  return out;
}

interface Shapes {
  choices?: { delta?: { content?: unknown }; text?: unknown }[]; // OpenAI: chat, completions
  type?: unknown;
  delta?: unknown; // OpenAI responses, or Anthropic
  candidates?: { content?: { parts?: { text?: unknown }[] } }[]; // Gemini
  message?: { content?: unknown }; // Ollama: chat
  response?: unknown; // Ollama: generate
  done?: unknown;
}

function delta(v: unknown): string {
  const e = v as Shapes;
  const text = (x: unknown) => (typeof x === 'string' ? x : '');
  if (Array.isArray(e.choices)) return e.choices.map((c) => text(c?.delta?.content) || text(c?.text)).join('');
  if (e.type === 'content_block_delta') return text((e.delta as { text?: unknown } | undefined)?.text);
  if (e.type === 'response.output_text.delta') return text(e.delta);
  if (Array.isArray(e.candidates)) return e.candidates.map((c) => (c?.content?.parts ?? []).map((p) => text(p?.text)).join('')).join('');
  if (typeof e.done === 'boolean') return text(e.message?.content) || text(e.response);
  return '';
}
