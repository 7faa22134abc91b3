// Alerts and anomalies: the banner, the timeline, the detail of one, and what people say of it.

import { el, labelText, milliseconds, number, setText, time } from './dom.js';
import { COUNT, isFiring, T, VALUE } from './store.js';

/** Stories that the timeline lists. */
const SHOWN = 30;
/** Input records before the one that an alert came from. */
const RECORDS_BEFORE = 9;

const VERDICTS = { acknowledged: 'acknowledged', true_positive: 'true alarm', false_positive: 'false alarm', resolved: 'resolved' };

/** Labels of an alert, or the segment of an anomaly. */
export function labelsOf(event) {
  return event.labels ?? event.segment ?? {};
}

/** Two lanes in the strip: what is severe is not hidden by what is not. */
function lane(event) {
  return ['critical', 'error'].includes(event.severity) ? 'upper' : 'lower';
}

function state(event) {
  return event.state ?? event.transition ?? event.kind;
}

function severity(event) {
  return event.severity ?? event.kind;
}

/** A rule's own words; in place of the sentence that the stage makes, its parts. */
function summary(event) {
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

/** The strip above the panels. */
export function fillBanner(banner, stories, store, open) {
  banner.hidden = stories.length === 0;
  const line = (story) => {
    const said = store.verdicts.get(story.id);
    const text = [el('span', { class: `severity ${story.last.severity}` }, story.last.severity), ` ${summary(story.last)}`];
    if (said) text.push(el('span', { class: 'verdict' }, ` (${VERDICTS[said] ?? said})`));
    return el('li', {}, el('button', { type: 'button', class: 'link', onclick: () => open(story) }, text));
  };
  const shown = stories.slice(0, 5);
  const rest = stories.length - shown.length;
  const key = JSON.stringify(stories.map((story) => [story.last.id, store.verdicts.get(story.id)]));
  if (banner.dataset.key === key) return;
  banner.dataset.key = key;
  const title = stories.length === 1 ? '1 alert fires' : `${stories.length} alerts fire`;
  banner.replaceChildren(el('h2', {}, title), el('ul', {}, shown.map(line)), rest > 0 ? 'The others are in the timeline.' : '');
}

/** Alerts and anomalies, the newest first, with a strip of when they were. */
export class Timeline {
  constructor(panel, open) {
    this.open = open;
    this.strip = el('div', { class: 'strip', 'aria-hidden': 'true' });
    this.list = el('ol', { class: 'stories' });
    this.empty = el('p', {}, 'No alerts and no anomalies.');
    this.element = el('div', {}, this.strip,
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: list` }, this.list, this.empty));
  }

  update(stories, store, { range, now }) {
    const from = now - range * 1000;
    const recent = stories.filter(({ last }) => isFiring(last) || milliseconds(last.timestamp) >= from);
    const shown = recent.slice(0, SHOWN);
    const key = JSON.stringify([shown.map((story) => [story.last.id, store.verdicts.get(story.id)]), Math.round(from / 10_000)]);
    if (key === this.key) return;
    this.key = key;
    this.empty.hidden = shown.length > 0;
    this.list.replaceChildren(...shown.map((story) => this.line(story, store)));
    this.strip.replaceChildren(...recent.map(({ first, last }) => {
      const start = Math.max(from, milliseconds(first.started_at ?? first.timestamp));
      const end = isFiring(last) || last.state === 'open' ? now : milliseconds(last.ended_at ?? last.timestamp);
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

/** The dialog about one alert or anomaly: down to its window, and to the records of the input. */
export class Detail {
  constructor(dialog, store, announce) {
    Object.assign(this, { dialog, store, announce });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  }

  open(story, layout) {
    this.story = story;
    const { last } = story;
    const facts = [
      ['State', state(last)], ['Severity', last.severity], ['Where', labelText(labelsOf(last))],
      ['Since', time(last.started_at)], ['Ended', last.ended_at ? time(last.ended_at) : null],
      ['Condition', last.condition], ['Values', last.values ? pairs(last.values) : null],
      ['Value', last.value === undefined ? null : number(last.value)], ['Expected', last.expected === undefined ? null : number(last.expected)],
      ['Compared with', last.baseline ? `${number(last.baseline.value)}, ${last.baseline.n} values from ${time(last.baseline.from)}` : null],
      ['Score', last.score === undefined ? null : number(last.score)],
      ['Pipeline', last.pipeline], ['Id', story.id],
    ];
    const list = facts.filter(([, fact]) => fact !== null && fact !== undefined)
      .flatMap(([name, fact]) => [el('dt', {}, name), el('dd', {}, String(fact))]);
    this.note = el('p', { class: 'note', role: 'status' });
    const { drill_down: drill } = layout.interactivity;
    this.dialog.replaceChildren(
      el('div', { class: 'dialog-head' }, el('h2', { id: 'detail-title' }, summary(last)),
        el('button', { type: 'button', onclick: () => this.dialog.close() }, 'Close')),
      el('div', { class: 'actions' }, this.buttons(layout)), this.note,
      el('dl', {}, list), ...(drill ? [this.windows(last), this.records(last)] : []));
    this.showVerdict();
    if (!this.dialog.open) this.dialog.showModal();
  }

  buttons({ interactivity }) {
    const button = (verdict, text) => el('button', { type: 'button', onclick: () => this.say(verdict) }, text);
    return [
      interactivity.acknowledge ? button('acknowledged', 'Acknowledge') : null,
      interactivity.feedback ? button('true_positive', 'True alarm') : null,
      interactivity.feedback ? button('false_positive', 'False alarm') : null,
    ];
  }

  showVerdict() {
    const said = this.story && this.store.verdicts.get(this.story.id);
    if (said && this.note) setText(this.note, `Said of it: ${VERDICTS[said] ?? said}.`);
  }

  async say(verdict) {
    const { last } = this.story;
    const body = { pipeline: last.pipeline, alert_id: this.story.id, verdict };
    if (last.anomaly_id) body.anomaly_id = last.anomaly_id;
    setText(this.note, 'Sending.');
    const answer = await fetch('api/verdict', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
    }).catch((error) => ({ ok: false, statusText: error.message }));
    const why = answer.ok ? '' : (await answer.json?.().catch(() => null))?.error ?? answer.statusText;
    setText(this.note, answer.ok ? `Handed to the pipeline: ${VERDICTS[verdict]}.` : `Not sent: ${why}`);
    this.announce(this.note.textContent);
  }

  /** Values of the same place around the time, from what the page has. */
  windows(event) {
    const labels = labelsOf(event);
    const until = milliseconds(event.window_end ?? event.timestamp);
    const rows = [];
    for (const series of this.store.series.values()) {
      const same = Object.entries(series.labels).every(([name, value]) => labels[name] === undefined || String(labels[name]) === String(value));
      if (series.pipeline !== event.pipeline || !same) continue;
      if (event.window && series.window !== event.window) continue;
      const points = series.points.filter((point) => point[T] <= until).slice(-3);
      points.forEach((point) => rows.push([time(point[T]), `${series.field}, ${labelText(series.labels)}`, number(point[VALUE]), number(point[COUNT])]));
    }
    const heads = ['Window end', 'Field', 'Value', 'Events'].map((head) => el('th', { scope: 'col' }, head));
    return el('section', { 'aria-label': 'Windows' }, el('h3', {}, 'Windows'),
      rows.length ? el('table', {}, el('thead', {}, el('tr', {}, heads)),
        el('tbody', {}, rows.slice(-24).map((row) => el('tr', {}, row.map((text) => el('td', {}, text)))))) : 'None on the page.');
  }

  /** Records of the input up to the one behind which the alert came. */
  records(event) {
    const at = el('div');
    const [partition, offset] = [event.source_partition ?? 0, event.source_offset];
    const row = this.store.health.get(`${event.pipeline}/${partition}`);
    const show = async () => {
      setText(at, 'Reading.');
      const from = Math.max(0, offset - RECORDS_BEFORE);
      const answer = await fetch(`api/records/${encodeURIComponent(row.input)}/${partition}?from=${from}&count=${RECORDS_BEFORE + 1}`)
        .then((answer) => answer.json()).catch((error) => ({ error: error.message }));
      const records = answer.records ?? [];
      at.replaceChildren(...(records.length
        ? records.map((record) => el('details', { open: record.offset === offset },
          el('summary', {}, `${row.input}/${partition}@${record.offset}`), el('pre', {}, JSON.stringify(record.value, null, 2))))
        : [answer.error ?? answer.note ?? 'The log no longer has them.']));
    };
    const known = row?.input && Number.isInteger(offset) && offset >= 0;
    const section = el('section', { 'aria-label': 'Input records' }, el('h3', {}, 'Input records'),
      known ? el('button', { type: 'button', onclick: show }, `Show what stood before offset ${offset}`)
        : 'Where they stand is not known: the pipeline has told no status yet.', at);
    this.unplaced = known ? null : section;
    return section;
  }

  /** The pipeline has told its status: perhaps that says where the records stand. */
  showHealth() {
    if (this.unplaced?.isConnected) this.unplaced.replaceWith(this.records(this.story.last));
  }
}

function pairs(values) {
  return Object.entries(values).map(([name, value]) => `${name} = ${typeof value === 'number' ? number(value) : value}`).join(', ');
}
