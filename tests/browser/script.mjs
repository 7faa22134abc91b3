// A site of another origin with the one script tag: what its page measures is in the topics.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { browser, open, place, run, start, until } from './parts.mjs';

/** A headline that is painted, a box that moves it, and a button whose handler takes its time. */
const page = (collector) => `<!doctype html><meta charset=utf-8><title>Cart</title><link rel=icon href="data:,">
<script src="${collector}/perfstream.js" data-token="pub" data-release="7" defer></script>
<div id=top></div><h1 class=headline>A headline that is large enough to be painted last</h1>
<button id=buy>Buy</button>
<script>
  setTimeout(() => { document.getElementById('top').style.height = '200px'; window.moved = true; }, 700);
  new PerformanceObserver((list) => {
    window.timed ||= list.getEntries().some((entry) => entry.name === 'click');
  }).observe({ type: 'event', durationThreshold: 40 });
  document.getElementById('buy').onclick = () => {
    const until = performance.now() + 120;
    while (performance.now() < until);
  };
</script>`;

/** A site that serves one page; the page is told later where the collector is. */
async function site(at) {
  const own = { text: '' };
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(own.text));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  at.later(() => new Promise((done) => { server.close(done); server.closeAllConnections(); }));
  own.origin = `http://127.0.0.1:${server.address().port}`;
  return own;
}

async function records(at, topic) {
  const text = await run(at, ['cat', topic, '--data', 'log']).catch(() => '');
  return text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

export const tests = {
  async 'one script tag on another site sends metrics, shifts and event timings'() {
    const at = await place();
    try {
      const shop = await site(at);
      const args = ['collect', '--data', 'log', '--listen', '127.0.0.1:0', '--allow-origin', shop.origin, '--token', 'pub'];
      const [, collector] = await start(at, args, /collecting at (http:\/\/\S+)\s/);
      shop.text = page(collector);
      const visit = await open(await browser(at), 'about:blank');
      await visit.addInitScript(() => {
        const send = navigator.sendBeacon.bind(navigator);
        navigator.sendBeacon = (...what) => {
          sessionStorage.beacons = Number(sessionStorage.beacons ?? 0) + 1;
          return send(...what);
        };
      });
      await visit.goto(`${shop.origin}/cart?x=secret`);
      await visit.waitForFunction(() => window.moved);
      await visit.click('#buy');
      // The browser tells of a click when its effect is painted; a page that is left before never hears of it.
      await visit.waitForFunction(() => window.timed);
      // web-vitals reads the entry when the page has nothing else to do; who leaves before has no INP.
      await visit.waitForTimeout(1500);
      await visit.goto('about:blank');

      const found = {};
      for (const topic of ['cls-stream', 'inp-events-stream', 'lcp-stream', 'fcp-stream', 'ttfb-stream', 'inp-stream']) {
        found[topic] = await until(`${topic} has a record`, async () => {
          const list = await records(at, topic);
          return list.length && list;
        });
        for (const record of found[topic]) {
          assert.deepEqual([record.page, record.browser, record.device, record.release], ['/cart', 'chrome', 'desktop', '7'], `${topic}: ${JSON.stringify(record)}`);
          assert.ok(record.sessionId && record.navigationId, JSON.stringify(record));
        }
      }
      assert.ok(found['cls-stream'].some(({ value }) => value > 0));
      assert.ok(found['inp-events-stream'].some(({ duration, target }) => duration >= 100 && target === '#buy'));
      assert.ok(found['inp-stream'].some(({ value }) => value >= 100));
      await visit.goto(`${shop.origin}/again`);
      assert.equal(await visit.evaluate(() => sessionStorage.beacons), '1', 'a page that is left says all at once');
      assert.deepEqual(await records(at, 'dead-letters'), []);
      assert.deepEqual(visit.complaints, []);
    } finally {
      await at.end();
    }
  },
};
