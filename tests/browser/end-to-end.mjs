// A slow page, all the way to a receiver and to the live page, and back with a verdict: through the embedded log,
// and through a Fluvio cluster.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, cluster, here, open, place, receiver, run, serious, start, until } from './parts.mjs';

/** Where the topics are, what commands need there beside, and how to read the pipeline's requests. */
const EMBEDDED = {
  log: ['--data', 'log'],
  partitions: 1,
  collect: [],
  run: ['--follow'],
  sink: [],
  inbox: async (at) => (await run(at, ['cat', 'lcp-inbox', '--data', 'log'])).trim().split('\n').map((line) => JSON.parse(line)),
};

/** A cluster with the pipeline deployed; more than one partition, as one would have. */
async function onCluster(at) {
  const [log, partitions] = [['--cluster', await cluster(at)], 2];
  await run(at, ['deploy', here('pipeline.yaml'), '--partitions', `${partitions}`, ...log]);
  return {
    log,
    partitions,
    // The pipeline has the topic of one metric, the demo page sends more.
    collect: ['--create-topics', `${partitions}`],
    run: [],
    // A worker that ends at once says why.
    works: /holds its partition/,
    sink: ['--journal', 'sink.db'],
    // `cat` is for the embedded log; the page shows records of any topic.
    async inbox(at, page) {
      const answer = await fetch(`${page}api/records/lcp-inbox/0?from=0`);
      return (await answer.json()).records.map(({ value }) => value);
    },
  };
}

/** Collector, pipeline, sink with a receiver and the page; a slow page was visited. */
async function everything(at, to = EMBEDDED) {
  const hook = await receiver(at);
  const receivers = `apiVersion: perfstream/v1
kind: Receivers
meta: { name: test }
receivers:
  - { name: hook, webhook: { url: "${hook.url}", format: alertmanager }, allow_http: true, allow_private: true }
route: { receiver: hook, group_wait: 0s, group_interval: 1s }
`;
  await writeFile(join(at.dir, 'receivers.yaml'), receivers);
  const [, collector] = await start(at, ['collect', ...to.log, ...to.collect, '--listen', '127.0.0.1:0', '--demo'], /collecting at (http:\/\/\S+)\s/);
  const chromium = await browser(at);
  await visit(chromium, collector);
  await start(at, ['run', here('pipeline.yaml'), ...to.log, ...to.run], to.works);
  const [, page] = await start(at, ['sink', '--config', 'receivers.yaml', ...to.log, ...to.sink, '--page', '127.0.0.1:0', '--past'], /the page is at (http:\/\/\S+\/)\s/);
  return { hook, collector, chromium, page };
}

/** A visit of the demo page that is slow by what the page itself does. */
async function visit(chromium, collector) {
  const page = await open(chromium, `${collector}/demo?lcp=2000&shifts=2&page=/slow`);
  await page.waitForFunction(() => new Promise((done) => {
    const late = (list) => list.getEntries().some(({ startTime }) => startTime >= 2000) && done(true);
    new PerformanceObserver(late).observe({ type: 'largest-contentful-paint', buffered: true });
  }));
  // What a page sends when it is left would not arrive if its context were closed now.
  await page.goto('about:blank');
  assert.deepEqual(page.complaints, []);
}

/** The alert at the receiver and on the page, down to the record of the visit, and a verdict back. */
async function story(at, to) {
  const { hook, chromium, page: address } = await everything(at, to);
  const page = await open(chromium, address);
  await page.locator('#banner button').first().waitFor({ timeout: 60_000 });
  const alert = (await until('the webhook', () => hook.bodies[0])).alerts[0];
  assert.equal(alert.status, 'firing');
  assert.equal(alert.labels.alertname, 'LCP Slow');
  assert.equal(alert.labels.page, '/slow');
  assert.match(await page.title(), /^\(1\) Browser test$/);
  assert.match(await page.locator('#banner').innerText(), /LCP Slow, \/slow/);
  assert.match(await page.locator('.panel.current tbody').innerText(), /\/slow.*poor/s);

  // Down to the window and the record of the visit. Where the input stands, the page knows from the workers' status.
  await until('a status of each partition', async () => await page.getByRole('rowheader', { name: /^lcp\// }).count() === to.partitions);
  await page.locator('#banner button').first().click();
  assert.match(await page.locator('#detail').innerText(), /p75_lcp > 1500/);
  await page.getByRole('button', { name: /Show what stood before/ }).click();
  const record = page.locator('#detail pre').last();
  await record.waitFor();
  const value = JSON.parse(await record.innerText());
  assert.ok(value.value >= 2000 && value.page === '/slow', JSON.stringify(value));

  // A notice's link opens its alert.
  const linked = await open(chromium, `${address}#alert=${alert.fingerprint}`);
  await linked.locator('#detail[open]').getByText(/LCP Slow/).first().waitFor();
  assert.equal(await linked.evaluate(() => location.hash), '');

  // A verdict is a record in the pipeline's inbox, and every page sees it.
  const other = await open(chromium, address);
  await other.locator('#banner button').first().waitFor();
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  await other.getByText('(acknowledged)').waitFor({ timeout: 60_000 });
  const inbox = await to.inbox(at, address);
  assert.ok(inbox.some(({ verdict }) => verdict === 'acknowledged'), JSON.stringify(inbox));
  assert.deepEqual([...page.complaints, ...other.complaints, ...linked.complaints], []);
}

export const tests = {
  async 'a slow visit reaches the receiver and the page, and a verdict goes back'() {
    const at = await place();
    try {
      await story(at, EMBEDDED);
    } finally {
      await at.end();
    }
  },

  async 'on a Fluvio cluster a slow visit reaches the receiver and the page, and a verdict goes back'() {
    const at = await place();
    try {
      await story(at, await onCluster(at));
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
          assert.deepEqual(await serious(page), [], `${colorScheme} ${width}`);
          await page.keyboard.press('a');
          await page.keyboard.press('Enter');
          await page.locator('#detail[open]').waitFor();
          assert.deepEqual(await serious(page), [], `${colorScheme} ${width}, the dialog`);
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
