// SPDX-License-Identifier: Apache-2.0

// An HTTP server or client of node whose payloads say which connection and which process they
// belong to: the truth of the attribution tests. A certificate's folder makes it HTTPS.
//   node peer.js serve <port> [folder]
//   node peer.js ask <url> <connections> <requests of each>
"use strict"
const fs = require("fs")
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
process.removeAllListeners("warning")
const pad = (n, width) => String(n).padStart(width, "0")
const marker = (seq, port) => `seq=${pad(seq, 7)} port=${pad(port, 5)} pid=${pad(process.pid, 7)}\n` + "x".repeat(seq * 7919 % 1999)
const read = (from, then) => {
  let b = ""
  from.on("data", d => b += d)
  from.on("end", () => then(b))
}

const [what, ...args] = process.argv.slice(2)
if (what == "serve") {
  const [port, dir] = args
  const answer = (q, r) => read(q, b => r.end(marker(+b.slice(4, 11), q.socket.remotePort)))
  const server = dir
    ? require("https").createServer({ key: fs.readFileSync(dir + "/key.pem"), cert: fs.readFileSync(dir + "/cert.pem") }, answer)
    : require("http").createServer(answer)
  server.keepAliveTimeout = 60000
  server.listen(+port, "127.0.0.1", 1024)
} else {
  const [url, conns, requests] = [args[0], +args[1], +args[2]]
  const secure = url.startsWith("https:"), http = require(secure ? "https" : "http")
  let open = conns
  for (let c = 0; c < conns; c++) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const ask = n => {
      if (n == requests) {
        agent.destroy()
        if (--open == 0) process.exit(0)
        return
      }
      const seq = c * requests + n
      const q = http.request(url + "/" + seq, { method: "POST", agent, headers: { "Content-Length": marker(seq, 0).length } }, r => read(r, b => {
        if (!b.startsWith(`seq=${pad(seq, 7)} port=${pad(q.socket.localPort, 5)} `)) {
          console.error("answer", b.slice(0, 40), "to", seq, q.socket.localPort)
          process.exit(1)
        }
        ask(n + 1)
      }))
      q.on("socket", s => {
        const send = () => q.end(marker(seq, s.localPort))
        s.connecting ? s.once(secure ? "secureConnect" : "connect", send) : send()
      })
    }
    ask(0)
  }
}
