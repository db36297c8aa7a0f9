// Measures the page of gymctl view in chromium. Arguments: the folder with node_modules, chromium, the address with its
// token, the id of the run. Prints one line of JSON.
import {createRequire} from 'node:module';

const [, , folder, chromiumPath, address, runId] = process.argv;
const {chromium} = createRequire(`${folder}/package.json`)('playwright-core');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({executablePath: chromiumPath, args: FLAGS});
const base = address.split('/?')[0];

async function open() {
  const context = await browser.newContext({viewport: {width: 1400, height: 900}});
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const state = {bytes: 0};
  session.on('Network.loadingFinished', (event) => { state.bytes += event.encodedDataLength; });
  session.on('Network.dataReceived', (event) => { state.streamed = (state.streamed ?? 0) + event.encodedDataLength; });
  return {page, session, state};
}

/** Milliseconds until an expression is true, looked at by the page itself in each frame. */
function until(page, expression) {
  return page.evaluate(`new Promise((resolve) => {
    const began = performance.now();
    const look = () => (${expression}) ? resolve(performance.now() - began) : requestAnimationFrame(look);
    look();
  })`);
}

async function heap(session) {
  await session.send('HeapProfiler.collectGarbage');
  return (await session.send('Runtime.getHeapUsage')).usedSize;
}

async function timed(page, action, expression) {
  const began = Date.now();
  await action();
  await until(page, expression);
  return Date.now() - began;
}

const results = {};
const ROWS = `document.querySelectorAll('.row a').length > 5`;
{
  // a browser that has not seen the page before; the cookie comes with the first address
  const {page, session, state} = await open();
  await page.goto(address);
  await page.waitForSelector('h1');
  await page.goto('about:blank');
  state.bytes = 0;
  results.list_ms = await timed(page, () => page.goto(`${base}/#/run/${runId}/rollouts`, {waitUntil: 'commit'}), ROWS);
  await page.waitForTimeout(1500);
  results.list_bytes = state.bytes;
  results.list_heap = await heap(session);
  const count = await page.innerText('.count');
  results.rollouts = Number(count.replace(/\D/g, ''));
  const named = (name) => `document.querySelector('h1')?.innerText === 'Rollout ${name}' && document.querySelector('.conversation .item')`;
  state.bytes = 0;
  results.open_ms = await timed(page, () => page.evaluate(`location.hash = '#/run/${runId}/rollout/100:3'`), named('100:3'));
  results.open_bytes = state.bytes;
  results.open_heap = await heap(session);
  const filters = ['outcome=passed', 'agent=agent_1&sort=time&desc=1', 'min_reward=0&max_reward=0&sort=tokens', 'tool=search&sort=reward&desc=1'];
  const times = [];
  await page.evaluate(`location.hash = '#/run/${runId}/rollouts'`);
  await until(page, ROWS);
  for (const filter of filters) {
    await page.evaluate(`document.querySelectorAll('.row').forEach((row) => row.classList.add('old'))`);
    times.push(await page.evaluate(`new Promise((resolve) => {
      const began = performance.now();
      location.hash = '#/run/${runId}/rollouts?${filter}';
      addEventListener('hashchange', () => {
        const look = () => {
          const loaded = performance.getEntriesByType('resource').some((entry) => entry.name.includes('/rollouts?${filter.split('&')[0]}') && entry.responseEnd > began);
          return loaded ? resolve(performance.now() - began) : requestAnimationFrame(look);
        };
        look();
      }, {once: true});
    })`));
  }
  times.sort((a, b) => a - b);
  results.filter_ms = times[Math.floor(times.length / 2)];
  results.filter_most_ms = times.at(-1);
  results.end_ms = await timed(page, async () => {
    await page.evaluate(`location.hash = '#/run/${runId}/rollouts?sort=time'`);
    await page.waitForTimeout(600);
  }, ROWS) - 600;
  results.jump_ms = await timed(page, () => page.keyboard.press('End'), `document.querySelector('.row.active a')`);
  results.search_first_ms = await timed(page, () => page.evaluate(`location.hash = '#/run/${runId}/rollouts?text=cities'`), `document.querySelector('.excerpt')`);
  await page.evaluate(`location.hash = '#/'`);
  await page.waitForTimeout(500);
  const absent = `document.querySelector('.count')?.innerText.includes('found, in the order')`;
  results.search_absent_ms = await timed(page, () => page.evaluate(`location.hash = '#/run/${runId}/rollouts?text=nothing-has-this'`), absent);
  results.overview_ms = await timed(page, () => page.evaluate(`location.hash = '#/run/${runId}'`), `document.querySelectorAll('line-chart canvas').length > 1 && document.querySelector('.facts')`);
  results.overview_heap = await heap(session);
}
process.stdout.write(`${JSON.stringify(results)}\n`);
await browser.close();
