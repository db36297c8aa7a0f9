// Drives chromium for the tests: a line of JSON is a call, and a line is its answer. See browser_page.py.
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';

const modules = createRequire(`${process.argv[2]}/package.json`);
const {chromium} = modules('playwright-core');
const axe = modules('axe-core').source;
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--enable-precise-memory-info'];
const browser = await chromium.launch({executablePath: process.argv[3], args: FLAGS});
const pages = [];
const logs = [];

const NETWORK_CHANGED = 'ERR_NETWORK_CHANGED';
const LOADING = ['goto', 'reload', 'goBack'];

const CALLS = {
  async open({options}) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(15000);
    const log = {errors: [], requests: [], dialogs: 0, networkChanges: 0};
    page.on('console', (message) => {
      // Docker's networks come and go while other tests run; what a page then lacks, its test notices
      const isOfThisPage = !message.text().includes(NETWORK_CHANGED);
      if (isOfThisPage && ['error', 'warning'].includes(message.type())) log.errors.push(message.text());
    });
    page.on('pageerror', (error) => log.errors.push(String(error)));
    page.on('requestfailed', (request) => {
      if (request.failure()?.errorText.includes(NETWORK_CHANGED)) log.networkChanges += 1;
    });
    page.on('request', (request) => log.requests.push(request.url()));
    page.on('dialog', (dialog) => {
      log.dialogs += 1;
      dialog.dismiss();
    });
    logs.push(log);
    return pages.push(page) - 1;
  },
  async page({page, method, args}) {
    if (!LOADING.includes(method)) return await pages[page][method](...args);
    const before = logs[page].networkChanges;
    await pages[page][method](...args);
    // a style sheet or a module that was interrupted is missing until the page is loaded again
    if (logs[page].networkChanges > before) await pages[page].reload();
    return null;
  },
  async locator({page, selector, method, args}) {
    return (await pages[page].locator(selector)[method](...args)) ?? null;
  },
  // not waitForFunction, which the page's content policy refuses
  async until({page, expression}) {
    const end = Date.now() + 15000;
    while (!(await pages[page].evaluate(`Boolean(${expression})`).catch(() => false))) {
      if (Date.now() > end) throw new Error(`never true: ${expression}; the page: ${await pages[page].innerText('body')}`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  },
  async press({page, keys}) {
    for (const key of keys) await pages[page].keyboard.press(key);
  },
  async log({page}) {
    return logs[page];
  },
  async axe({page}) {
    await pages[page].evaluate(axe);
    const {violations} = await pages[page].evaluate(() => globalThis.axe.run());
    return violations.map(({id, nodes}) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(' | ')}`);
  },
  async heap({page}) {
    const session = await pages[page].context().newCDPSession(pages[page]);
    await session.send('HeapProfiler.collectGarbage');
    const {usedSize} = await session.send('Runtime.getHeapUsage');
    return usedSize;
  },
  async close({page}) {
    await pages[page].context().close();
  },
};

for await (const text of createInterface({input: process.stdin})) {
  const {call, ...values} = JSON.parse(text);
  let answer;
  try {
    answer = {value: (await CALLS[call](values)) ?? null};
  } catch (error) {
    answer = {error: String(error.message)};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
