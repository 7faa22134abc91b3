// A slow page, all the way to a receiver and to the live page, and back with a verdict.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, here, open, place, receiver, run, start, until } from './parts.mjs';

const axe = readFileSync(here('node_modules/axe-core/axe.min.js'), 'utf8');

/** Collector, pipeline, sink with a receiver and the page; a slow page was visited. */
async function everything(at) {
  const hook = await receiver(at);
  const receivers = `apiVersion: perfstream/v1
kind: Receivers
meta: { name: test }
receivers:
  - { name: hook, webhook: { url: "${hook.url}", format: alertmanager }, allow_http: true, allow_private: true }
route: { receiver: hook, group_wait: 0s, group_interval: 1s }
`;
  await writeFile(join(at.dir, 'receivers.yaml'), receivers);
  const [, collector] = await start(at, ['collect', '--data', 'log', '--listen', '127.0.0.1:0', '--demo'], /collecting at (http:\/\/\S+)\s/);
  const chromium = await browser(at);
  await visit(chromium, collector);
  await start(at, ['run', here('pipeline.yaml'), '--data', 'log', '--follow']);
  const [, page] = await start(at, ['sink', '--config', 'receivers.yaml', '--data', 'log', '--page', '127.0.0.1:0', '--past'], /the page is at (http:\/\/\S+\/)\s/);
  return { hook, collector, chromium, page };
}

/** Visits of the demo page that are slow by what the page itself does. */
async function visit(chromium, collector) {
  const page = await open(chromium, `${collector}/demo?lcp=2000&shifts=2&page=/slow`);
  await page.waitForTimeout(2600);
  await page.goto('about:blank');
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

async function complaints(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
}

export const tests = {
  async 'a slow visit reaches the receiver and the page, and a verdict goes back'() {
    const at = await place();
    try {
      const { hook, chromium, page: address } = await everything(at);
      const page = await open(chromium, address);
      await page.locator('#banner button').first().waitFor({ timeout: 60_000 });
      const alert = (await until('the webhook', () => hook.bodies[0])).alerts[0];
      assert.equal(alert.labels.alertname, 'LCP Slow');
      assert.equal(alert.labels.page, '/slow');
      assert.match(await page.title(), /^\(1\) Browser test$/);
      assert.match(await page.locator('#banner').innerText(), /LCP Slow, \/slow/);
      assert.match(await page.locator('.panel.current tbody').innerText(), /\/slow.*poor/s);

      // Down to the window and the record of the visit.
      await page.locator('#banner button').first().click();
      assert.match(await page.locator('#detail').innerText(), /p75_lcp > 1500/);
      await page.getByRole('button', { name: /Show what stood before/ }).click();
      const record = page.locator('#detail pre').last();
      await record.waitFor();
      const value = JSON.parse(await record.innerText());
      assert.ok(value.value >= 2000 && value.page === '/slow', JSON.stringify(value));

      // A verdict is a record in the pipeline's inbox, and every page sees it.
      const other = await open(chromium, address);
      await other.locator('#banner button').first().waitFor();
      await page.getByRole('button', { name: 'Acknowledge' }).click();
      await other.getByText('(acknowledged)').waitFor({ timeout: 60_000 });
      const inbox = (await run(at, ['cat', 'lcp-inbox', '--data', 'log'])).trim().split('\n');
      assert.ok(inbox.some((line) => line.includes('acknowledged')), inbox.join('\n'));
      assert.deepEqual([...page.complaints, ...other.complaints], []);
    } finally {
      await at.end();
    }
  },

  async 'axe finds nothing serious, on a desk and on a phone, in light and in dark'() {
    const at = await place();
    try {
      const { chromium, page: address } = await everything(at);
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1440, 390]) {
          const page = await open(chromium, address, { viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
          await page.locator('#banner button').first().waitFor({ timeout: 60_000 });
          assert.deepEqual(await complaints(page), [], `${colorScheme} ${width}`);
          await page.keyboard.press('a');
          await page.keyboard.press('Enter');
          await page.locator('#detail[open]').waitFor();
          assert.deepEqual(await complaints(page), [], `${colorScheme} ${width}, the dialog`);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wide <= 0, `${width}: ${wide} pixels stand out`);
          await page.context().close();
        }
      }
    } finally {
      await at.end();
    }
  },

  async 'another site may neither read the page nor change anything'() {
    const at = await place();
    try {
      await run(at, ['run', here('pipeline.yaml'), '--data', 'log', '--input', '/dev/null']);
      const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], /the page is at (http:\/\/\S+\/)\s/);
      const chromium = await browser(at);
      const page = await open(chromium, 'data:text/html,<p>another site');
      const tried = (options) => page.evaluate(async ([url, options]) => {
        const answer = await fetch(`${url}api/verdict`, { method: 'POST', body: '{}', ...options }).catch(() => null);
        return answer && answer.type !== 'opaque' ? answer.status : 'unread';
      }, [address, options]);
      assert.equal(await tried({ headers: { 'content-type': 'application/json' } }), 'unread');
      assert.equal(await tried({ mode: 'no-cors' }), 'unread');
      // Nobody has asked for anything: the topic is not there.
      await assert.rejects(run(at, ['cat', 'lcp-inbox', '--data', 'log']), /no topic/);
    } finally {
      await at.end();
    }
  },
};
