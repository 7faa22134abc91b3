// What a viewer does with the page: narrows it, looks closer, hears an alarm, says what an alarm was worth.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, here, open, place, run, start, until } from './parts.mjs';

const PIPELINE = await readFile(here('pipeline.yaml'), 'utf8');
const READY = /the page is at (http:\/\/\S+\/)\s/;

/** Two minutes of eight series, by page, browser and device; the slow page is slow in Chrome. */
const events = Array.from({ length: 960 }, (_, n) => {
  const [page, name, device] = [n & 1 ? '/slow' : '/fast', n & 2 ? 'chrome' : 'safari', n & 4 ? 'mobile' : 'desktop'];
  return JSON.stringify({
    timestamp: new Date(Date.UTC(2026, 0, 5, 9, 0, 0, n * 125)).toISOString(), id: `e${n}`, page, browser: name, device, connection: '4g',
    value: (n & 3) === 3 ? 3000 : 400 + ((n * 7) % 11),
  });
});

/** The pipeline's file with texts changed. */
function changed(...changes) {
  return changes.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `pipeline.yaml has no ${from}`);
    return text.replace(from, to);
  }, PIPELINE);
}

/** `look` at the page of the events. */
async function page(pipeline, look) {
  const at = await place();
  try {
    await writeFile(join(at.dir, 'pipeline.yaml'), pipeline);
    await writeFile(join(at.dir, 'events.jsonl'), events.join('\n'));
    await run(at, ['run', 'pipeline.yaml', '--data', 'log', '--input', 'events.jsonl']);
    const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], READY);
    const page = await open(await browser(at), address);
    await page.locator('#filters select').first().waitFor({ timeout: 60_000 });
    await until('all series', async () => await page.locator('.panel.current tbody tr').count() === 8);
    await look(page, at);
    assert.deepEqual(page.complaints, []);
  } finally {
    await at.end();
  }
}

const COUNTS = ['metric: lcp, field: p75_lcp, window: seconds, good: 1000', 'metric: visits, field: count, window: seconds, good: 1000'];

export const tests = {
  'each filter narrows the page, and a choice stands in the address': () => page(changed(COUNTS), async (page) => {
    const choose = (name, value) => page.locator(`#filters select[name=${name}]`).selectOption(value);
    const rows = (count) => until(`${count} rows`, async () => await page.locator('.panel.current tbody tr').count() === count);
    const stories = (count) => until(`${count} stories`, async () => await page.locator('.stories li').count() === count);
    await stories(2);
    for (const [name, value, alerts] of [['page', '/fast', 0], ['page', '/slow', 2], ['browser', 'safari', 0], ['browser', 'chrome', 2], ['device', 'mobile', 1]]) {
      await choose(name, value);
      await rows(4);
      await stories(alerts);
      assert.equal(await page.locator('#banner').isVisible(), alerts > 0, `${name} ${value}`);
      assert.equal(new URLSearchParams(new URL(page.url()).hash.slice(1)).get(name), value);
      await choose(name, '');
      await rows(8);
    }
    await choose('page', '/slow');
    await choose('device', 'mobile');
    await rows(2);
    // Who is given the address sees the same.
    await page.reload();
    await rows(2);
    assert.equal(await page.locator('#filters select[name=page]').inputValue(), '/slow');
    await choose('page', '');
    await choose('device', '');

    const titles = () => page.locator('.panel h2').allInnerTexts();
    await choose('metric', 'visits');
    await until('one metric', async () => !(await titles()).includes('LCP p75'));
    assert.deepEqual(await titles(), ['LCP by page and device', 'Alerts and anomalies', 'Pipelines']);
    await choose('metric', '');
    await choose('framework', 'web-vitals');
    await rows(8);
    assert.deepEqual(await page.locator('#filters select[name=framework] option').allInnerTexts(), ['all', 'web-vitals']);
    await choose('framework', '');
    const asked = page.waitForRequest(/api\/stream\?range=900$/);
    await choose('time-range', '900');
    await asked;
    await rows(8);
  }),

  'a plot can be looked at closely where the file lets it': async () => {
    for (const zoom of [true, false]) {
      await page(changed(['zoom: true', `zoom: ${zoom}`]), async (page) => {
        const over = page.locator('.plot .u-over').first();
        await over.waitFor();
        const box = await over.boundingBox();
        await page.mouse.move(box.x + box.width * 0.3, box.y + 50);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.6, box.y + 50, { steps: 5 });
        const selected = await page.locator('.plot .u-select').first().evaluate((select) => select.getBoundingClientRect().width);
        await page.mouse.up();
        assert.equal(selected > box.width * 0.2, zoom, `${selected} of ${box.width}`);
      });
    }
  },

  'what is expected is drawn and told': () => page(
    changed(['  - uses: perfstream/alert@0.1.0', '  - uses: perfstream/detect@0.1.0\n    with: { detector: ensemble, expected: true }\n  - uses: perfstream/alert@0.1.0']),
    async (page) => {
      const plot = page.locator('.plot').first();
      await plot.locator('canvas').waitFor();
      await plot.press('End');
      await until('a sentence', async () => / expected [\d.,]+ ms/.test(await page.locator('.said').first().innerText()));
      await page.locator('.panel.time-series summary').first().click();
      const cells = await page.locator('.panel.time-series tbody tr').first().locator('td').allInnerTexts();
      assert.match(cells[3], /^[\d.,]+ to [\d.,]+$/, cells.join(' | '));
    },
  ),

  'a verdict on an alarm is a record for the detector': () => page(PIPELINE, async (page, at) => {
    for (const [button, verdict] of [['True alarm', 'true_positive'], ['False alarm', 'false_positive'], ['Resolved', 'resolved']]) {
      await page.locator('.stories button').first().click();
      await page.locator('#detail[open]').waitFor();
      await page.getByRole('button', { name: button }).click();
      await page.locator('#detail .note').getByText(button.toLowerCase()).first().waitFor();
      const inbox = (await run(at, ['cat', 'lcp-inbox', '--data', 'log'])).trim().split('\n').map((line) => JSON.parse(line));
      const said = inbox.at(-1);
      assert.deepEqual([said.type, said.verdict], ['feedback', verdict], JSON.stringify(said));
      assert.equal(said.resolution_time_s >= 0, verdict === 'resolved', JSON.stringify(said));
      assert.ok((await run(at, ['cat', 'alerts', '--data', 'log'])).includes(said.alert_id));
      await page.getByRole('button', { name: 'Close' }).click();
    }
  }),

  'an alarm sounds, of the severities and where the file says so': async () => {
    for (const [alerting, sounds, shows] of [
      ['severities: [warning, critical], sound: true', true, true],
      ['severities: [warning, critical], sound: false', false, true],
      ['severities: [warning], sound: true', false, false],
    ]) {
      const at = await place();
      try {
        await writeFile(join(at.dir, 'pipeline.yaml'), changed(['severities: [warning, critical], sound: false', alerting]));
        const [, collector] = await start(at, ['collect', '--data', 'log', '--listen', '127.0.0.1:0'], /collecting at (http:\/\/\S+)\s/);
        const visit = async (value, id) => {
          const body = { name: 'LCP', value, id, page: '/slow', browser: 'chrome', device: 'mobile' };
          assert.equal((await fetch(`${collector}/v1/vitals`, { method: 'POST', body: JSON.stringify(body) })).status, 204);
        };
        await visit(300, 'first');
        await start(at, ['run', 'pipeline.yaml', '--data', 'log', '--follow']);
        const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], READY);
        const chromium = await browser(at);
        const page = await (await chromium.newContext()).newPage();
        // A sound cannot be heard here: that one is made is noted.
        await page.addInitScript(() => {
          const Real = AudioContext;
          window.sounds = 0;
          window.AudioContext = class extends Real { constructor() { super(); window.sounds += 1; } };
        });
        await page.goto(address);
        await page.locator('.panel.current tbody tr').first().waitFor({ timeout: 60_000 });
        assert.equal(await page.evaluate(() => window.sounds), 0);
        await visit(5000, 'slow-1');
        await visit(5000, 'slow-2');
        await page.locator('.stories li').first().waitFor({ timeout: 60_000 }).catch((error) => { if (shows) throw error; });
        await page.waitForTimeout(500);
        assert.equal(await page.locator('#banner').isVisible(), shows, alerting);
        assert.equal(await page.evaluate(() => window.sounds) > 0, sounds, alerting);
        assert.equal(/critical: /.test(await page.locator('#live').innerText()), shows, alerting);
      } finally {
        await at.end();
      }
    }
  },
};
