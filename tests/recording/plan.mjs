// The visits of a recording: a fixed list, the same every time.

/** mulberry32: 32 bits of state, uniform in [0, 1). Enough for choosing; not for statistics. */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const PAGES = ["/", "/checkout", "/product/1", "/search"];

// Round trip and rates of the emulation; the names are what the events carry as `connection`.
export const CONNECTIONS = {
  wifi: { latency: 4, downloadThroughput: 3_750_000, uploadThroughput: 1_875_000 },
  "4g": { latency: 40, downloadThroughput: 1_125_000, uploadThroughput: 375_000 },
  "3g": { latency: 150, downloadThroughput: 200_000, uploadThroughput: 93_750 },
};

// Emulated: view port, touch, pixel ratio, CPU slow-down and user agent. The engine is always
// the one Chromium, so only browsers that are Chromium themselves are played.
export const DEVICES = {
  mobile: { viewport: { width: 412, height: 823 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, cpu: 2 },
  tablet: { viewport: { width: 820, height: 1180 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, cpu: 1.5 },
  desktop: { viewport: { width: 1366, height: 768 }, hasTouch: false, isMobile: false, deviceScaleFactor: 1, cpu: 1 },
};

export function userAgent(browser, device, version) {
  const platform = device === "desktop" ? "X11; Linux x86_64" : "Linux; Android 10; K";
  const mobile = device === "mobile" ? " Mobile" : "";
  const suffix = { chrome: "", edge: ` Edg/${version}`, opera: " OPR/125.0.0.0" }[browser];
  return `Mozilla/5.0 (${platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version}${mobile} Safari/537.36${suffix}`;
}

const BOXES = ["ad-banner", "promo", "cookie-notice"];

/** `n` boxes from `start` on, `gap` ms apart. */
function burst(start, gap, n, height) {
  return Array.from({ length: n }, (_, i) => `${start + i * gap}:${height}:${BOXES[i % 3]}`);
}

// Special visits: [name, query parameters, what the visitor does, how long they stay in ms].
// `more` is a click on #more, `buy` on #buy, `type` three keys into #q.
const SPECIAL = [
  ["two-bursts", { hero: 300, shifts: [...burst(900, 300, 3, 60), ...burst(3200, 300, 3, 190)] }, [], 4600],
  ["three-bursts", { hero: 200, shifts: [...burst(700, 250, 2, 40), ...burst(2400, 250, 3, 50), ...burst(4600, 250, 2, 240)] }, [], 5800],
  ["longer-than-5-s", { hero: 200, shifts: burst(600, 700, 11, 70) }, [], 9200],
  ["longer-than-5-s-twice", { hero: 200, shifts: burst(600, 800, 15, 22) }, [], 13200],
  ["shift-after-click", { hero: 200, shifts: burst(700, 200, 2, 50) }, [[1800, "more"], [3200, "more"]], 4400],
  ["late-shift-after-click", { hero: 200, late: 800, shifts: [] }, [[1200, "more"], [3000, "more"]], 4800],
  ["click-between-shifts", { hero: 200, shifts: burst(900, 450, 6, 35) }, [[1500, "more"], [2400, "more"]], 5000],
  ["slow-buy", { hero: 250, block: 420 }, [[1500, "buy"], [2600, "buy"]], 4200],
  ["slow-typing", { hero: 250, block: 230 }, [[1400, "type"], [3000, "type"]], 5000],
  ["very-slow-buy", { hero: 250, block: 780 }, [[1500, "buy"]], 3800],
  ["many-keys", { hero: 150, block: 20 }, Array.from({ length: 18 }, (_, i) => [1200 + 260 * i, "type"]), 7200],
  ["back", { hero: 250, shifts: burst(800, 250, 2, 60) }, [[1500, "more"]], 2600, "back"],
  ["back-again", { hero: 350, block: 120, shifts: burst(900, 300, 3, 40) }, [[1900, "buy"]], 3000, "back"],
  ["reload", { hero: 300, shifts: burst(700, 200, 2, 45) }, [], 2200, "reload"],
  ["reload-slow", { hero: 900, ttfb: 500 }, [[2500, "buy"]], 3400, "reload"],
  ["slow-server", { ttfb: 1300, hero: 300 }, [[3000, "more"]], 4000],
  ["slower-server", { ttfb: 2100, css: 400, hero: 200 }, [], 4600],
  ["slow-style", { css: 2200, hero: 200, shifts: burst(3000, 250, 2, 50) }, [], 4400],
  ["headline", { heroKind: "text", hero: 1200 }, [[2600, "more"]], 3600],
  ["headline-late", { heroKind: "text", hero: 2900 }, [], 4200],
  ["left-at-once", { ttfb: 100, hero: 2500 }, [], 900],
];

/** All visits. `pool` says which of them the re-timing uses when: healthy, slow or special. */
export function plan() {
  const rnd = random(20261124);
  const pick = (list) => list[Math.floor(rnd() * list.length)];
  const range = (from, to) => Math.round(from + (to - from) * rnd());
  const device = () => { const r = rnd(); return r < 0.55 ? "mobile" : r < 0.92 ? "desktop" : "tablet"; };
  const connection = () => { const r = rnd(); return r < 0.5 ? "4g" : r < 0.85 ? "wifi" : "3g"; };
  const visits = [];
  const add = (pool, name, page, browser, query, actions, stay, then) => {
    const id = `v${String(visits.length + 1).padStart(3, "0")}`;
    visits.push({ id, pool, name, page, browser, device: device(), connection: connection(), query, actions, stay, then });
  };
  // Four healthy visits for each page and browser.
  for (let round = 0; round < 4; round++)
    for (const page of PAGES)
      for (const browser of ["chrome", "edge", "opera"]) {
        const query = { ttfb: range(20, 350), hero: range(60, 1300), block: range(5, 90) };
        if (rnd() < 0.4) query.shifts = burst(range(500, 1200), 300, range(1, 2), range(6, 26));
        const actions = [];
        if (rnd() < 0.7) actions.push([range(2000, 2400), "buy"]);
        if (rnd() < 0.5) actions.push([range(2600, 2900), "more"]);
        if (page === "/search") actions.push([range(3000, 3100), "type"]);
        add("healthy", "healthy", page, browser, query, actions, range(2800, 3800));
      }
  // Two slow ones for each page and browser, /checkout worst; the picture comes after 4.2 to 7 s.
  for (const page of [...PAGES, ...PAGES])
    for (const browser of ["chrome", "edge", "opera"]) {
      const hero = page === "/checkout" ? range(6000, 6900) : range(4200, 5800);
      const query = { ttfb: range(150, 900), hero, block: range(120, 760), shifts: burst(hero - 1500, 350, 4, range(110, 330)) };
      add("slow", "slow", page, browser, query, [[hero + 1500, "buy"], [hero + 2300, "more"]], hero + 3000);
    }
  for (const [name, query, actions, stay, then] of SPECIAL)
    add("special", name, pick(PAGES), pick(["chrome", "edge", "opera"]), query, actions, stay, then);
  return visits;
}
