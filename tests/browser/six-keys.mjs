// Each of the six keys of a dashboard, changed in the file, changes the page.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, here, open, place, run, start } from './parts.mjs';

const PIPELINE = await readFile(here('pipeline.yaml'), 'utf8');

/** Events of two pages and devices, some of them slow. */
function events() {
  return Array.from({ length: 40 }, (_, n) => JSON.stringify({
    timestamp: new Date(Date.UTC(2026, 0, 5, 9, 0, n)).toISOString(), id: `e${n}`, value: n % 2 ? 3000 : 400,
    page: n % 2 ? '/slow' : '/fast', browser: 'chrome', device: n % 2 ? 'mobile' : 'desktop', connection: '4g',
  })).join('\n');
}

/** The page of the pipeline with one text of the file changed; `look` says what it looks like. */
async function changed(from, to, look, options) {
  const at = await place();
  try {
    assert.ok(PIPELINE.includes(from), `pipeline.yaml has no ${from}`);
    await writeFile(join(at.dir, 'pipeline.yaml'), PIPELINE.replace(from, to));
    await writeFile(join(at.dir, 'events.jsonl'), events());
    await run(at, ['run', 'pipeline.yaml', '--data', 'log', '--input', 'events.jsonl']);
    const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], /the page is at (http:\/\/\S+\/)\s/);
    const page = await open(await browser(at), address, options);
    await page.locator('.panel').first().waitFor({ timeout: 60_000 });
    await page.locator('#filters select').first().waitFor();
    const frames = (await run(at, ['cat', 'dashboards', '--data', 'log'])).split('\n').filter((line) => line.includes('"type":"frame"'));
    const seen = await look(page, frames.length);
    assert.deepEqual(page.complaints, []);
    return seen;
  } finally {
    await at.end();
  }
}

/** What the page looks like as the file stands, and with the change. */
async function compare(from, to, look, [before, after], options) {
  assert.deepEqual(await changed(from, from, look, options), before);
  assert.deepEqual(await changed(from, to, look, options), after);
}

async function dialog(page) {
  await page.locator('.stories button').first().click();
  await page.locator('#detail[open]').waitFor();
  return page.locator('#detail button').allInnerTexts();
}

/** A step that foresees the next five seconds. */
const FORECAST = '  - uses: perfstream/forecast@0.1.0\n' +
  '    with: { field: p75_lcp, group_by: [page, browser, device], step: 1s, horizons: [5s], season: 0s }\n';

export const tests = {
  'a forecast is drawn beyond the newest value': () => compare(
    '  - uses: perfstream/alert@0.1.0', `${FORECAST}  - uses: perfstream/alert@0.1.0`,
    async (page) => {
      const plot = page.locator('.plot').first();
      await plot.locator('canvas').waitFor();
      await plot.press('End');
      return / forecast for /.test(await page.locator('.said').first().innerText());
    },
    [false, true],
  ),

  'visualizations are the panels': () => compare(
    / *- \{ type: heat-map.*\n/.exec(PIPELINE)[0], '',
    (page) => page.locator('.panel h2').allInnerTexts(),
    [['LCP p75', 'LCP over time', 'LCP by page and device', 'Alerts and anomalies', 'Pipelines'], ['LCP p75', 'LCP over time', 'Alerts and anomalies', 'Pipelines']],
  ),

  'filters narrow the page': () => compare(
    'filters: [framework, metric, page, browser, device, time-range]', 'filters: [device]',
    async (page) => {
      const names = await page.locator('#filters select').evaluateAll((all) => all.map((select) => select.name));
      await page.locator('#filters select[name=device]').selectOption('desktop');
      await page.waitForTimeout(1500);
      return [names, await page.locator('.panel.current tbody tr').count(), await page.locator('.stories li').count()];
    },
    [[['framework', 'metric', 'page', 'browser', 'device', 'time-range'], 1, 0], [['device'], 1, 0]],
  ),

  'refreshRate says how often there is something new': async () => {
    const often = await changed('refreshRate: 1s', 'refreshRate: 1s', (_, frames) => frames);
    const seldom = await changed('refreshRate: 1s', 'refreshRate: 20s', async (page, frames) => {
      assert.match(await page.locator('footer').innerText(), /every 20s/);
      return frames;
    });
    assert.ok(often > 5 * seldom, `${often} frames at 1s, ${seldom} at 20s`);
  },

  'alerting says which alerts are shown': () => compare(
    'alerting: { severities: [warning, critical], sound: false }', 'alerting: { enabled: false }',
    async (page) => [await page.locator('#banner').isVisible(), await page.locator('.stories li').count()],
    [[true, 1], [false, 0]],
  ),

  'interactivity says what can be done': () => compare(
    'interactivity: { drill_down: true, acknowledge: true, feedback: true, zoom: true }', 'interactivity: { drill_down: false, acknowledge: true, feedback: false }',
    async (page) => [await dialog(page), await page.locator('#detail h3').allInnerTexts()],
    [[['Close', 'Acknowledge', 'True alarm', 'False alarm', 'Resolved', 'Show what stood before offset 3'], ['Windows', 'Input records']], [['Close', 'Acknowledge'], []]],
  ),

  'responsiveness fits the page to its screen': async () => {
    const look = async (page) => [
      await page.locator('#panels').evaluate((panels) => getComputedStyle(panels).gridTemplateColumns.split(' ').length),
      await page.locator('html').getAttribute('data-theme'),
    ];
    const [from, to] = ['responsiveness: { phone_columns: 1, tablet_columns: 2, desktop_columns: 3, theme: auto }', 'responsiveness: { phone_columns: 2, tablet_columns: 1, desktop_columns: 4, theme: dark }'];
    await compare(from, to, look, [[3, 'auto'], [4, 'dark']]);
    await compare(from, to, look, [[2, 'auto'], [1, 'dark']], { viewport: { width: 900, height: 900 } });
    await compare(from, to, look, [[1, 'auto'], [2, 'dark']], { viewport: { width: 390, height: 900 } });
  },
};
