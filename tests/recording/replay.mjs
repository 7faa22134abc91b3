// Re-times the recorded visits: 20 minutes of event time out of 3 minutes of recording.
//
//   node replay.mjs [--seed 7] [--start 2026-11-24T09:00:00Z] [--visits 330] [--from capture] [--out events]
//
// A visit (one session with all that it sent) is drawn with replacement and moved in time as a
// whole; values, order inside the visit and the delay between event and arrival stay as recorded.
// Sessions, navigations and metric ids get a suffix, so that a visit played twice is two visits.
// Minutes 0–12: healthy and special visits. 12–18: 85 % slow ones. 18–20: healthy again.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { plan, random } from "./plan.mjs";

const { values: args } = parseArgs({
  options: {
    seed: { type: "string", default: "7" },
    start: { type: "string", default: "2026-11-24T09:00:00Z" },
    visits: { type: "string", default: "330" },
    from: { type: "string", default: "capture" },
    out: { type: "string", default: "events" },
  },
});
const FILES = { lcp: "lcp-stream", fcp: "fcp-stream", ttfb: "ttfb-stream", inp: "inp-stream", cls: "cls-stream", "inp-events": "inp-events-stream", beacons: "beacons" };
const MINUTES = 20;
const slowFrom = 12, slowTo = 18;

const recorded = new Map(); // session → rows, each with the file it belongs to
for (const [file, topic] of Object.entries(FILES))
  for (const line of (await readFile(`${args.from}/${topic}.jsonl`, "utf8")).split("\n").filter(Boolean)) {
    const row = JSON.parse(line);
    // Of the library's own objects the two that can be recomputed from raw entries are enough.
    if (file === "beacons" && row.name !== "CLS" && row.name !== "INP") continue;
    if (!recorded.has(row.sessionId)) recorded.set(row.sessionId, []);
    recorded.get(row.sessionId).push({ file, row });
  }
const pools = { healthy: [], slow: [], special: [] };
for (const visit of plan()) if (recorded.has(`s-${visit.id}`)) pools[visit.pool].push(`s-${visit.id}`);

const rnd = random(Number(args.seed));
const pick = (list) => list[Math.floor(rnd() * list.length)];
const startMs = Date.parse(args.start);
const stamp = (ms) => new Date(ms).toISOString();
const arrivals = [];
const total = Number(args.visits);
for (let i = 0; i < total; i++) {
  // One visit in each of `total` equal slots, at a random place inside it.
  const minute = ((i + rnd()) / total) * MINUTES;
  const slow = minute >= slowFrom && minute < slowTo;
  const pool = slow ? (rnd() < 0.85 ? "slow" : "healthy") : rnd() < 0.12 ? "special" : "healthy";
  const session = pick(pools[pool]);
  const rows = recorded.get(session);
  const first = Math.min(...rows.map(({ row }) => Date.parse(row.timestamp)));
  const shift = startMs + Math.round(minute * 60_000) - first;
  const suffix = `-${String(i).padStart(3, "0")}`;
  for (const { file, row } of rows) {
    const { received, timestamp, attribution, delta, navigationStartTime, libraryNavigationId, ...rest } = row;
    arrivals.push({
      at: Date.parse(received) + shift,
      file,
      row: {
        timestamp: stamp(Date.parse(timestamp) + shift),
        ...rest,
        id: row.id + suffix,
        sessionId: row.sessionId + suffix,
        navigationId: row.navigationId + suffix,
      },
    });
  }
}
arrivals.sort((a, b) => a.at - b.at); // stable: what came in one beacon stays in order
await mkdir(args.out, { recursive: true });
for (const file of Object.keys(FILES)) {
  const rows = arrivals.filter((a) => a.file === file).map((a) => JSON.stringify(a.row) + "\n");
  await writeFile(`${args.out}/${file}.jsonl`, rows.join(""));
  console.log(`${file}.jsonl: ${rows.length}`);
}
