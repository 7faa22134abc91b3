// The dialog about one alert, anomaly, incident or action, and what people say of it.

import { el, labelText, milliseconds, number, setText, time } from './dom.js';
import { labelsOf, pairs, state, summary, VERDICTS } from './events.js';
import { COUNT, isWaiting, T, VALUE } from './store.js';

/** Input records before the one that an alert came from. */
const RECORDS_BEFORE = 9;

/** The dialog about one story: down to its window, and to the records of the input. */
export class Detail {
  constructor(dialog, store, announce) {
    Object.assign(this, { dialog, store, announce });
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  }

  open(story, layout) {
    this.story = story;
    const { last } = story;
    const facts = [
      ['State', state(last)], ['Severity', last.severity], ['Where', last.target ?? labelText(labelsOf(last))],
      ['Since', last.started_at ? time(last.started_at) : null], ['Ended', last.ended_at ? time(last.ended_at) : null],
      ['Condition', last.condition], ['Values', last.values ? pairs(last.values) : null],
      ['Value', last.value === undefined ? null : number(last.value)], ['Expected', last.expected === undefined ? null : number(last.expected)],
      ['Compared with', last.baseline ? `${number(last.baseline.value)}, ${last.baseline.n} values from ${time(last.baseline.from)}` : null],
      ['Score', last.score === undefined ? null : number(last.score)],
      ...actionFacts(last), ...incidentFacts(last),
      ['Pipeline', last.pipeline], ['Id', story.id],
    ];
    const list = facts.filter(([, fact]) => fact !== null && fact !== undefined)
      .flatMap(([name, fact]) => [el('dt', {}, name), el('dd', {}, String(fact))]);
    this.note = el('p', { class: 'note', role: 'status' });
    const { drill_down: drill } = layout.interactivity;
    this.dialog.replaceChildren(
      el('div', { class: 'dialog-head' }, el('h2', { id: 'detail-title' }, summary(last)),
        el('button', { type: 'button', onclick: () => this.dialog.close() }, 'Close')),
      el('div', { class: 'actions' }, isWaiting(last) ? this.approval(layout) : this.verdicts(layout)), this.note,
      el('dl', {}, list), ...bodyOf(story), ...(drill ? [...(hasWindows(last) ? [this.windows(last)] : []), this.records(last)] : []));
    this.showVerdict();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** What can be said of an alert or anomaly. */
  verdicts({ interactivity }) {
    if (!hasWindows(this.story.last)) return [];
    const button = (verdict, text) => el('button', { type: 'button', onclick: () => this.say(verdict) }, text);
    return [
      interactivity.acknowledge ? button('acknowledged', 'Acknowledge') : null,
      interactivity.feedback ? button('true_positive', 'True alarm') : null,
      interactivity.feedback ? button('false_positive', 'False alarm') : null,
      interactivity.feedback ? button('resolved', 'Resolved') : null,
    ];
  }

  showVerdict() {
    const said = this.story && this.store.verdicts.get(this.story.id);
    if (said && this.note) setText(this.note, `Said of it: ${VERDICTS[said] ?? said}.`);
  }

  /** What can be said of an action that waits: who says it is part of its records. */
  approval({ interactivity }) {
    if (!interactivity.approve) return [];
    const name = el('input', { type: 'text', maxlength: '100', autocomplete: 'name', value: localStorage.approver ?? '' });
    const button = (approved, text) => el('button', { type: 'button', onclick: () => this.approve(approved, name) }, text);
    return [el('label', {}, 'Your name ', name), button(true, 'Approve'), button(false, 'Reject')];
  }

  approve(approved, name) {
    const by = name.value.trim();
    if (!by) {
      setText(this.note, 'Say who you are: your name becomes part of the record.');
      name.focus();
      return;
    }
    localStorage.approver = by;
    const body = { pipeline: this.story.last.pipeline, action_id: this.story.id, approved, by };
    this.send('api/approval', body, approved ? 'approved' : 'rejected');
  }

  say(verdict) {
    const { last } = this.story;
    const body = { pipeline: last.pipeline, alert_id: this.story.id, verdict };
    if (last.anomaly_id) body.anomaly_id = last.anomaly_id;
    // Of one that goes on: until the newest that the page knows, as its times may be those of a replay.
    const until = last.ended_at ? milliseconds(last.ended_at) : this.store.newest || Date.now();
    if (verdict === 'resolved' && last.started_at) {
      body.resolution_time_s = Math.max(0, until - milliseconds(last.started_at)) / 1000;
    }
    this.send('api/verdict', body, verdict);
  }

  async send(path, body, verdict) {
    setText(this.note, 'Sending.');
    const answer = await fetch(path, {
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

/** Alerts and anomalies are about windows, the others about alerts and anomalies. */
function hasWindows(event) {
  return ['alert', 'anomaly'].includes(event.kind);
}

function actionFacts(event) {
  if (event.kind !== 'action') return [];
  return [
    ['Rule', event.rule], ['Action', event.action], ['By way of', event.receiver ?? event.topic],
    ['Dry run', event.dry_run ? 'yes: nothing is executed' : 'no'], ['Until', event.until ? time(event.until) : null],
    ['Said by', event.by], ['Why', event.why?.replaceAll('_', ' ')], ['Message', event.message],
    ['Answers', event.reason ? pairs(event.reason) : null],
  ];
}

function incidentFacts(event) {
  if (event.kind !== 'incident') return [];
  const causes = (event.causes ?? []).map(({ node, score }) => `${node} (${number(score)})`);
  return [
    ['Likely causes', causes.join(', ') || null], ['Services', (event.services ?? []).join(', ') || null],
    ['Anomalies', `${event.anomalies}, ${event.open} of them open`], ['Merged into', event.merged_into],
  ];
}

/** What an action asks for. */
function bodyOf({ last, first }) {
  const body = last.body ?? first.body;
  return body ? [el('h3', {}, 'What it asks for'), el('pre', {}, JSON.stringify(body, null, 2))] : [];
}
