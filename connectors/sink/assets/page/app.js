// The live page: reads the stream, keeps the store, shows one dashboard.

import { el, setAttribute, setText, time } from './dom.js';
import { Detail } from './detail.js';
import { fillBanner, firing, Health, labelsOf, Timeline, waiting } from './events.js';
import { Insights } from './insights.js';
import { TimeSeries } from './series.js';
import { ALONE, Store } from './store.js';
import { Current, HeatMap } from './values.js';

const $ = (id) => document.getElementById(id);
const store = new Store();
const detail = new Detail($('detail'), store, announce);
const chosen = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const RANGES = { 900: '15 minutes', 3600: '1 hour', 21600: '6 hours', 86400: '24 hours', 604800: '7 days' };
const DEFAULT_RANGE = 3600;
let shown = null; // the dashboard, its revision and its panels
let source = null;
let drawnAt = 0;
let [dirty, drawing, wake] = [false, false, null];

function announce(text) {
  setText($('live'), text);
}

function link(state, text) {
  setAttribute($('link'), 'class', state);
  setText($('link-text'), text);
}

/** Opens the stream; it opens itself again where it breaks. */
function open() {
  source?.close();
  source = new EventSource(`api/stream?range=${range()}`);
  const on = (name, take) => source.addEventListener(name, (event) => { take(JSON.parse(event.data)); schedule(); });
  on('snapshot', (snapshot) => { store.takeSnapshot(snapshot); shown = null; });
  on('frame', (record) => store.takeRecord(record).forEach(alarm));
  on('event', (event) => store.takeEvent(event));
  on('health', (row) => { store.takeHealth(row); detail.showHealth(); });
  on('verdict', (verdict) => { store.takeVerdict(verdict); detail.showVerdict(); });
  source.addEventListener('behind', open);
  source.onopen = () => link('live', 'live');
  source.onerror = () => link('lost', 'connection lost, trying again');
}

function range() {
  return Number(chosen['time-range'] ?? DEFAULT_RANGE);
}

/** Something has changed. At most one drawing each refresh interval, and none while nobody looks. */
async function schedule() {
  dirty = true;
  if (drawing) return;
  drawing = true;
  try {
    while (dirty && !document.hidden) {
      await pause(drawnAt + refresh() - performance.now());
      [dirty, drawnAt] = [false, performance.now()];
      await draw();
    }
  } finally {
    drawing = false;
  }
}

function pause(ms) {
  return new Promise((done) => {
    wake = done;
    setTimeout(done, Math.max(0, ms));
  });
}

/** Draws now, not when it is time. */
function redraw() {
  drawnAt = 0;
  schedule();
  wake?.();
}

function frame() {
  return new Promise(requestAnimationFrame);
}

/** The layout's refreshRate, as `1s` or `1m30s`, in milliseconds. */
function refresh() {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...(shown?.layout.refreshRate ?? '1s').matchAll(/([\d.]+)(ms|s|m|h)/g)];
  return shown ? parts.reduce((sum, [, n, unit]) => sum + Number(n) * units[unit], 0) : 0;
}

/** Each panel in a frame of its own: whoever types or scrolls does not wait for all of them. */
async function draw() {
  const ids = [...store.layouts.keys()].sort();
  if (!ids.length) return;
  const id = ids.includes(chosen.dashboard) ? chosen.dashboard : ids[0];
  if (shown?.id !== id || shown.revision !== store.revision) build(id, ids);
  const place = { range: range(), now: store.newest || Date.now() };
  const stories = store.stories().filter(({ last }) => matches(labelsOf(last)));
  const fires = firing(stories, shown.layout);
  const waits = shown.layout.interactivity.approve ? waiting(stories) : [];
  fillBanner($('banner'), fires, waits, store, (story) => detail.open(story, shown.layout));
  const count = fires.length + waits.length;
  document.title = count ? `(${count}) ${shown.name}` : shown.name;
  const now = shown;
  for (const { panel, view } of now.panels) {
    await frame();
    // Another dashboard or filter has been chosen meanwhile.
    if (shown !== now) return;
    if (panel.type === 'timeline') view.update(stories, store, place);
    else if (panel.type === 'health') view.update(store.health);
    else if (panel.type === 'insights') view.update([...store.insights.values()].filter((insight) => matches(labelsOf(insight))));
    else view.update(seriesOf(panel), place);
  }
  if (store.newest) setAttribute($('link'), 'title', `newest value: ${time(store.newest)}`);
  fillFilters();
  follow();
}

/** A link from a notice names an alert: it opens when it is there. */
function follow() {
  const story = chosen.alert && store.stories().find(({ id }) => id === chosen.alert);
  if (!story) return;
  choose('alert', '');
  detail.open(story, shown.layout);
}

function seriesOf(panel) {
  const own = (series) => series.dashboard === shown.id && series.pipeline === panel.pipeline && series.field === panel.field
    && (!panel.window || series.window === panel.window) && series.points.length
    && Object.keys(series.labels).every((name) => panel.group_by.includes(name)) && matches(series.labels);
  return [...store.series.values()].filter(own);
}

function matches(labels) {
  return shown.labels.every((name) => !chosen[name] || String(labels[name] ?? '') === chosen[name]);
}

/** Makes the panels of a dashboard. */
function build(id, ids) {
  const dashboard = store.dashboard(id);
  const { layout } = dashboard;
  shown = { ...dashboard, revision: store.revision, name: layout.name ?? id, panels: [] };
  shown.labels = layout.filters.filter((name) => !['framework', 'metric', 'time-range'].includes(name));
  setText($('title'), shown.name);
  setText($('refresh'), `New values every ${layout.refreshRate}.`);
  if (!localStorage.theme) setTheme(layout.responsiveness.theme);
  const { phone_columns: phone, tablet_columns: tablet, desktop_columns: desktop } = layout.responsiveness;
  setAttribute($('panels'), 'style', `--phone: ${phone}; --tablet: ${tablet}; --desktop: ${desktop}`);
  $('tabs').hidden = ids.length < 2;
  $('tabs').replaceChildren(...ids.map((other) => el('button', {
    type: 'button', 'aria-current': other === id ? 'page' : null, onclick: () => choose('dashboard', other),
  }, store.dashboard(other).layout.name ?? other)));
  const sections = dashboard.panels.filter(wanted).map(section);
  $('panels').replaceChildren(...sections);
  shown.filterKey = null;
}

function wanted(panel) {
  return ALONE.includes(panel.type) || [['metric', panel.metric ?? panel.field], ['framework', panel.framework]]
    .every(([name, value]) => !shown.layout.filters.includes(name) || !chosen[name] || chosen[name] === value);
}

function section(panel, at) {
  const titles = { timeline: 'Alerts and anomalies', insights: 'Insights', health: 'Pipelines' };
  const own = { ...panel, title: panel.title ?? titles[panel.type] ?? panel.metric ?? panel.field };
  const makers = {
    current: () => new Current(own), 'heat-map': () => new HeatMap(own), 'time-series': () => new TimeSeries(own, shown.layout.interactivity),
    timeline: () => new Timeline(own, (story) => detail.open(story, shown.layout)), insights: () => new Insights(own), health: () => new Health(own),
  };
  const view = makers[panel.type]();
  view.onchange = redraw;
  shown.panels.push({ panel: own, view });
  return el('section', { class: `panel ${panel.type}`, 'aria-labelledby': `panel-${at}` }, el('h2', { id: `panel-${at}` }, own.title), view.element);
}

/** The filters with what there is to choose from. */
function fillFilters() {
  const values = {
    framework: [...new Set(shown.frameworks)],
    metric: [...new Set(store.dashboard(shown.id).panels.map((panel) => panel.metric ?? panel.field))],
  };
  for (const name of shown.labels) values[name] = [];
  for (const series of store.series.values()) {
    for (const name of shown.labels) if (series.labels[name] !== undefined) values[name].push(String(series.labels[name]));
  }
  const lists = shown.layout.filters.map((name) => [name, [...new Set(values[name] ?? [])].filter(Boolean).sort()]);
  const key = JSON.stringify(lists);
  if (key === shown.filterKey || $('filters').contains(document.activeElement)) return;
  shown.filterKey = key;
  $('filters').replaceChildren(...lists.map(([name, list]) => {
    const options = name === 'time-range' ? Object.entries(RANGES) : [['', 'all'], ...list.map((value) => [value, value])];
    const now = name === 'time-range' ? String(range()) : chosen[name] ?? '';
    return el('label', {}, name.replace('-', ' '), el('select', { name, onchange: (event) => choose(name, event.target.value) },
      options.map(([value, text]) => el('option', { value, selected: value === now }, text))));
  }));
}

/** A choice stands in the address, so it can be handed on. */
function choose(name, value) {
  if (value) chosen[name] = value;
  else delete chosen[name];
  history.replaceState(null, '', `#${new URLSearchParams(chosen)}`);
  if (['metric', 'framework', 'dashboard'].includes(name)) shown = null;
  if (name === 'time-range') open();
  redraw();
}

/** An alert has begun to fire. */
function alarm(event) {
  if (!shown?.layout.alerting.severities.includes(event.severity)) return;
  announce(`${event.severity}: ${event.summary}`);
  if (shown.layout.alerting.sound) beep();
}

/** Browsers let a page sound only after somebody has touched it. */
function beep() {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  tone.connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.2);
  tone.onended = () => audio.close();
}

function setTheme(theme) {
  setAttribute(document.documentElement, 'data-theme', theme);
  setText($('theme'), `Theme: ${theme}`);
}

function nextTheme() {
  const order = ['auto', 'light', 'dark'];
  localStorage.theme = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % 3];
  setTheme(localStorage.theme);
  redraw();
}

$('theme').addEventListener('click', nextTheme);
$('filters').addEventListener('submit', (event) => event.preventDefault());
document.addEventListener('visibilitychange', schedule);
window.addEventListener('hashchange', () => {
  const alert = new URLSearchParams(location.hash.slice(1)).get('alert');
  if (alert) chosen.alert = alert;
  schedule();
});
document.addEventListener('keydown', (event) => {
  if (event.target.closest('input, select, dialog') || event.ctrlKey || event.metaKey || event.altKey) return;
  const jobs = { '/': () => $('filters').querySelector('select')?.focus(), a: () => document.querySelector('#banner button, .stories button')?.focus(), t: nextTheme };
  if (!jobs[event.key]) return;
  event.preventDefault();
  jobs[event.key]();
});
if (localStorage.theme) setTheme(localStorage.theme);
open();
