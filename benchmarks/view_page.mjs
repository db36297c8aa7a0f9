// Measures the page of gymctl view in chromium, and the page of inspect view on the same rollouts. Arguments: the folder
// with node_modules, chromium, 'gymctl' or 'inspect', the address (for gymctl with its token), the id of the run or the
// name of the log. Prints one line of JSON.
import {createRequire} from 'node:module';

const [, , folder, chromiumPath, side, address, name] = process.argv;
const {chromium} = createRequire(`${folder}/package.json`)('playwright-core');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const PATIENCE_MS = 300_000;
const QUIET_MS = 500;
const LOADS = new Set(['Document', 'Fetch', 'XHR']); // the end of a stream of events, or of a worker's script, is not seen
const browser = await chromium.launch({executablePath: chromiumPath, args: FLAGS});

async function open() {
  const context = await browser.newContext({viewport: {width: 1400, height: 900}});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.setDefaultNavigationTimeout(PATIENCE_MS);
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const state = {bytes: 0, open: new Set(), last: Date.now()};
  const isDone = (event) => {
    state.open.delete(event.requestId);
    state.last = Date.now();
  };
  session.on('Network.requestWillBeSent', (event) => {
    if (LOADS.has(event.type)) state.open.add(event.requestId);
  });
  session.on('Network.loadingFinished', (event) => {
    state.bytes += event.encodedDataLength;
    isDone(event);
  });
  session.on('Network.loadingFailed', isDone);
  return {page, session, state};
}

/** Wait until the page asks for nothing more, so that one measurement does not pay for the one before. */
async function settle({page, state}) {
  while (state.open.size > 0 || Date.now() - state.last < QUIET_MS) await page.waitForTimeout(50);
}

/** Wait until an expression is true, looked at by the page itself in each frame. */
function until(page, expression) {
  return page.evaluate(`new Promise((resolve) => {
    const look = () => (${expression}) ? resolve() : requestAnimationFrame(look);
    look();
  })`);
}

/** Milliseconds from an action to an expression, with less than 10 ms for the way to the browser and back. */
async function timed(page, action, expression) {
  const began = Date.now();
  await action();
  await until(page, expression);
  return Date.now() - began;
}

/** Milliseconds from a statement that the page runs to an expression, both in the page. */
function timedInPage(page, statement, expression) {
  return page.evaluate(`new Promise((resolve) => {
    const began = performance.now();
    ${statement};
    const look = () => (${expression}) ? resolve(performance.now() - began) : requestAnimationFrame(look);
    requestAnimationFrame(look);
  })`);
}

async function heap(session) {
  await session.send('HeapProfiler.collectGarbage');
  return (await session.send('Runtime.getHeapUsage')).usedSize;
}

/** The list in a browser that has not seen the page, and again after a reload. */
async function measureList(tab, listAddress, rows, results) {
  const {page, session, state} = tab;
  results.list_ms = await timed(page, () => page.goto(listAddress, {waitUntil: 'commit'}), rows);
  await settle(tab);
  results.list_bytes = state.bytes;
  results.list_heap = await heap(session);
  state.bytes = 0;
  results.list_again_ms = await timed(page, () => page.reload({waitUntil: 'commit'}), rows);
  await settle(tab);
  results.list_again_bytes = state.bytes;
}

async function measureRollout(tab, hash, shown, results) {
  const {page, session, state} = tab;
  state.bytes = 0;
  results.open_ms = await timed(page, () => page.evaluate(`location.hash = ${JSON.stringify(hash)}`), shown);
  await settle(tab);
  results.open_bytes = state.bytes;
  results.open_heap = await heap(session);
}

/** Each filter from a settled page to the number of rows that it selects; numbers of consecutive filters differ. */
async function measureFilters(tab, filters, apply, shown, results) {
  const times = [];
  for (const filter of filters) {
    const before = await tab.page.evaluate(`String(${shown})`);
    times.push(await apply(filter, `String(${shown}) !== ${JSON.stringify(before)}`));
    await settle(tab);
  }
  times.sort((a, b) => a - b);
  results.filter_ms = times[Math.floor(times.length / 2)];
  results.filter_most_ms = times.at(-1);
}

async function gymctlPage() {
  const results = {};
  const tab = await open();
  const {page, session} = tab;
  const run = `#/run/${name}`;
  const rows = `document.querySelectorAll('.row a').length > 5`;
  await measureList(tab, `${address}${run}/rollouts`, rows, results);
  results.rollouts = Number((await page.innerText('.count')).replace(/\D/g, ''));
  const shown = `document.querySelector('h1')?.innerText === 'Rollout 100:3' && document.querySelector('.conversation .item')`;
  await measureRollout(tab, `${run}/rollout/100:3`, shown, results);

  await page.evaluate(`location.hash = '${run}/rollouts'`);
  await until(page, rows);
  await settle(tab);
  const filters = ['outcome=passed', 'agent=agent_1&sort=time&desc=1', 'min_reward=0&max_reward=0&sort=tokens', 'tool=search&sort=reward&desc=1'];
  const apply = (filter, changed) => timedInPage(page, `location.hash = '${run}/rollouts?${filter}'`, changed);
  await measureFilters(tab, filters, apply, `document.querySelector('.count')?.innerText`, results);

  const top = `document.querySelector('.row a')?.innerText`;
  const before = await page.evaluate(top);
  results.sort_ms = await timedInPage(page, `location.hash = '${run}/rollouts?sort=time'`, `${top} && ${top} !== ${JSON.stringify(before)}`);
  await settle(tab);
  results.jump_ms = await timed(page, () => page.keyboard.press('End'), `document.querySelector('.row.active a')`);
  results.search_first_ms = await timed(page, () => page.evaluate(`location.hash = '${run}/rollouts?text=cities'`), `document.querySelector('.excerpt')`);
  await page.evaluate(`location.hash = '#/'`);
  await settle(tab);
  const absent = `document.querySelector('.count')?.innerText.includes('found, in the order')`;
  results.search_absent_ms = await timed(page, () => page.evaluate(`location.hash = '${run}/rollouts?text=nothing-has-this'`), absent);
  await settle(tab);
  const charts = `document.querySelectorAll('line-chart canvas').length > 1 && document.querySelector('.facts')`;
  results.overview_ms = await timed(page, () => page.evaluate(`location.hash = '${run}'`), charts);
  results.overview_heap = await heap(session);
  return results;
}

async function inspectPage() {
  const results = {};
  const tab = await open();
  const {page} = tab;
  const log = `#/tasks/${encodeURIComponent(name)}`;
  const rows = `document.querySelectorAll('[role=row] [role=gridcell]').length > 40`;
  const count = `document.querySelector('[role=grid] [role=status]')?.textContent`;
  await measureList(tab, `${address}${log}`, rows, results);
  results.rollouts = Number((await page.evaluate(count)).replace(/\D/g, ''));
  const shown = `document.title.startsWith('100_4 ') && document.querySelector('[class*="_reasoning_"]')`;
  await measureRollout(tab, `${log}/samples/sample/100/4/`, shown, results);

  await page.evaluate(`location.hash = '${log}'`);
  await until(page, rows);
  await settle(tab);
  const apply = async (filter, changed) => {
    await page.locator('.cm-content').click();
    await page.keyboard.press('Control+A');
    return timed(page, () => page.keyboard.insertText(filter), changed);
  };
  const filters = ['reward == 1', 'reward == 0', 'epoch == 1', 'duration > 30'];
  await measureFilters(tab, filters, apply, count, results);
  return results;
}

const results = side === 'inspect' ? await inspectPage() : await gymctlPage();
process.stdout.write(`${JSON.stringify(results)}\n`);
await browser.close();
