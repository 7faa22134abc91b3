// 500 series that change once a second: what they cost the server and the page. Prints figures, asserts nothing.
//   npm ci && node load.mjs [SECONDS]
import { readFile } from 'node:fs/promises';
import { browser, open, place, start } from './parts.mjs';

const SECONDS = Number(process.argv[2] ?? 60);
const SERIES = 500;
const FRAME = 250; // points of a record, as the stage makes them

const at = await place();
try {
  const [, collector] = await start(at, ['collect', '--data', 'log', '--listen', '127.0.0.1:0', '--topic', 'dashboards'], /collecting at (http:\/\/\S+)\s/);
  const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], /the page is at (http:\/\/\S+\/)\s/);
  const send = (records) => fetch(`${collector}/v1/events/dashboards`, { method: 'POST', body: JSON.stringify(records) });
  const group_by = ['page', 'browser'];
  const shared = { metric: 'lcp', field: 'p75_lcp', window: 'w', unit: 'ms', good: 2500, poor: 4000, group_by };
  await send([{
    type: 'layout', dashboard: 'load', pipeline: 'lcp', layout: {
      id: 'load', name: 'Load', framework: 'web-vitals', refreshRate: '1s', filters: ['page', 'browser', 'time-range'],
      visualizations: [{ type: 'current', title: 'Now', ...shared }, { type: 'time-series', title: 'Over time', ...shared }, { type: 'heat-map', title: 'By page and browser', ...shared }, { type: 'timeline' }, { type: 'health' }],
      alerting: { enabled: true, severities: ['critical'], sound: false }, interactivity: { drill_down: true, acknowledge: true, feedback: true, zoom: true },
      responsiveness: { phone_columns: 1, tablet_columns: 2, desktop_columns: 3, theme: 'auto' },
    },
  }]);
  const points = () => Array.from({ length: SERIES }, (_, n) => ({
    field: 'p75_lcp', metric: 'lcp', window: 'w', time_ms: Date.now(), labels: { browser: `browser${n % 5}`, page: `/page/${Math.floor(n / 5)}` },
    value: 1000 + 3000 * Math.random(), count: 40, expected: { value: 2000, low: 1500, high: 2600 }, offset: 1,
  }));
  const timer = setInterval(() => {
    const all = points();
    for (let n = 0; n < all.length; n += FRAME) send([{ type: 'frame', dashboard: 'load', pipeline: 'lcp', partition: 0, points: all.slice(n, n + FRAME), events: [] }]);
  }, 1000);

  const page = await open(await browser(at), address);
  await page.locator('.panel').first().waitFor();
  await page.waitForTimeout(10_000);
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable');
  await page.evaluate(() => {
    window.long = 0;
    new PerformanceObserver((list) => { window.long += list.getEntries().length; }).observe({ type: 'longtask' });
  });
  const busy = async () => Object.fromEntries((await client.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value])).TaskDuration;
  const server = async () => {
    const [line] = (await readFile(`/proc/${at.pids.at(-1)}/stat`, 'utf8')).split('\n');
    const [user, system] = line.slice(line.lastIndexOf(')') + 2).split(' ').slice(11, 13).map(Number);
    return (user + system) / 100;
  };
  const [before, cpu] = [await busy(), await server()];
  await page.waitForTimeout(SECONDS * 1000);
  const [after, used] = [await busy(), await server()];
  clearInterval(timer);
  const share = (of) => `${((of / SECONDS) * 100).toFixed(1)} %`;
  console.log(`${SERIES} series, one point a second each, ${SECONDS} s`);
  console.log(`server: ${share(used - cpu)} of a core`);
  console.log(`page: main thread busy ${share(after - before)}, ${await page.evaluate(() => window.long)} tasks over 50 ms`);
  console.log(`complaints: ${page.complaints.length}`);
} finally {
  await at.end();
}
