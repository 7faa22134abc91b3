// Alerts, anomalies, incidents and actions: the banner and the timeline; and the pipelines' health.

import { el, labelText, milliseconds, number, time } from './dom.js';
import { isFiring, isOpen, isWaiting } from './store.js';

/** Stories that the timeline lists. */
const SHOWN = 30;

/** Words for what people said. */
export const VERDICTS = {
  acknowledged: 'acknowledged', true_positive: 'true alarm', false_positive: 'false alarm', resolved: 'resolved',
  approved: 'approved', rejected: 'rejected',
};

/** Labels of an alert, the segment of an anomaly, the service that an incident began with. */
export function labelsOf(event) {
  if (event.kind === 'incident') return event.cause ? { service: event.cause } : {};
  return event.labels ?? event.segment ?? {};
}

/** Two lanes in the strip: what is severe is not hidden by what is not. */
function lane(event) {
  return ['critical', 'error'].includes(event.severity) ? 'upper' : 'lower';
}

export function state(event) {
  return event.state ?? event.transition ?? event.step?.replaceAll('_', ' ') ?? event.kind;
}

function severity(event) {
  return event.severity ?? event.kind;
}

/** A rule's own words; in place of the sentence that the stage makes, its parts. */
export function summary(event) {
  if (!event.rule || !event.summary?.startsWith(`${event.rule} is `)) {
    return event.summary ?? `${event.kind} of ${labelText(labelsOf(event))}`;
  }
  const known = Object.entries(event.values ?? {}).filter(([, value]) => value !== null);
  return [event.rule, labelText(labelsOf(event)), pairs(Object.fromEntries(known))].filter(Boolean).join(', ');
}

/** Alerts that fire, of the severities that the layout names; the most severe first, then the newest. */
export function firing(stories, layout) {
  const order = ['critical', 'error', 'warning', 'info'];
  return stories.filter(({ last }) => isFiring(last) && layout.alerting.severities.includes(last.severity))
    .sort((a, b) => order.indexOf(a.last.severity) - order.indexOf(b.last.severity));
}

/** Actions that wait for somebody to approve them, the newest first. */
export function waiting(stories) {
  return stories.filter(({ last }) => isWaiting(last));
}

/** The strip above the panels: what waits for somebody, then what fires. */
export function fillBanner(banner, fires, waits, store, open) {
  const stories = [...waits, ...fires];
  banner.hidden = stories.length === 0;
  banner.classList.toggle('waits', fires.length === 0);
  const line = (story) => {
    const said = store.verdicts.get(story.id);
    const text = [el('span', { class: `severity ${severity(story.last)}` }, severity(story.last)), ` ${summary(story.last)}`];
    if (said) text.push(el('span', { class: 'verdict' }, ` (${VERDICTS[said] ?? said})`));
    return el('li', {}, el('button', { type: 'button', class: 'link', onclick: () => open(story) }, text));
  };
  const shown = stories.slice(0, 5);
  const rest = stories.length - shown.length;
  const key = JSON.stringify(stories.map((story) => [story.last.id, store.verdicts.get(story.id)]));
  if (banner.dataset.key === key) return;
  banner.dataset.key = key;
  const counted = (list, one, many) => (list.length ? [list.length === 1 ? `1 ${one}` : `${list.length} ${many}`] : []);
  const title = [...counted(waits, 'action waits for approval', 'actions wait for approval'), ...counted(fires, 'alert fires', 'alerts fire')];
  banner.replaceChildren(el('h2', {}, title.join(', ')), el('ul', {}, shown.map(line)), rest > 0 ? 'The others are in the timeline.' : '');
}

/** Alerts, anomalies, incidents and actions, the newest first, with a strip of when they were. */
export class Timeline {
  constructor(panel, open) {
    this.open = open;
    this.strip = el('div', { class: 'strip', 'aria-hidden': 'true' });
    this.list = el('ol', { class: 'stories' });
    this.empty = el('p', {}, 'Nothing has happened.');
    this.element = el('div', {}, this.strip,
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: list` }, this.list, this.empty));
  }

  update(stories, store, { range, now }) {
    const from = now - range * 1000;
    const recent = stories.filter(({ last }) => isFiring(last) || isWaiting(last) || milliseconds(last.timestamp) >= from);
    const shown = recent.slice(0, SHOWN);
    const key = JSON.stringify([shown.map((story) => [story.last.id, store.verdicts.get(story.id)]), Math.round(from / 10_000)]);
    if (key === this.key) return;
    this.key = key;
    this.empty.hidden = shown.length > 0;
    this.list.replaceChildren(...shown.map((story) => this.line(story, store)));
    this.strip.replaceChildren(...recent.map(({ first, last }) => {
      const start = Math.max(from, milliseconds(first.started_at ?? first.timestamp));
      const end = isOpen(last) ? now : milliseconds(last.ended_at ?? last.timestamp);
      const share = (at) => `${(Math.min(1, Math.max(0, (at - from) / (range * 1000))) * 100).toFixed(2)}%`;
      const style = `left:${share(start)};right:calc(100% - ${share(Math.max(end, start))})`;
      return el('span', { class: `mark ${severity(last)} ${lane(last)}`, style, title: summary(last) });
    }));
  }

  line(story, store) {
    const { last } = story;
    const said = store.verdicts.get(story.id);
    return el('li', {},
      el('span', { class: `severity ${severity(last)}` }, severity(last)),
      el('button', { type: 'button', class: 'link', onclick: () => this.open(story) }, summary(last)),
      el('span', { class: 'meta' }, `${state(last)}, ${time(last.timestamp)}`, said ? `, ${VERDICTS[said] ?? said}` : ''));
  }
}

/** The pipelines: records in, lag, dead letters. */
export class Health {
  constructor(panel) {
    this.body = el('tbody');
    this.empty = el('p', {}, 'No status records yet.');
    const heads = ['Pipeline', 'State', 'In', 'Per s', 'Lag', 'Dead', 'p99'];
    this.element = el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: table` },
      el('table', {}, el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))), this.body), this.empty);
  }

  update(health) {
    this.empty.hidden = health.size > 0;
    const rows = [...health.values()].sort((a, b) => (`${a.pipeline}/${a.partition}` < `${b.pipeline}/${b.partition}` ? -1 : 1));
    this.body.replaceChildren(...rows.map((row) => el('tr', { title: row.last_error ?? null },
      el('th', { scope: 'row' }, `${row.pipeline}/${row.partition}`),
      [row.status, number(row.events), number(row.per_second), number(row.lag), number(row.dead), number(row.latency_p99_ms, 'ms')]
        .map((text) => el('td', {}, text)))));
  }
}

/** `a = 1, b = 2` */
export function pairs(values) {
  const text = (value) => (typeof value === 'number' ? number(value) : typeof value === 'object' ? labelText(value) : value);
  return Object.entries(values).map(([name, value]) => `${name} = ${text(value)}`).join(', ');
}
