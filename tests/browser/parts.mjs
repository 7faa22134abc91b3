// What the tests are made of: perfstream's processes, a cluster, a receiver, a browser, and waiting with an end.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** The longest that anything is waited for. */
const PATIENCE_MS = 60_000;

/** The exit status of `test_cluster` where there is no server binary. */
const NO_SERVER = 3;

export const here = (path) => new URL(path, import.meta.url).pathname;
export const perfstream = process.env.PERFSTREAM ?? here('../../target/release/perfstream');
const testCluster = process.env.TEST_CLUSTER ?? here('../../target/release/test_cluster');

/** Says why a test cannot run here. */
export class Skipped extends Error {}

/** A directory of its own, and what is to be ended when the test is over. */
export async function place() {
  const dir = await mkdtemp(join(tmpdir(), 'perfstream-browser-'));
  const ends = [];
  return {
    dir,
    pids: [],
    later: (end) => ends.push(end),
    async end() {
      for (const end of ends.reverse()) await end();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Starts perfstream; resolves with the first match of `ready` in what it says, or at once without one. */
export function start(at, args, ready) {
  const child = spawn(perfstream, args, { cwd: at.dir, stdio: ['ignore', 'pipe', 'pipe'] });
  at.pids.push(child.pid);
  const ended = new Promise((done) => child.on('close', done));
  at.later(async () => { child.kill('SIGTERM'); await ended; });
  return ready ? hear(child, `perfstream ${args.join(' ')}`, ready) : Promise.resolve();
}

/** Resolves with the first match of `ready` in what a process says. */
function hear(child, name, ready) {
  return new Promise((done, fail) => {
    let said = '';
    const listen = (chunk) => {
      said += chunk;
      const match = ready.exec(said);
      if (match) done(match);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('close', (code) => fail(Object.assign(new Error(`${name} ended with ${code}: ${said}`), { code })));
    setTimeout(() => fail(new Error(`${name} did not say ${ready}: ${said}`)), PATIENCE_MS).unref();
  });
}

/** Starts a Fluvio cluster of the test's own, `tests/src/bin/test_cluster.rs`; its address. */
export async function cluster(at) {
  if (!existsSync(testCluster)) throw new Skipped('test_cluster is not built; `cargo xtask test` builds it');
  const child = spawn(testCluster, { stdio: 'pipe' });
  const ended = new Promise((done) => child.on('close', done));
  at.later(async () => { child.stdin.end(); await ended; });
  try {
    const [, address] = await hear(child, 'test_cluster', /^(\S+:\d+)\n/m);
    return address;
  } catch (error) {
    // A server that is named and not there is a mistake.
    if (error.code !== NO_SERVER || process.env.FLUVIO_RUN) throw error;
    throw new Skipped('no Fluvio server: `fluvio-run` is neither at FLUVIO_RUN nor on PATH');
  }
}

/** Runs perfstream to its end. */
export function run(at, args) {
  return new Promise((done, fail) => {
    const child = spawn(perfstream, args, { cwd: at.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, errors] = ['', ''];
    child.stdout.on('data', (chunk) => { out += chunk; });
    child.stderr.on('data', (chunk) => { errors += chunk; });
    child.on('close', (code) => (code === 0 ? done(out) : fail(new Error(`perfstream ${args.join(' ')}: ${code}: ${errors}`))));
  });
}

/** A webhook receiver: `bodies` grows with what comes. */
export async function receiver(at) {
  const bodies = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    bodies.push(JSON.parse(Buffer.concat(parts).toString()));
    response.writeHead(200).end();
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  at.later(() => new Promise((done) => { server.close(done); server.closeAllConnections(); }));
  return { bodies, url: `http://127.0.0.1:${server.address().port}/` };
}

export async function browser(at) {
  const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
  at.later(() => browser.close());
  return browser;
}

/** Asks until the answer is true, and returns it. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s for: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Opens a page; whatever it complains of is a failure, at the end of the test. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  await page.goto(url);
  return page;
}

/** What axe finds serious on a page. */
export async function serious(page) {
  await page.evaluate(readFileSync(here('node_modules/axe-core/axe.min.js'), 'utf8'));
  const { violations } = await page.evaluate(() => axe.run());
  return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
}
