// Compares what the library reported with what follows from the raw entries of the same page.
//
//   node check.mjs [DIR …]      default: capture events
//
// CLS: sum of the largest session window (gap < 1 s, span < 5 s, no recent input), to 1e-9.
// INP: longest interaction, one in 50 passed over; to the millisecond. The browser hands out
// entries from 40 ms on, and the first input: below 40 ms there may be nothing to compare.
// A CLS that differs fails; INP differences are listed (see README.md).
import { readFile } from "node:fs/promises";

const read = async (path) => (await readFile(path, "utf8")).split("\n").filter(Boolean).map((line) => JSON.parse(line));

function cls(shifts) {
  let best = 0, sum = 0, first = 0, last = 0;
  for (const { startTime, value, hadRecentInput } of shifts) {
    if (hadRecentInput) continue;
    if (sum !== 0 && startTime - last < 1000 && startTime - first < 5000) sum += value;
    else { sum = value; first = startTime; }
    last = startTime;
    best = Math.max(best, sum);
  }
  return best;
}

function inp(events) {
  const longest = new Map();
  for (const { interactionId, duration } of events)
    if (interactionId > 0) longest.set(interactionId, Math.max(duration, longest.get(interactionId) ?? 0));
  const sorted = [...longest.values()].sort((a, b) => b - a).slice(0, 10);
  const count = Math.max(0, ...events.map((e) => e.interactionCount));
  return sorted[Math.min(sorted.length - 1, Math.floor(count / 50))];
}

const by = (rows) => Map.groupBy ? Map.groupBy(rows, (r) => r.navigationId)
  : rows.reduce((m, r) => m.set(r.navigationId, [...(m.get(r.navigationId) ?? []), r]), new Map());

let wrong = 0;
for (const dir of process.argv.length > 2 ? process.argv.slice(2) : ["capture", "events"]) {
  const names = dir.endsWith("events") ? ["cls", "inp-events", "beacons"] : ["cls-stream", "inp-events-stream", "beacons"];
  const [shifts, events, beacons] = await Promise.all(names.map((n) => read(`${dir}/${n}.jsonl`)));
  const [shiftsBy, eventsBy] = [by(shifts), by(events)];
  const tally = { CLS: [0, 0], INP: [0, 0], none: 0 };
  // A metric may be reported again with the same id: the last report counts.
  const final = new Map(beacons.map((b) => [b.navigationId + b.name, b]));
  for (const { name, navigationId, value } of final.values()) {
    let ours;
    if (name === "CLS") ours = cls(shiftsBy.get(navigationId) ?? []);
    else if (name === "INP") ours = inp(eventsBy.get(navigationId) ?? []);
    else continue;
    if (ours === undefined) { tally.none += 1; continue; }
    const same = Math.abs(ours - value) <= (name === "CLS" ? 1e-9 : 0.5);
    tally[name][same ? 0 : 1] += 1;
    if (!same && name === "CLS") wrong += 1;
    if (!same) console.log(`${dir} ${navigationId} ${name}: library ${value}, from raw entries ${ours}`);
  }
  console.log(`${dir}: CLS ${tally.CLS[0]} equal, ${tally.CLS[1]} not; INP ${tally.INP[0]} equal, ${tally.INP[1]} not; INP without a raw entry ${tally.none}`);
}
process.exitCode = wrong > 0 ? 1 : 0;
