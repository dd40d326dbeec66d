// Run following.json against a client's logic: node following.mjs, with the client of examples/node.
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Following } from "../../../examples/node/client.mjs";

const { cases } = JSON.parse(readFileSync(new URL("following.json", import.meta.url)));
let failed = 0;
for (const { name, steps } of cases) {
  const got = { shows: [], begins: [], forgets: [], asks: [] };
  const following = new Following({
    show: (conv, entry) => got.shows.push([conv, entry.seq]),
    begin: (...log) => got.begins.push(log),
    forget: (conv) => got.forgets.push(conv),
    ask: (...gap) => got.asks.push(gap),
  });
  for (const [number, step] of steps.entries()) {
    const [[key, value]] = Object.entries(step);
    if (key === "me") following.me = value;
    else if (key === "connected") following.sync();
    else if (key === "have") got.have = following.have();
    else if (!(key in got)) following[key](value);
    if (!(key in got) || isDeepStrictEqual(sorted(key, got[key]), sorted(key, value))) {
      if (key in got) got[key] = [];
      continue;
    }
    console.error(`FAILED ${name}: step ${number + 1}: ${key} ${JSON.stringify(got[key])}, not ${JSON.stringify(value)}`);
    failed++;
    break;
  }
}
console.log(`${cases.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

function sorted(key, value) {
  return key === "have" ? [...value].sort((a, b) => (a.conv < b.conv ? -1 : 1)) : value;
}
