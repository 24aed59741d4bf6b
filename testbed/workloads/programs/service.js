// A small service on UDP whose use of memory is known: `service.js MODE key=value...`, sizes in bytes, times in seconds.
"use strict";
const [mode, ...words] = process.argv.slice(2);
const of = Object.fromEntries(words.map((word) => word.split("=")).map(([key, value]) => [key, Number(value)]));
const some = (size) => Math.round(size * (0.5 + Math.random()));
const kept = new Map();
let count = 0;

const modes = {
  heap: () => {
    const rows = [];
    for (let left = some(of.each); left > 0; left -= 100) rows.push({ id: count, name: `row ${count} ${left}`, left });
    kept.set(count, rows);
  },
  buffers: () => kept.set(count, Buffer.alloc(some(of.each), 1)),
  sessions: () => {
    const name = count;
    kept.set(name, Buffer.alloc(some(of.each), 1));
    setTimeout(() => kept.delete(name), of.hold * 1000);
  },
};

const base = of.base ? Buffer.alloc(of.base, 1) : null;
const server = require("node:dgram").createSocket("udp4");
server.on("message", (text, client) => {
  count += 1;
  modes[mode]();
  server.send(text, client.port, client.address);
});
server.bind(7000, "127.0.0.1");
process.on("exit", () => base);
