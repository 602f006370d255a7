// AWS Signature Version 4 in the query, as WebCrypto can do it: a request without headers of its own needs no CORS preflight.

export interface Keys {
  accessKey: string;
  secretKey: string;
  sessionToken: string; // of temporary keys, "" for none
}

const utf8 = new TextEncoder();

async function hmac(key: BufferSource, text: string): Promise<ArrayBuffer> {
  const k = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return crypto.subtle.sign('HMAC', k, utf8.encode(text));
}

const hex = (b: ArrayBuffer) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, '0')).join('');

// All but unreserved characters (RFC 3986 §2.3) are escaped; encodeURIComponent leaves five more.
const escape = (text: string) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** A GET of a URL that works for some seconds. The path of the URL has to be escaped as S3 does: see objectUrl. */
export async function presign(url: string, region: string, keys: Keys, seconds: number, now: Date): Promise<string> {
  const u = new URL(url);
  const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const query: [string, string][] = [
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${keys.accessKey}/${scope}`],
    ['X-Amz-Date', time],
    ['X-Amz-Expires', String(seconds)],
    ['X-Amz-SignedHeaders', 'host'],
  ];
  if (keys.sessionToken) query.push(['X-Amz-Security-Token', keys.sessionToken]);
  const text = query.map(([k, v]) => `${escape(k)}=${escape(v)}`).sort().join('&');
  const request = ['GET', u.pathname, text, `host:${u.host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', time, scope, hex(await crypto.subtle.digest('SHA-256', utf8.encode(request)))].join('\n');
  let key: BufferSource = utf8.encode(`AWS4${keys.secretKey}`);
  for (const part of scope.split('/')) key = await hmac(key, part);
  return `${u.origin}${u.pathname}?${text}&X-Amz-Signature=${hex(await hmac(key, toSign))}`;
}

/** The URL of an object in a bucket, by the bucket's URL, which ends in /. */
export function objectUrl(bucket: string, key: string): string {
  return bucket + key.split('/').map(escape).join('/');
}
