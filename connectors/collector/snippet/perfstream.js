// Sends what a page view is like to a perfstream collector: metrics of the library web-vitals, which the
// collector puts before this script, and raw layout shifts and event timings, where the browser has them.
//
//   <script src="https://collector.example/perfstream.js" data-token="PUBLIC" defer></script>
//
// data-url: where to send (default: beside this script) · data-token: public token ·
// data-page: name of the page (default: its path) · data-release: version of the page.
(() => {
  const script = document.currentScript;
  const set = script?.dataset ?? {};
  const target = new URL(set.url ?? "/v1/vitals", script?.src ?? location.href);
  if (set.token) target.searchParams.set("token", set.token);

  const EVERY_MS = 10000; // what waits longest
  const FULL = 50; // events that are sent at once
  const random = () => Math.random().toString(36).slice(2, 12) + Date.now().toString(36);
  const sessionId = (() => {
    try {
      return (sessionStorage.perfstream ??= random());
    } catch {
      return random(); // storage is forbidden: a session is a page view then
    }
  })();

  // A navigation is one load, or one return from the back/forward cache.
  let navigationId = random();
  let navigationType = performance.getEntriesByType("navigation")[0]?.type?.replace("_", "-") ?? "navigate";
  let countBefore = 0;
  let serial = 0;
  let queue = [];
  let left = false; // what comes now may be the last that this page can say

  const send = () => {
    if (queue.length === 0) return;
    const body = JSON.stringify({
      page: set.page ?? location.pathname,
      sessionId,
      release: set.release,
      effectiveType: navigator.connection?.effectiveType,
      events: queue,
    });
    queue = [];
    // A plain text needs no question of the browser to the collector first, and outlives the page.
    if (navigator.sendBeacon?.(target.href, body)) return;
    fetch(target.href, { method: "POST", body, keepalive: true }).catch(() => {});
  };
  const put = (event) => {
    queue.push({ navigationId, navigationType, ...event });
    if (queue.length >= FULL || left) send();
  };

  // The nearest id or class, which is stable enough to compare visits by.
  const selector = (node) => {
    for (let n = node; n; n = n.parentElement) {
      if (n.nodeType !== 1) continue;
      if (n.id) return `#${n.id}`;
      if (n.classList.length) return `${n.localName}.${n.classList[0]}`;
    }
    return node?.localName ?? "#text";
  };
  const when = (entry) => new Date(performance.timeOrigin + entry.startTime).toISOString();

  const observers = [];
  const observe = (type, options, read) => {
    if (!PerformanceObserver.supportedEntryTypes?.includes(type)) return;
    const each = (entries) =>
      entries.forEach((entry) => {
        serial += 1;
        put({ entryType: type, id: `${navigationId}-${serial}`, timestamp: when(entry), startTime: entry.startTime, ...read(entry) });
      });
    const observer = new PerformanceObserver((list) => each(list.getEntries()));
    observer.observe({ type, buffered: true, ...options });
    observers.push(() => each(observer.takeRecords()));
  };
  observe("layout-shift", {}, (e) => ({
    value: e.value,
    hadRecentInput: e.hadRecentInput,
    sources: (e.sources ?? []).filter((s) => s.node).map((s) => selector(s.node)),
  }));
  for (const type of ["event", "first-input"]) {
    observe(type, { durationThreshold: 40 }, (e) => ({
      name: e.name,
      interactionId: e.interactionId ?? 0,
      duration: e.duration,
      processingStart: e.processingStart,
      processingEnd: e.processingEnd,
      interactionCount: performance.interactionCount === undefined ? undefined : performance.interactionCount - countBefore,
      target: e.target ? selector(e.target) : undefined,
    }));
  }

  const flush = () => {
    observers.forEach((take) => take());
    send();
  };
  // Before web-vitals hears of it: it begins its metrics anew there.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    navigationId = random();
    navigationType = "back-forward-cache";
    countBefore = performance.interactionCount ?? 0;
  }, true);

  const library = globalThis.webVitals;
  // Of which parts a metric is made, as the library calls them; what it does not tell is left out of the JSON.
  const PARTS = [
    "timeToFirstByte", "resourceLoadDelay", "resourceLoadDuration", "elementRenderDelay",
    "inputDelay", "processingDuration", "presentationDelay", "firstByteToFCP",
    "waitingDuration", "cacheDuration", "dnsDuration", "connectionDuration", "requestDuration",
  ];
  const metric = ({ name, value, delta, id, rating, attribution }) =>
    put({
      name, value, delta, id, rating, timestamp: new Date().toISOString(),
      attribution: {
        target: attribution?.target ?? attribution?.interactionTarget,
        ...Object.fromEntries(PARTS.map((part) => [part, attribution?.[part]])),
      },
    });
  // Not onCLS: the shifts above are the same, and are added up by the pipeline.
  for (const on of ["onTTFB", "onFCP", "onLCP", "onINP"]) library?.[on]?.(metric);

  // After the listeners of web-vitals: what they say of a page that is left goes with the rest.
  addEventListener("visibilitychange", () => {
    left = document.visibilityState === "hidden";
    if (left) flush();
  });
  // A visible page that goes becomes hidden right behind this event; one that was hidden says it here or never.
  addEventListener("pagehide", () => document.visibilityState === "hidden" && flush());
  setInterval(flush, EVERY_MS);
})();
