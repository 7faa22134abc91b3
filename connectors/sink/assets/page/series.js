// Panels of values over time: lines, and for one of them the expected range and the forecast.

import { el, labelText, number, rating, RATINGS, setAttribute, setText, time } from './dom.js';
import { ANOMALY, EXPECTED, HIGH, LOW, PREDICTION, T, VALUE } from './store.js';

/** Lines of one plot; the filters choose among the rest. */
const LINES = 6;
/** Points of the table beside a plot. */
const TABLE = 12;
const HEIGHT = 220;
/** The lines are chosen again after this long, so they do not jump about. */
const CHOOSE_AGAIN_MS = 60_000;

export class TimeSeries {
  constructor(panel, options) {
    this.panel = panel;
    this.zoom = options.zoom;
    this.chosen = [];
    this.legend = el('div', { class: 'legend', role: 'group', 'aria-label': 'Line with range' });
    this.plotAt = el('div', {
      class: 'plot', tabindex: '0', role: 'group',
      'aria-label': `${panel.title}, over time. Left and right arrow keys read its points.`,
      onkeydown: (event) => this.key(event),
    });
    this.said = el('p', { class: 'said', 'aria-live': 'polite' });
    this.rows = el('tbody');
    this.table = el('details', { class: 'numbers', ontoggle: () => this.fillTable() }, el('summary', {}, 'As a table'),
      el('table', {}, el('thead', {}, el('tr', {},
        ['Time', 'Value', 'Expected', 'Range'].map((head) => el('th', { scope: 'col' }, head)))), this.rows));
    this.element = el('div', {}, this.legend, this.plotAt, this.said, this.table);
    new ResizeObserver(() => this.resize()).observe(this.plotAt);
  }

  update(list, { range, now }) {
    this.choose(list);
    const shape = JSON.stringify([this.chosen.map((series) => series.key), this.focus?.key, colours().join()]);
    if (!this.chosen.length) {
      setText(this.said, 'No values yet.');
      this.destroy();
      return;
    }
    const data = this.data(now - range * 1000);
    // A series that is young fills its plot.
    const first = Math.min(...this.chosen.map((series) => series.points[0]?.[T] ?? now));
    // What is foreseen has its place, but no more than a third of the plot.
    const begin = Math.max(now - range * 1000, Math.min(first, now - 60_000));
    const ahead = Math.max(now, this.focus.points.at(-1)?.[PREDICTION]?.[0] ?? now);
    this.bounds = [begin / 1000, Math.min(ahead, now + (now - begin) / 2) / 1000];
    if (shape !== this.shape || !this.plot) this.build(shape, data);
    else {
      this.plot.setData(data, !this.zoomed);
      if (this.zoomed) this.plot.redraw();
    }
    if (this.table.open) this.fillTable();
  }

  /** The series with the largest newest values, chosen anew when the list has changed or after a while. */
  choose(list) {
    const keys = list.map((series) => series.key).join();
    const again = keys !== this.keys || performance.now() - this.chosenAt > CHOOSE_AGAIN_MS;
    if (!again) return;
    [this.keys, this.chosenAt] = [keys, performance.now()];
    const value = (series) => series.points.at(-1)?.[VALUE] ?? -Infinity;
    this.left = Math.max(0, list.length - LINES);
    this.chosen = [...list].sort((a, b) => value(b) - value(a)).slice(0, LINES);
    if (!this.chosen.includes(this.focus)) this.focus = this.chosen[0];
    this.showLegend();
  }

  showLegend() {
    const line = (series, at) => el('button', {
      type: 'button', 'aria-pressed': String(series === this.focus), style: `--line: var(--line-${at})`,
      onclick: () => { this.focus = series; this.showLegend(); this.keys = null; this.onchange?.(); },
    }, labelText(series.labels));
    const rest = this.left ? [el('span', { class: 'rest' }, `${this.left} more; narrow the filters to see them`)] : [];
    this.legend.replaceChildren(...this.chosen.map(line), ...rest);
  }

  /** x; a column for each line; range of the one in focus, its anomalies and forecast. */
  data(from) {
    const lines = this.chosen.map((series) => {
      const points = series.points.filter((point) => point[T] >= from);
      const of = (at) => points.map((point) => point[at]);
      const columns = [of(T).map((t) => t / 1000), of(VALUE)];
      if (series !== this.focus) return columns;
      const odd = points.map((point) => (point[ANOMALY] ? point[VALUE] : null));
      return [...columns, of(EXPECTED), of(LOW), of(HIGH), odd];
    });
    return uPlot.join([...lines, forecast(this.focus, from)]);
  }

  build(shape, data) {
    this.destroy();
    this.shape = shape;
    this.zoomed = false;
    const [text, grid, range, foreseen, odd, ...lines] = colours();
    const series = [{}];
    const bands = [];
    this.chosen.forEach((of, at) => {
      const focus = of === this.focus;
      series.push({ label: labelText(of.labels), stroke: lines[at], width: focus ? 2.5 : 1.25, spanGaps: true, points: { show: false } });
      if (!focus) return;
      const thin = { spanGaps: true, points: { show: false } };
      series.push({ ...thin, label: 'expected', stroke: lines[at], dash: [4, 4], width: 1 });
      series.push({ ...thin, label: 'low', stroke: 'transparent' }, { ...thin, label: 'high', stroke: 'transparent' });
      bands.push({ series: [series.length - 1, series.length - 2], fill: range });
      series.push({ label: 'anomaly', paths: () => null, points: { show: true, size: 8, fill: odd, stroke: odd } });
    });
    const line = lines[this.chosen.indexOf(this.focus)];
    const ahead = { spanGaps: true, points: { show: false } };
    series.push({ ...ahead, label: 'forecast', stroke: line, dash: [2, 5], width: 1.5 });
    series.push({ ...ahead, label: 'least', stroke: 'transparent' }, { ...ahead, label: 'most', stroke: 'transparent' });
    bands.push({ series: [series.length - 1, series.length - 2], fill: foreseen });
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
    const options = {
      width: Math.max(200, this.plotAt.clientWidth), height: HEIGHT, series, bands, legend: { show: false },
      axes: [axis, { ...axis, size: 64, values: (_, marks) => marks.map((mark) => number(mark)) }],
      scales: { y: { range: (_, low, high) => this.yRange(low, high) }, x: { time: true, range: (_, low, high) => (this.zoomed ? [low, high] : this.bounds) } },
      cursor: { drag: { x: this.zoom, y: false, setScale: this.zoom } },
      hooks: { setSelect: [(plot) => { this.zoomed = plot.select.width > 0; }], setCursor: [(plot) => this.say(plot.cursor.idx)] },
    };
    this.plot = new uPlot(options, data, this.plotAt);
    this.plot.over.addEventListener('dblclick', () => { this.zoomed = false; });
  }

  /** Times and shares are seen from zero on. */
  yRange(low, high) {
    if (low === null || high === null) return [0, 1];
    const positive = this.chosen.every((series) => series.points.every((point) => point[VALUE] >= 0));
    return positive ? [0, high * 1.05 || 1] : [low - (high - low) * 0.05, high + (high - low) * 0.05];
  }

  destroy() {
    this.plot?.destroy();
    this.plot = null;
    this.shape = null;
  }

  resize() {
    const width = this.plotAt.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !this.plot) return;
    event.preventDefault();
    const last = this.plot.data[0].length - 1;
    const at = Math.min(last, Math.max(0, (this.plot.cursor.idx ?? (step < 0 ? last + 1 : -1)) + step));
    const left = this.plot.valToPos(this.plot.data[0][at], 'x');
    this.plot.setCursor({ left, top: HEIGHT / 3 });
  }

  /** Time and values under the cursor. */
  say(at) {
    if (at === null || at === undefined || !this.plot) return setText(this.said, '');
    const point = this.focus.points.findLast((point) => point[T] / 1000 <= this.plot.data[0][at]);
    if (!point) return setText(this.said, '');
    const of = rating(point[VALUE], this.panel);
    const words = [time(point[T]), labelText(this.focus.labels), number(point[VALUE], this.panel.unit)];
    if (of) words.push(RATINGS[of].word);
    if (point[EXPECTED] !== null) words.push(`expected ${number(point[EXPECTED], this.panel.unit)}`);
    if (point[PREDICTION] !== null) {
      const [at, value, low, high] = point[PREDICTION];
      const ends = low === null ? '' : `, ${number(low)} to ${number(high)}`;
      words.push(`${number(value, this.panel.unit)} forecast for ${time(at)}${ends}`);
    }
    if (point[ANOMALY]) words.push('anomaly');
    setText(this.said, words.join(', '));
  }

  fillTable() {
    const points = (this.focus?.points ?? []).slice(-TABLE).reverse();
    this.rows.replaceChildren(...points.map((point) => el('tr', {},
      [time(point[T]), number(point[VALUE], this.panel.unit), number(point[EXPECTED]),
        point[LOW] === null ? '–' : `${number(point[LOW])} to ${number(point[HIGH])}`].map((text) => el('td', {}, text)))));
    setAttribute(this.rows, 'aria-label', labelText(this.focus?.labels));
  }
}

/** What was foreseen, at the times it was foreseen for: x, value, low, high. A low end below zero of what is never
 *  below zero is cut there. */
function forecast(series, from) {
  const positive = series.points.every((point) => point[VALUE] >= 0);
  const said = new Map(series.points.filter((point) => point[PREDICTION]?.[0] >= from).map((point) => [point[PREDICTION][0], point[PREDICTION]]));
  const rows = [...said.values()].sort((a, b) => a[0] - b[0]);
  const low = ([, , end]) => (end !== null && positive ? Math.max(0, end) : end);
  return [rows.map((row) => row[0] / 1000), rows.map((row) => row[1]), rows.map(low), rows.map((row) => row[3])];
}

let known = { theme: null, colours: [] };
const dark = matchMedia('(prefers-color-scheme: dark)');

/** Text, grid, range, what is foreseen, anomaly and lines, as the style sheet has them now. Asked once for each theme: a
 *  question makes the browser work out the styles of all that has changed. */
function colours() {
  const theme = `${document.documentElement.dataset.theme} ${dark.matches}`;
  if (theme !== known.theme) known = { theme, colours: asked() };
  return known.colours;
}

function asked() {
  const style = getComputedStyle(document.documentElement);
  const names = ['text', 'grid', 'range', 'foreseen', 'poor', 'line-0', 'line-1', 'line-2', 'line-3', 'line-4', 'line-5'];
  return names.map((name) => style.getPropertyValue(`--${name}`).trim());
}
