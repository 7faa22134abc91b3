// What waits for somebody is approved on the page and executed; what `perfstream analyze` finds stands on the page.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { browser, here, open, place, receiver, run, serious, start, until } from './parts.mjs';

const RESPONSE = `apiVersion: perfstream/v1
kind: Pipeline
meta: { name: response, type: event-driven }
input: { topic: alerts, time: { field: timestamp } }
transforms:
  - uses: perfstream/respond@0.1.0
    with:
      dry_run: false
      rules:
        - name: Scale out
          on: alert
          target: "{labels.service}"
          action: { kind: scale, receiver: scaler, name: "{labels.service}", replicas: 6 }
          approval: { timeout: 30m }
  - uses: perfstream/dashboard@0.1.0
    with: { id: operations, name: Responses, visualizations: [{ type: timeline }, { type: health }], filters: [time-range] }
output: { topic: response-events }
`;

/** The page beside a pipeline that answers alerts, a sink that executes, and an alert of a service. */
async function waiting(at) {
  const scaler = await receiver(at);
  await writeFile(join(at.dir, 'response.yaml'), RESPONSE);
  await writeFile(join(at.dir, 'receivers.yaml'), `apiVersion: perfstream/v1
kind: Receivers
meta: { name: test }
receivers:
  - { name: scaler, webhook: { url: "${scaler.url}", format: json }, allow_http: true, allow_private: true }
allow_actions: true
route: { receiver: scaler, routes: [{ matchers: [] }] }
`);
  const [, collector] = await start(at, ['collect', '--data', 'log', '--listen', '127.0.0.1:0', '--topic', 'alerts'], /collecting at (http:\/\/\S+)\s/);
  const fire = (service) => fetch(`${collector}/v1/events/alerts`, { method: 'POST', body: JSON.stringify([{
    kind: 'alert', id: `${service}-1`, alert_id: service, timestamp: new Date().toISOString(), state: 'firing', rule: 'Saturated', labels: { service },
  }]) });
  assert.equal((await fire('cart')).status, 204);
  await start(at, ['run', 'response.yaml', '--data', 'log', '--follow']);
  const [, address] = await start(at, ['sink', '--config', 'receivers.yaml', '--data', 'log', '--page', '127.0.0.1:0'], /the page is at (http:\/\/\S+\/)\s/);
  return { scaler, fire, address, page: await open(await browser(at), address, { bypassCSP: true }) };
}

/** Opens the first action of the banner and says who one is. */
async function answer(page, name, button) {
  await page.locator('#banner button').first().click();
  await page.locator('#detail[open]').waitFor();
  await page.getByLabel('Your name').fill(name);
  await page.getByRole('button', { name: button }).click();
}

/** The status with which the page answers an approval. */
async function approval(address, body) {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${address}api/approval`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
}

export const tests = {
  async 'an action is approved on the page and executed, another one rejected'() {
    const at = await place();
    try {
      const { scaler, fire, address, page } = await waiting(at);
      await page.getByText('1 action waits for approval').waitFor({ timeout: 60_000 });
      assert.match(await page.title(), /^\(1\) Responses$/);
      await answer(page, ' ', 'Approve');
      assert.match(await page.locator('#detail .note').innerText(), /Say who you are/);
      assert.match(await page.locator('#detail').innerText(), /"replicas": 6/);
      assert.deepEqual(await serious(page), []);
      assert.equal(scaler.bodies.length, 0);
      await page.getByRole('button', { name: 'Close' }).click();
      await answer(page, 'ada', 'Approve');
      await until('the request', () => scaler.bodies[0]);
      assert.deepEqual([scaler.bodies[0].metadata.name, scaler.bodies[0].spec.replicas], ['cart', 6]);
      await page.locator('#detail .note').getByText('approved').waitFor();
      await page.getByRole('button', { name: 'Close' }).click();
      await page.locator('.stories').getByText('Scale out: scale of cart is done').waitFor({ timeout: 60_000 });
      await page.locator('#banner').waitFor({ state: 'hidden' });

      await fire('shop');
      await page.getByText('1 action waits for approval').waitFor({ timeout: 60_000 });
      await answer(page, 'ada', 'Reject');
      await page.getByRole('button', { name: 'Close' }).click();
      await page.locator('.stories').getByText('Scale out: scale of shop is rejected').waitFor({ timeout: 60_000 });
      const said = (await run(at, ['cat', 'actions', '--data', 'log'])).trim().split('\n').map((line) => JSON.parse(line));
      assert.deepEqual(said.filter(({ by }) => by).map(({ step, by }) => [step, by]), [['approved', 'ada'], ['rejected', 'ada']]);
      assert.equal(scaler.bodies.length, 1);

      // Nobody may leave out a name.
      assert.equal(await approval(address, { pipeline: 'response', action_id: 'a', approved: true, by: '' }), 400);
      assert.deepEqual(page.complaints, []);
    } finally {
      await at.end();
    }
  },

  async 'what analyze finds stands on the page'() {
    const at = await place();
    try {
      const pipeline = await readFile(here('pipeline.yaml'), 'utf8');
      await writeFile(join(at.dir, 'pipeline.yaml'), pipeline.replace('- { type: health }', '- { type: insights }\n        - { type: health }')
        .replace('zoom: true }', 'approve: false, zoom: true }'));
      // Ten minutes; in the middle of them paints become slower.
      const events = Array.from({ length: 600 }, (_, n) => JSON.stringify({
        timestamp: new Date(Date.UTC(2026, 0, 5, 9, 0, n)).toISOString(), id: `e${n}`, value: (n < 300 ? 600 : 1000) + 10 * ((n * 7) % 11),
        page: '/slow', browser: 'chrome', device: 'mobile', connection: '4g',
      }));
      await writeFile(join(at.dir, 'events.jsonl'), events.join('\n'));
      await run(at, ['run', 'pipeline.yaml', '--data', 'log', '--input', 'events.jsonl']);
      const [, address] = await start(at, ['sink', '--data', 'log', '--page', '127.0.0.1:0'], /the page is at (http:\/\/\S+\/)\s/);
      const page = await open(await browser(at), address, { bypassCSP: true });
      await page.locator('.panel.insights').getByText('None yet').waitFor({ timeout: 60_000 });
      await run(at, ['analyze', 'lcp-stream', 'pipeline.yaml', '--analyzer', 'lcp', '--data', 'log']);
      await page.locator('.insights li').first().waitFor({ timeout: 60_000 });
      assert.match(await page.locator('.panel.insights').innerText(), /pattern\s+p75_lcp of .*went from/);
      assert.deepEqual(await serious(page), []);
      // Nor approve where the dashboard does not let them.
      assert.equal(await approval(address, { pipeline: 'lcp', action_id: 'a', approved: true, by: 'ada' }), 403);
      assert.deepEqual(page.complaints, []);
    } finally {
      await at.end();
    }
  },
};
