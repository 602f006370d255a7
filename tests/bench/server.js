// SPDX-License-Identifier: Apache-2.0
// The node server that is watched: node server.js <folder> <port> <port for TLS>
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const [dir, plain, over] = process.argv.slice(2);
const bodies = new Map(['file', 'big'].map((name) => ['/' + name, fs.readFileSync(`${dir}/${name}`)]));
function answer(request, response) {
  const body = bodies.get(request.url);
  if (!body) {
    response.writeHead(404, { 'Content-Length': 0 }).end();
    return;
  }
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': body.length });
  response.end(body);
}
for (const [server, port] of [
  [http.createServer(answer), plain],
  [https.createServer({ key: fs.readFileSync(`${dir}/key.pem`), cert: fs.readFileSync(`${dir}/cert.pem`), minVersion: 'TLSv1.3' }, answer), over],
]) {
  server.keepAliveTimeout = 300000;
  server.listen(Number(port), '127.0.0.1', 4096);
}
