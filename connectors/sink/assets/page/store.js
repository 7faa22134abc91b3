// What the page knows. The server keeps the same; this side keeps what one viewer looks at.

/** Of a point: [time, value, count, expected, low, high, prediction, anomaly, offset]; of its prediction, null if
 *  there is none: [the time it is for, value, low, high]. */
export const T = 0, VALUE = 1, COUNT = 2, EXPECTED = 3, LOW = 4, HIGH = 5, PREDICTION = 6, ANOMALY = 7, OFFSET = 8;

/** Panels that show no field; one of each is enough. */
export const ALONE = ['timeline', 'insights', 'health'];

/** What the records of one story have in common. */
const IDS = { alert: 'alert_id', anomaly: 'anomaly_id', incident: 'incident_id', action: 'action_id' };

const MAX_POINTS = 2880;
const MAX_EVENTS = 2000;
const MAX_INSIGHTS = 500;

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    this.layouts = new Map(); // dashboard → Map(pipeline → layout)
    this.series = new Map(); // key → series
    this.events = new Map(); // id → event, oldest first
    this.insights = new Map(); // id → insight, oldest first
    this.health = new Map(); // pipeline/partition → row
    this.verdicts = new Map(); // alert or anomaly → verdict
    this.newest = 0;
    this.revision = 0; // grows with every change of layouts
  }

  takeSnapshot(snapshot) {
    this.clear();
    snapshot.layouts.forEach((layout) => this.takeLayout(layout));
    for (const series of snapshot.series) {
      const own = this.seriesOf(series, series);
      own.points = series.points;
      this.note(own);
    }
    snapshot.events.forEach((event) => this.takeEvent(event));
    snapshot.health.forEach((row) => this.takeHealth(row));
    snapshot.verdicts.forEach((verdict) => this.takeVerdict(verdict));
  }

  /** A record of the topic of dashboards; returns the alerts that have begun to fire. */
  takeRecord(record) {
    if (record.type === 'layout') {
      this.takeLayout(record);
      return [];
    }
    for (const point of record.points) {
      const series = this.seriesOf(record, point);
      const { value: expected, low, high } = point.expected ?? {};
      const row = [point.time_ms, point.value, point.count ?? null, expected ?? null, low ?? null, high ?? null,
        foreseen(point.prediction), point.anomaly ?? null, point.offset ?? null];
      insert(series.points, row);
      this.note(series);
    }
    return record.events.filter((event) => this.takeEvent(event) && isFiring(event));
  }

  takeLayout({ dashboard, pipeline, layout }) {
    if (!this.layouts.has(dashboard)) this.layouts.set(dashboard, new Map());
    const known = this.layouts.get(dashboard);
    if (JSON.stringify(known.get(pipeline)) === JSON.stringify(layout)) return;
    known.set(pipeline, layout);
    this.revision += 1;
  }

  seriesOf({ dashboard, pipeline, partition }, { field, metric, window, labels }) {
    const key = JSON.stringify([dashboard, pipeline, field, metric, window, sorted(labels)]);
    let series = this.series.get(key);
    if (!series) {
      series = { key, dashboard, pipeline, partition, field, metric, window, labels, points: [], changed: 0 };
      this.series.set(key, series);
    }
    return series;
  }

  note(series) {
    series.changed += 1;
    if (series.points.length > MAX_POINTS) series.points.splice(0, series.points.length - MAX_POINTS);
    const last = series.points.at(-1);
    if (last && last[T] > this.newest) this.newest = last[T];
  }

  /** False if it was known. */
  takeEvent(event) {
    const [list, most] = event.kind === 'insight' ? [this.insights, MAX_INSIGHTS] : [this.events, MAX_EVENTS];
    const id = event.id ?? JSON.stringify(event);
    if (list.has(id)) return false;
    list.set(id, event);
    if (list.size > most) list.delete(list.keys().next().value);
    return true;
  }

  takeHealth(row) {
    this.health.set(`${row.pipeline}/${row.partition}`, row);
  }

  takeVerdict({ alert_id: id, verdict }) {
    this.verdicts.set(id, verdict);
  }

  /** The first and the newest record of every alert, anomaly, incident and action, the newest first. */
  stories() {
    const stories = new Map();
    for (const event of this.events.values()) {
      const id = event[IDS[event.kind]] ?? event.id;
      const story = stories.get(id) ?? { id, first: event };
      stories.delete(id);
      stories.set(id, { ...story, last: event });
    }
    return [...stories.values()].reverse();
  }

  /** The layout that gives a dashboard its name and manners, and its panels with their pipelines. */
  dashboard(id) {
    const layouts = [...(this.layouts.get(id) ?? new Map())].sort(([a], [b]) => (a < b ? -1 : 1));
    const main = layouts.find(([, layout]) => layout.name) ?? layouts[0];
    if (!main) return null;
    const order = [main, ...layouts.filter((entry) => entry !== main)];
    const panels = [];
    for (const [pipeline, layout] of order) {
      for (const panel of layout.visualizations) {
        if (ALONE.includes(panel.type) && panels.some((other) => other.type === panel.type)) continue;
        panels.push({ ...panel, pipeline, framework: layout.framework });
      }
    }
    return { id, layout: main[1], panels, frameworks: layouts.map(([, layout]) => layout.framework) };
  }
}

/** Does an action wait for somebody to approve it? */
export function isWaiting(event) {
  return event.kind === 'action' && event.step === 'awaiting_approval';
}

/** Does it go on? */
export function isOpen(event) {
  return isFiring(event) || isWaiting(event) || ['open', 'updated'].includes(event.state);
}

export function isFiring(event) {
  return event.kind === 'alert' && event.state === 'firing';
}

function foreseen(prediction) {
  if (!prediction) return null;
  const { time_ms: time, value, low, high } = prediction;
  return [time, value, low ?? null, high ?? null];
}

function sorted(labels) {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Puts a point in the order of time; one of the same time is replaced. */
function insert(points, row) {
  let at = points.length;
  while (at > 0 && points[at - 1][T] > row[T]) at -= 1;
  if (at > 0 && points[at - 1][T] === row[T]) points[at - 1] = row;
  else points.splice(at, 0, row);
}
