// Elements, numbers and times for people.

/** An element: `el('td', { class: 'x', onclick: f }, 'text', child)`. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text where it has changed, in the node that is there: the browser lays out nothing for the rest. */
export function setText(element, text) {
  const node = element.firstChild;
  if (node?.nodeType !== Node.TEXT_NODE || node.nextSibling) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

/** Sets an attribute where it has changed. */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const some = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });

/** A number, with its unit. */
export function number(value, unit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const text = Math.abs(value) >= 100 ? whole.format(value) : some.format(value);
  return unit ? `${text} ${unit}` : text;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** A time of today by the clock, any other with its day. Milliseconds or RFC 3339. */
export function time(of) {
  if (of === null || of === undefined) return '–';
  const date = new Date(of);
  if (Number.isNaN(date.getTime())) return String(of);
  return date.toDateString() === new Date().toDateString() ? clock.format(date) : day.format(date);
}

/** `good`, `needs-improvement`, `poor`, or null where the panel has no bounds. A bound is the better one's. */
export function rating(value, panel) {
  if (panel.good === undefined || panel.poor === undefined || value === null) return null;
  if (value <= panel.good) return 'good';
  return value > panel.poor ? 'poor' : 'needs-improvement';
}

/** The word for a rating, and a sign that needs no colour. */
export const RATINGS = {
  good: { word: 'good', sign: '●' },
  'needs-improvement': { word: 'needs improvement', sign: '▲' },
  poor: { word: 'poor', sign: '■' },
};

/** The element that shows a rating. */
export function badge(of) {
  const known = RATINGS[of];
  if (!known) return '';
  return el('span', { class: `rating ${of}` }, el('span', { 'aria-hidden': 'true' }, `${known.sign} `), known.word);
}

/** Values of labels, as `/checkout · chrome`: the page first, as people think of it. */
export function labelText(labels) {
  const names = Object.keys(labels ?? {}).sort((a, b) => (b === 'page') - (a === 'page') || (a < b ? -1 : 1));
  return names.length ? names.map((name) => String(labels[name])).join(' · ') : 'all';
}

/** Milliseconds since the epoch, of a number of them or RFC 3339. */
export function milliseconds(of) {
  return new Date(of).getTime();
}
