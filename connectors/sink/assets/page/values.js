// Panels of newest values: the list with ratings, and the heat map.

import { badge, el, labelText, number, rating, RATINGS, setText } from './dom.js';
import { ANOMALY, COUNT, EXPECTED, VALUE } from './store.js';

/** Rows that a list shows before it is asked for all. */
const SHOWN = 8;

/** Newest point of each series, the worst first; a rating counts more than a number. */
function newest(list) {
  const rows = list.map((series) => ({ series, point: series.points.at(-1) })).filter(({ point }) => point);
  return rows.sort((a, b) => b.point[VALUE] - a.point[VALUE]);
}

/** The newest value of each series with its rating. */
export class Current {
  constructor(panel) {
    this.panel = panel;
    this.all = false;
    this.sum = el('p', { class: 'sum' });
    this.body = el('tbody');
    this.more = el('button', { type: 'button', hidden: true, onclick: () => this.toggle() });
    const heads = [['Where', ''], ['Value', 'value'], ['Rating', 'rating'], ['Usual', 'usual'], ['Events', 'count']];
    this.table = el('table', {}, el('thead', {}, el('tr', {},
      heads.map(([head, name]) => el('th', { scope: 'col', class: name }, head)))), this.body);
    this.element = el('div', {}, this.sum,
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: newest values` }, this.table),
      this.more);
    this.rows = new Map();
  }

  toggle() {
    this.all = !this.all;
    this.update(this.list);
  }

  update(list) {
    this.list = list;
    const rows = newest(list);
    this.summarise(rows);
    // Columns that nobody fills are left out.
    this.table.classList.toggle('no-rating', this.panel.good === undefined);
    this.table.classList.toggle('no-usual', rows.every(({ point }) => !point[EXPECTED]));
    const shown = this.all ? rows : rows.slice(0, SHOWN);
    const kept = new Map();
    shown.forEach(({ series, point }, at) => {
      const row = this.rows.get(series.key) ?? this.row(series);
      kept.set(series.key, row);
      this.fill(row, point);
      if (this.body.children[at] !== row.element) this.body.insertBefore(row.element, this.body.children[at] ?? null);
    });
    while (this.body.children.length > shown.length) this.body.lastChild.remove();
    this.rows = kept;
    this.more.hidden = rows.length <= SHOWN;
    setText(this.more, this.all ? 'Show the worst only' : `Show all ${rows.length}`);
  }

  summarise(rows) {
    const counts = { good: 0, 'needs-improvement': 0, poor: 0 };
    for (const { point } of rows) {
      const of = rating(point[VALUE], this.panel);
      if (of) counts[of] += 1;
    }
    const words = Object.entries(counts).filter(([, n]) => n).map(([of, n]) => `${n} ${RATINGS[of].word}`);
    setText(this.sum, rows.length ? words.join(', ') || `${rows.length} series` : 'No values yet.');
  }

  row(series) {
    const cells = ['value', 'rating', 'usual', 'count'].map((name) => el('td', { class: name }));
    return { element: el('tr', {}, el('th', { scope: 'row' }, labelText(series.labels)), cells), cells };
  }

  fill({ element, cells: [value, rated, usual, count] }, point) {
    setText(value, number(point[VALUE], this.panel.unit));
    const of = rating(point[VALUE], this.panel);
    if (rated.dataset.of !== String(of)) {
      rated.dataset.of = String(of);
      rated.replaceChildren(badge(of));
    }
    const off = point[EXPECTED] ? Math.round((point[VALUE] / point[EXPECTED] - 1) * 100) : null;
    setText(usual, off === null ? '–' : `${off > 0 ? '+' : off < 0 ? '−' : '±'}${Math.abs(off)} %`);
    setText(count, number(point[COUNT]));
    element.classList.toggle('anomaly', point[ANOMALY] === true);
  }
}

/** A label of a series as text. */
function label(series, name) {
  return String(series.labels[name] ?? '–');
}

/** The newest values by two fields. */
export class HeatMap {
  constructor(panel) {
    this.panel = panel;
    this.rows = panel.rows ?? panel.group_by[0];
    this.columns = panel.columns ?? panel.group_by.find((name) => name !== this.rows);
    this.table = el('table', { class: 'heat' });
    this.element = el('div', {
      class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${panel.title}: ${this.rows} by ${this.columns}`,
    }, this.table);
    this.cells = new Map();
    this.shape = '';
  }

  update(list) {
    const of = (name) => [...new Set(list.map((series) => label(series, name)))].sort();
    const [rows, columns] = [of(this.rows), of(this.columns)];
    const shape = JSON.stringify([rows, columns]);
    if (shape !== this.shape) this.build(rows, columns, shape);
    // The worst of several series in one cell stands.
    const values = new Map(newest(list).reverse().map(({ series, point }) => [this.place(series), point[VALUE]]));
    const [low, high] = [Math.min(...values.values()), Math.max(...values.values())];
    for (const [place, cell] of this.cells) this.fill(cell, values.get(place) ?? null, low, high);
  }

  /** What has changed: hundreds of cells may each second. */
  fill(cell, value, low, high) {
    setText(cell.element, value === null ? '' : number(value));
    const rated = rating(value, this.panel);
    const kind = value === null ? 'none' : rated ?? 'plain';
    if (kind !== cell.kind) {
      cell.kind = kind;
      cell.element.className = kind;
      cell.element.title = rated ? RATINGS[rated].word : '';
    }
    if (kind !== 'plain') return;
    const share = high > low ? (value - low) / (high - low) : 0;
    cell.element.style.setProperty('--share', share.toFixed(2));
  }

  place(series) {
    return `${label(series, this.rows)}\n${label(series, this.columns)}`;
  }

  build(rows, columns, shape) {
    this.shape = shape;
    this.cells = new Map();
    const cell = (row, column) => {
      const element = el('td', {}, '');
      this.cells.set(`${row}\n${column}`, { element, kind: '' });
      return element;
    };
    const head = el('tr', {}, el('th', { scope: 'col' }, this.rows), columns.map((name) => el('th', { scope: 'col' }, name)));
    const body = rows.map((row) => el('tr', {}, el('th', { scope: 'row' }, row), columns.map((column) => cell(row, column))));
    this.table.replaceChildren(el('thead', {}, head), el('tbody', {}, body));
  }
}
