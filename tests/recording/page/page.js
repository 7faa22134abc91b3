// The recorded page: slow on request, and measured by web-vitals.
//
// Query parameters (times in ms after navigation start):
//   visit, nav   who this is: the plan's visit and the number of the navigation in it
//   ttfb, css    the server holds back the document / the style sheet (read by server.mjs)
//   hero         the server holds back the hero image; with heroKind=text, the page its headline
//   shifts       "time:height:class" joined by commas: boxes put in at the place of that class
//   block        how long the handlers of #buy and #q block the main thread
//   late         after a click on #more, ms until the box opens (> 500: no "recent input" any more)
import { onCLS, onFCP, onINP, onLCP, onTTFB } from "/web-vitals.js";

const query = new URLSearchParams(location.search);
const number = (name) => Number(query.get(name) ?? 0);
const visit = query.get("visit");

// A navigation is one page load or one return from the back/forward cache.
let nav = number("nav");
let navType = performance.getEntriesByType("navigation")[0].type.replace("_", "-");
let countBefore = 0;
const interactionCount = () => performance.interactionCount - countBefore;

let queue = [];
function flush() {
  for (const observer of observers) observer.take();
  if (queue.length === 0) return;
  navigator.sendBeacon("/collect", JSON.stringify({ visit, page: location.pathname, origin: performance.timeOrigin, items: queue }));
  queue = [];
}
const put = (item) => queue.push({ nav, navType, ...item });

// The nearest id or class of a node, as attribution libraries print it.
function selector(node) {
  for (let n = node; n; n = n.parentElement) {
    if (n.nodeType !== Node.ELEMENT_NODE) continue;
    if (n.id) return `#${n.id}`;
    if (n.className) return `${n.localName}.${n.className.split(" ")[0]}`;
    if (n === node && n.parentElement?.id) return `#${n.parentElement.id}>${n.localName}`;
  }
  return node?.localName ?? "#text";
}

function observe(type, options, record) {
  const each = (list) => list.forEach((entry) => put(record(entry)));
  const observer = new PerformanceObserver((list) => each(list.getEntries()));
  observer.observe({ type, buffered: true, ...options });
  return { take: () => each(observer.takeRecords()) };
}

const observers = [
  observe("layout-shift", {}, (e) => ({
    kind: "shift",
    startTime: e.startTime,
    value: e.value,
    hadRecentInput: e.hadRecentInput,
    sources: e.sources.filter((s) => s.node).map((s) => selector(s.node)),
  })),
  ...["event", "first-input"].map((type) => observe(type, { durationThreshold: 40 }, (e) => ({
    kind: "event",
    entryType: type,
    name: e.name,
    interactionId: e.interactionId,
    startTime: e.startTime,
    duration: e.duration,
    processingStart: e.processingStart,
    processingEnd: e.processingEnd,
    interactionCount: interactionCount(),
    target: e.target ? selector(e.target) : undefined,
  }))),
];

// The library's metric object as it would be sent, without the entry objects it carries along
// and without the name of this server.
const left = /Entry$|Entries$|^entries$|^longestScript$|^largestShiftSource$/;
const lean = (key, value) => {
  if (key === "url") return new URL(value, location).pathname;
  return left.test(key) ? undefined : value;
};
function metric(m) {
  const { navigationURL, ...object } = m;
  put({ kind: "metric", at: performance.now(), metric: JSON.parse(JSON.stringify(object, lean)) });
  // Metrics that are final once the page hides must leave now.
  if (document.visibilityState === "hidden") flush();
}

// Before web-vitals sees the event: it starts its new metrics in its own pageshow listener.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  nav += 1;
  navType = "back-forward-cache";
  countBefore = performance.interactionCount;
}, true);
for (const on of [onTTFB, onFCP, onLCP, onCLS, onINP]) on(metric);

setInterval(flush, 2000);
addEventListener("visibilitychange", () => document.visibilityState === "hidden" && flush());
addEventListener("pagehide", flush);

// The slowness.
const PLACES = { "ad-banner": "#top", promo: "#middle", "cookie-notice": "#end" };
const at = (ms, what) => setTimeout(what, Math.max(0, ms - performance.now()));
function grow(height, name) {
  const box = document.createElement("div");
  box.className = name;
  box.style.height = `${height}px`;
  box.textContent = name;
  document.querySelector(PLACES[name]).append(box);
}
for (const shift of (query.get("shifts") ?? "").split(",").filter(Boolean)) {
  const [time, height, name] = shift.split(":");
  at(Number(time), () => grow(Number(height), name));
}
if (query.get("heroKind") === "text") {
  at(number("hero"), () => {
    const text = document.createElement("h1");
    text.id = "hero-text";
    text.textContent = "Everything for the desk, the shelf and the wall behind it, this week only. ".repeat(3);
    document.querySelector("#hero-slot").append(text);
  });
}
function busy(ms) {
  for (const end = performance.now() + ms; performance.now() < end; );
}
document.querySelector("#buy").addEventListener("click", () => busy(number("block")));
document.querySelector("#q").addEventListener("keydown", () => busy(number("block")));
document.querySelector("#more").addEventListener("click", () => {
  const toggle = () => document.querySelector("#details").classList.toggle("open");
  if (number("late") > 0) setTimeout(toggle, number("late"));
  else toggle();
});
