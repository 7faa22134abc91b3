// Records: plays plan.mjs in headless Chromium against server.mjs and writes capture/*.jsonl.
//
//   node record.mjs [--chromium /usr/bin/chromium] [--only NAME] [--parallel 4] [--out capture]
import { chromium } from "playwright-core";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { CONNECTIONS, DEVICES, plan, userAgent } from "./plan.mjs";
import { serve } from "./server.mjs";
import { topics } from "./topics.mjs";

const { values: args } = parseArgs({
  options: {
    chromium: { type: "string", default: "/usr/bin/chromium" },
    only: { type: "string" },
    parallel: { type: "string", default: "4" },
    out: { type: "string", default: "capture" },
  },
});
const sleep = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));

async function act(page, visit, started) {
  for (const [at, what] of visit.actions) {
    await sleep(started + at - Date.now());
    if (what === "type") {
      await page.focus("#q");
      await page.keyboard.type("abc", { delay: 30 });
    } else {
      const press = DEVICES[visit.device].hasTouch ? "tap" : "click";
      // A box that is still moving is pressed where it is: no waiting for it to come to rest.
      await page[press](`#${what}`, { force: true, noWaitAfter: true });
    }
  }
  await sleep(started + visit.stay - Date.now());
}

async function play(browser, origin, visit, version) {
  const { cpu, ...device } = DEVICES[visit.device];
  const context = await browser.newContext({ ...device, userAgent: userAgent(visit.browser, visit.device, version) });
  try {
    const page = await context.newPage();
    const cdp = await context.newCDPSession(page);
    await cdp.send("Network.enable");
    await cdp.send("Network.emulateNetworkConditions", { offline: false, ...CONNECTIONS[visit.connection] });
    await cdp.send("Emulation.setCPUThrottlingRate", { rate: cpu });
    const query = Object.entries({ visit: visit.id, nav: 1, ...visit.query }).map(([k, v]) => `${k}=${v}`);
    const url = `${origin}${visit.page}?${query.join("&")}`;
    let started = Date.now();
    await page.goto(url, { waitUntil: "commit" });
    await act(page, visit, started);
    if (visit.then === "reload") {
      // The page counts navigations by its own address.
      await page.evaluate(() => history.replaceState(null, "", location.href.replace("nav=1", "nav=2")));
      started = Date.now();
      await page.reload({ waitUntil: "commit" });
      await act(page, visit, started);
    }
    await page.goto(`${origin}/bye`);
    if (visit.then === "back") {
      await page.evaluate(() => setTimeout(() => history.back(), 50));
      await sleep(1200);
      await page.evaluate(() => {
        const box = document.createElement("div");
        box.className = "promo";
        box.style.height = "90px";
        document.querySelector("#top").append(box);
      });
      await sleep(600);
      await page.click("#more", { force: true });
      await sleep(1200);
      await page.goto(`${origin}/bye`);
    }
    await sleep(400 + 2 * CONNECTIONS[visit.connection].latency); // for the last beacon
  } finally {
    await context.close();
  }
}

const visits = plan().filter((v) => !args.only || v.name === args.only);
const messages = [];
const server = await serve((message, received) => messages.push({ received, ...message }));
const browser = await chromium.launch({
  executablePath: args.chromium,
  headless: true,
  // Playwright switches the back/forward cache off; these visits are about it.
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const started = Date.now();
const failed = [];
const queue = [...visits];
await Promise.all(Array.from({ length: Number(args.parallel) }, async () => {
  for (let visit; (visit = queue.shift()); ) {
    await play(browser, server.origin, visit, browser.version()).catch((error) => failed.push(`${visit.id} ${visit.name}: ${error.message.split("\n")[0]}`));
    if (process.stderr.isTTY) process.stderr.write(`\r${visits.length - queue.length}/${visits.length} visits`);
  }
}));
const version = browser.version();
await browser.close();
server.close();

await mkdir(args.out, { recursive: true });
const lines = (rows) => rows.map((row) => JSON.stringify(row) + "\n").join("");
for (const [name, rows] of Object.entries(topics(visits, messages))) {
  await writeFile(`${args.out}/${name}.jsonl`, lines(rows));
  console.log(`${name}.jsonl: ${rows.length}`);
}
const library = JSON.parse(await readFile(new URL("node_modules/web-vitals/package.json", import.meta.url))).version;
console.log(`\nChromium ${version}, web-vitals ${library}, node ${process.version}: ${visits.length} visits, ${failed.length} failed, ${Math.round((Date.now() - started) / 1000)} s`);
for (const line of failed) console.log(line);
process.exitCode = failed.length > 0 ? 1 : 0;
