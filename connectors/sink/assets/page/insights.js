// What was found out, in sentences.

import { el, labelText, number, time } from './dom.js';

/** Sentences that the panel shows before it is asked for all. */
const SHOWN = 12;

export class Insights {
  constructor(panel) {
    this.all = false;
    this.list = el('ul', { class: 'stories insights' });
    this.empty = el('p', {}, 'None yet: `perfstream analyze STREAM FILE --analyzer NAME` looks for some.');
    this.more = el('button', { type: 'button', hidden: true, onclick: () => { this.all = !this.all; this.fill(); } });
    this.element = el('div', {},
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: list` }, this.list, this.empty), this.more);
    this.insights = [];
  }

  update(insights) {
    const shown = current(insights);
    const key = JSON.stringify(shown.map(({ id }) => id));
    if (key === this.key) return;
    this.key = key;
    this.insights = shown;
    this.fill();
  }

  fill() {
    const shown = this.all ? this.insights : this.insights.slice(0, SHOWN);
    this.empty.hidden = shown.length > 0;
    this.list.replaceChildren(...shown.map(line));
    this.more.hidden = this.insights.length <= SHOWN;
    this.more.textContent = this.all ? 'Show fewer' : `Show all ${this.insights.length}`;
  }
}

/** The newest first; of the analyses of a pipeline the newest one, which knows what the older ones knew. */
function current(insights) {
  const newest = new Map(insights.map((insight) => [insight.pipeline, insight.analysis_id]).filter(([, analysis]) => analysis));
  const stands = ({ pipeline, analysis_id: analysis }) => !analysis || newest.get(pipeline) === analysis;
  const order = [...new Set(insights.map(({ analysis_id: analysis }) => analysis ?? ''))].reverse();
  const rank = ({ analysis_id: analysis }) => order.indexOf(analysis ?? '');
  return insights.filter(stands).sort((a, b) => rank(a) - rank(b));
}

function line({ insight, summary, pipeline, segment, timestamp, confidence }) {
  const meta = [pipeline, labelText(segment), time(timestamp)];
  if (typeof confidence === 'number') meta.push(`confidence ${confidence > 0.99 ? 'over 99' : number(confidence * 100)} %`);
  return el('li', {}, el('span', { class: 'severity' }, (insight ?? 'insight').replaceAll('_', ' ')), el('span', {}, summary),
    el('span', { class: 'meta' }, meta.join(', ')));
}
