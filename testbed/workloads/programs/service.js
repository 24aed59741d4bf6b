// A small service on UDP whose use of memory is known: `service.js MODE key=value...`, sizes in bytes, times in seconds.
"use strict";
const [mode, ...words] = process.argv.slice(2);
const of = Object.fromEntries(words.map((word) => word.split("=")).map(([key, value]) => [key, Number(value)]));
const some = (size) => Math.round(size * (0.5 + Math.random()));
const filled = (size) => Buffer.alloc(Math.round(size), 1);
const kept = new Map();
let count = 0;

const rows = (size) => {
  const found = [];
  for (let left = size; left > 0; left -= 100) found.push({ id: count, name: `row ${count} ${left}`, left });
  return found;
};

// where the runtime has its collector at hand (--expose-gc), what was let go is given back at once
const drop = (name) => {
  kept.delete(name);
  if (global.gc) global.gc();
};

const hold = (size, seconds) => {
  const name = {};
  kept.set(name, filled(size));
  setTimeout(drop, seconds * 1000, name);
};

const answer = () => of.request && hold(some(of.request), of.hold || 1);

const modes = {
  heap: () => kept.set(count, rows(some(of.each))),
  buffers: () => kept.set(count, filled(some(of.each))),
  sessions: () => hold(some(of.each), of.hold),
  // the answer to each of a bounded set of keys, asked for at random or (`scan`) in order
  cache: () => {
    const key = of.scan ? count % of.keys : Math.floor(Math.random() * of.keys);
    if (!kept.has(key)) kept.set(key, filled(of.each));
    answer();
  },
  burst: () => {
    answer();
    if (Math.random() < of.chance) hold(some(of.large), 1.2);
  },
  // a bounded live set of objects that are replaced all the time
  garbage: () => kept.set(count % of.keys, rows(of.each)),
  startup: answer,
};

const base = of.base ? filled(of.base) : null;

const serve = () => {
  kept.clear();
  if (global.gc) global.gc();
  const server = require("node:dgram").createSocket("udp4");
  server.on("message", (text, client) => {
    count += 1;
    modes[mode]();
    server.send(text, client.port, client.address);
  });
  server.bind(7000, "127.0.0.1");
};

// needs more in its first `seconds` than what it serves from afterwards
const start = (peak, left) => {
  if (left > 0) {
    kept.set(-left, filled(peak / of.seconds / 10));
    setTimeout(start, 100, peak, left - 1);
  } else setTimeout(serve, 1500);
};

if (mode === "startup") start(of.peak * (0.92 + 0.16 * Math.random()), Math.round(of.seconds * 10));
else serve();
process.on("exit", () => base);
