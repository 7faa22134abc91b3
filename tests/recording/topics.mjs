// What the page sent, as records of the input topics of pipelines/web-vitals.yaml.

const stamp = (ms) => new Date(Math.round(ms)).toISOString();

/**
 * Rows per topic, in arrival order. `received` is when the recorder got the beacon: the arrival
 * time, which is not before the event's own `timestamp`.
 */
export function topics(visits, messages) {
  const out = { "lcp-stream": [], "fcp-stream": [], "ttfb-stream": [], "inp-stream": [], "cls-stream": [], "inp-events-stream": [], beacons: [] };
  const byId = new Map(visits.map((visit) => [visit.id, visit]));
  const counts = new Map();
  const arrivals = [...messages].sort((a, b) => a.received - b.received);
  for (const { visit: id, page, origin, items, received } of arrivals) {
    const visit = byId.get(id);
    const common = { page, browser: visit.browser, device: visit.device, connection: visit.connection };
    for (const { kind, nav, navType, ...item } of items) {
      const sessionId = `s-${id}`;
      const navigationId = `n-${id}-${nav}`;
      const n = (counts.get(navigationId + kind) ?? 0) + 1;
      counts.set(navigationId + kind, n);
      const arrived = stamp(received);
      if (kind === "metric") {
        const { name, value, id: metricId, rating, navigationType } = item.metric;
        const row = { timestamp: stamp(origin + item.at), id: metricId, value, ...common, sessionId, navigationId, rating, navigationType, received: arrived };
        if (name !== "CLS") out[`${name.toLowerCase()}-stream`].push(row);
        const { navigationId: libraryNavigationId, ...metric } = item.metric;
        out.beacons.push({ timestamp: row.timestamp, sessionId, navigationId, ...common, ...metric, libraryNavigationId, received: arrived });
      } else if (kind === "shift") {
        const { startTime, value, hadRecentInput, sources } = item;
        out["cls-stream"].push({
          timestamp: stamp(origin + startTime), id: `${navigationId}-s${n}`, value, hadRecentInput, sources, startTime,
          ...common, sessionId, navigationId, navigationType: navType, received: arrived,
        });
      } else if (item.interactionId > 0 || !counts.has(`${navigationId} other`)) {
        // Slow events that are no interaction (pointer moves …): one for each navigation is enough.
        if (item.interactionId === 0) counts.set(`${navigationId} other`, 1);
        const { entryType, startTime, duration, processingStart, processingEnd, interactionId, interactionCount, name, target } = item;
        out["inp-events-stream"].push({
          timestamp: stamp(origin + startTime), id: `${navigationId}-e${n}`, interactionId, entryType, name, startTime, duration,
          delay: processingStart - startTime, proc: processingEnd - processingStart, processingStart, processingEnd, interactionCount, target,
          ...common, sessionId, navigationId, navigationType: navType, received: arrived,
        });
      }
    }
  }
  return out;
}
