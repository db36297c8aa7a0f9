// The list of rollouts: filters, order, and rows that are loaded as they come into sight.
import {html, nothing} from './vendor/lit-html.js';
import {ask, asObject, link, stream} from './api.js';
import {histogram} from './charts.js';
import {decimal, plural, short, time, whole} from './format.js';
import {binFilters} from './overview.js';
import {outcome} from './panels.js';
import {line, plainLine} from './text.js';

const ROW = 28;
const PAGE = 100;
const MOST_PAGES = 20;
const TALLEST = 8e6; // browsers draw no taller elements reliably; the positions of more rows are scaled
const AROUND = 6;
const AGAIN_MS = 400;
const CHARTS_AGAIN_MS = 3000;

const COLUMNS = [
  ['rollout', 'task'], ['agent', 'agent'], ['outcome', null], ['reward', 'reward'], ['turns', 'turns'],
  ['tool calls', 'tool-calls'], ['tokens', 'tokens'], ['time', 'time'], ['notes', null],
];
const LABELS = {
  agent: 'agent', outcome: 'outcome', tool: 'tool', failure_class: 'failure', hop: 'server', task: 'task',
  truncated: 'truncated', tool_errors: 'tool errors', min_reward: 'reward ≥', max_reward: 'reward ≤',
  min_tokens: 'tokens ≥', max_tokens: 'tokens ≤', min_seconds: 'seconds ≥', max_seconds: 'seconds ≤',
  text: 'text', attempts: 'all attempts', threshold: 'pass threshold',
};
const FLAGS = {truncated: ['yes', 'no'], tool_errors: ['yes', 'no']};

export class View {
  title = 'Rollouts';
  #app;
  #params = {};
  #names = null;
  #histograms = [];
  #pages = new Map();
  #loading = new Set();
  #total = null;
  #active = 0;
  #hits = null;
  #search;
  #version = 0;
  #timer;
  #chartTimer;
  #first = 0;
  #count = 40;

  constructor(app, route) {
    this.#app = app;
    this.#active = Number(route.params.get('at')) || 0;
    const namesPath = `${this.#base}/names`;
    this.#apply(route).then(() => ask(namesPath)).then((names) => {
      this.#names = names;
      app.update();
    }, app.fail);
  }

  get #base() {
    return `/api/runs/${this.#app.run.id}`;
  }

  stop() {
    this.#version += 1;
    this.#search?.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#chartTimer);
  }

  change(route) {
    this.#active = Number(route.params.get('at')) || 0;
    this.#apply(route);
    const scroller = document.querySelector('.scroller');
    if (scroller) scroller.scrollTop = 0;
  }

  /** Show what a route selects: the list first, then the charts, so that the list does not wait for them. */
  async #apply(route) {
    const {at, ...params} = asObject(route.params);
    this.#params = params;
    this.#version += 1;
    this.#pages.clear();
    this.#loading.clear();
    this.#search?.abort();
    this.#hits = null;
    const version = this.#version;
    if (params.text) {
      this.#find();
    } else {
      await this.#load(Math.floor(this.#active / PAGE));
    }
    if (version === this.#version) await this.#loadCharts();
  }

  async #load(page, {fresh = false} = {}) {
    const version = this.#version;
    if (this.#loading.has(page) || (this.#pages.has(page) && !fresh)) return;
    this.#loading.add(page);
    try {
      const answer = await ask(`${this.#base}/rollouts`, {...this.#params, offset: page * PAGE});
      if (version !== this.#version) return;
      this.#total = answer.total;
      this.#pages.delete(page);
      this.#pages.set(page, answer.rollouts);
      if (this.#pages.size > MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value);
    } catch (error) {
      this.#app.fail(error);
    } finally {
      if (version === this.#version) this.#loading.delete(page);
    }
    this.#app.update();
  }

  async #find() {
    const search = (this.#search = new AbortController());
    const found = (this.#hits = {rows: [], isDone: false, isAll: true});
    this.#total = 0;
    try {
      await stream(`${this.#base}/find`, this.#params, (answer) => {
        found.rows.push(...answer.hits);
        found.isDone = answer.done;
        found.isAll = answer.all ?? true;
        if (this.#hits === found) this.#total = found.rows.length;
        if (answer.error) this.#app.fail(new Error(answer.error));
        this.#app.update();
      }, search.signal);
    } catch (error) {
      this.#app.fail(error);
    }
  }

  async #loadCharts() {
    const version = this.#version;
    const {text, ...params} = this.#params;
    try {
      const answer = await ask(`${this.#base}/distributions`, params);
      if (version === this.#version) this.#histograms = answer.histograms;
      this.#app.update();
    } catch (error) {
      this.#app.fail(error);
    }
  }

  onRows() {
    if (!this.#hits) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#refresh();
      }, AGAIN_MS);
    }
    this.#chartTimer ??= setTimeout(() => {
      this.#chartTimer = undefined;
      this.#loadCharts();
    }, CHARTS_AGAIN_MS);
  }

  /** Load what is in sight again; the rest is forgotten. */
  #refresh() {
    const inSight = new Set([Math.floor(this.#first / PAGE), Math.floor((this.#first + this.#count) / PAGE)]);
    for (const page of [...this.#pages.keys()]) {
      if (!inSight.has(page)) this.#pages.delete(page);
    }
    for (const page of inSight) this.#load(page, {fresh: true});
  }

  #row(number) {
    if (this.#hits) return this.#hits.rows[number];
    return this.#pages.get(Math.floor(number / PAGE))?.[number % PAGE];
  }

  #set(changes) {
    this.#app.setParams({...this.#params, ...changes});
  }

  key(event) {
    const page = Math.max(1, this.#count - 2 * AROUND - 1);
    const steps = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e12, End: 1e12};
    if (event.key in steps && !event.target.closest?.('button, dialog')) {
      this.#move(steps[event.key]);
      return true;
    }
    if (event.key === 'Enter' && !event.target.closest?.('a, button')) {
      const row = this.#row(this.#active);
      if (row) location.hash = this.#address(row, this.#active);
      return true;
    }
    if (event.key === 'x') {
      this.#app.setParams({});
      return true;
    }
    return false;
  }

  #move(step) {
    this.#active = Math.min(Math.max(0, this.#active + step), Math.max(0, (this.#total ?? 0) - 1));
    const scroller = document.querySelector('.scroller');
    const visible = Math.floor(scroller.clientHeight / ROW);
    const first = this.#firstOf(scroller);
    if (this.#active < first) this.#scrollTo(scroller, this.#active);
    if (this.#active >= first + visible - 1) this.#scrollTo(scroller, this.#active - visible + 2);
    this.#app.update();
  }

  #scale() {
    return Math.min(1, TALLEST / Math.max(1, (this.#total ?? 0) * ROW));
  }

  #firstOf(scroller) {
    return Math.ceil(scroller.scrollTop / (ROW * this.#scale()) - 0.01);
  }

  #scrollTo(scroller, row) {
    scroller.scrollTop = Math.max(0, row) * ROW * this.#scale();
    this.#onScroll(scroller);
  }

  #onScroll(scroller) {
    const first = Math.max(0, Math.floor(scroller.scrollTop / (ROW * this.#scale())) - AROUND);
    const count = Math.ceil(scroller.clientHeight / ROW) + 2 * AROUND;
    if (first === this.#first && count === this.#count) return;
    this.#first = first;
    this.#count = count;
    this.#app.update();
  }

  drawn() {
    const scroller = document.querySelector('.scroller');
    if (!scroller) return;
    if (!scroller.dataset.placed && this.#total !== null) {
      scroller.dataset.placed = '1';
      if (this.#active > 0) this.#scrollTo(scroller, this.#active - 3);
      if (document.activeElement === document.body) scroller.focus({preventScroll: true});
    }
    this.#onScroll(scroller);
    if (this.#hits || this.#total === null) return;
    const last = Math.min(this.#first + this.#count, Math.max(0, this.#total - 1));
    for (const page of new Set([Math.floor(this.#first / PAGE), Math.floor(last / PAGE)])) this.#load(page);
  }

  #address(row, number) {
    const parameters = {...this.#params, of: row.agent, at: number};
    if (this.#params.attempts) parameters.row = row.id;
    return link(['run', this.#app.run.id, 'rollout', row.name], parameters);
  }

  template() {
    const counted = this.#total === null ? 'Loading…' : plural(this.#total, 'rollout');
    return html`<h1 class="hidden">Rollouts</h1>
      ${this.#filters()}
      ${this.#chips()}
      <details class="strip" open><summary>Distribution <span class="dim">– click a bar to filter</span></summary>
        <div class="histograms">${this.#histograms.map((each) => histogram(each, {onPick: (bin) => this.#pick(each.measure, bin)}))}</div></details>
      <p class="count" role="status">${counted}${this.#searchState()}</p>
      ${this.#list()}`;
  }

  #searchState() {
    if (!this.#hits) return nothing;
    if (!this.#hits.isDone) return ' found so far; searching…';
    return this.#hits.isAll ? ' found, in the order of the file' : ' found; the search stopped there';
  }

  #pick(measure, bin) {
    const filters = binFilters(measure, bin);
    const isSet = Object.entries(filters).every(([name, value]) => Number(this.#params[name]) === value);
    this.#set(isSet ? Object.fromEntries(Object.keys(filters).map((name) => [name, ''])) : filters);
  }

  #filters() {
    const names = this.#names;
    const select = (name, label, options) => options.length < 1 ? nothing : html`
      <label>${label}<select name=${name} @change=${(event) => this.#set({[name]: event.target.value})}>
        <option value="">any</option>
        ${options.map(([value, text]) => html`<option value=${value} ?selected=${this.#params[name] === value}>${text}</option>`)}
      </select></label>`;
    const counted = (list = []) => list.map(({name, count}) => [name, `${plainLine(name)} (${short(count)})`]);
    return html`<form class="filters" role="search" @submit=${(event) => {
      event.preventDefault();
      this.#set({text: new FormData(event.target).get('text')});
    }}>
      <label class="grow">text<input type="search" name="text" placeholder="literal text in any field; Enter searches"
        .value=${this.#params.text ?? ''}></label>
      ${select('outcome', 'outcome', [['passed', 'passed'], ['not-passed', 'not passed'], ['failed', 'failed'], ['masked', 'masked']])}
      ${names && names.agents.length > 1 ? select('agent', 'agent', counted(names.agents)) : nothing}
      ${select('tool', 'tool', counted(names?.tools))}
      ${select('failure_class', 'failure', counted(names?.failure_classes))}
      ${select('hop', 'failed server', counted(names?.failure_hops))}
      ${select('truncated', 'truncated', [['1', 'yes'], ['0', 'no']])}
      ${select('tool_errors', 'tool errors', [['1', 'yes'], ['0', 'no']])}
    </form>`;
  }

  #chips() {
    const chips = Object.entries(this.#params).filter(([name]) => name in LABELS);
    if (!chips.length) return nothing;
    return html`<ul class="chips" aria-label="Filters">
      ${chips.map(([name, value]) => html`<li>${LABELS[name]} <b>${line(chipValue(name, value))}</b>
        <button type="button" aria-label=${`Remove the filter ${LABELS[name]}`} @click=${() => this.#set({[name]: ''})}>×</button></li>`)}
      <li class="plain"><button type="button" class="link" @click=${() => this.#app.setParams({})}>Remove all</button></li></ul>`;
  }

  #list() {
    const total = this.#total ?? 0;
    const scale = this.#scale();
    const numbers = [];
    for (let number = this.#first; number < Math.min(total, this.#first + this.#count); number += 1) numbers.push(number);
    const top = scale === 1 ? this.#first * ROW : Math.min(this.#first * ROW * scale, total * ROW * scale - numbers.length * ROW);
    const active = numbers.includes(this.#active) && this.#row(this.#active) ? `row-${this.#active}` : nothing;
    return html`<div class="scroller" tabindex="0" role="grid" aria-label="Rollouts" aria-rowcount=${total + 1}
        aria-activedescendant=${active} @scroll=${(event) => this.#onScroll(event.currentTarget)}>
      <div class="heads" role="row" aria-rowindex="1">${COLUMNS.map((column) => this.#heading(column))}</div>
      <div class="spacer" role="rowgroup" .style=${`height: ${total * ROW * scale}px`}>
        <div class="window" role="presentation" .style=${`transform: translateY(${Math.max(0, top)}px)`}>${numbers.map((number) => this.#rowView(number))}</div>
      </div></div>`;
  }

  #heading([label, sort]) {
    if (!sort || this.#hits) return html`<div role="columnheader">${label}</div>`;
    const isSorted = this.#params.sort === sort;
    const isDescending = isSorted && this.#params.desc === '1';
    const order = isSorted ? (isDescending ? 'descending' : 'ascending') : 'none';
    const next = isDescending ? {sort: '', desc: ''} : {sort, desc: isSorted ? '1' : ''};
    return html`<div role="columnheader" aria-sort=${order}><button type="button" @click=${() => this.#set(next)}>${label}${isSorted ? (isDescending ? ' ↓' : ' ↑') : ''}</button></div>`;
  }

  #rowView(number) {
    const row = this.#row(number);
    const isActive = number === this.#active;
    const classes = isActive ? 'row active' : 'row';
    if (!row) {
      return html`<div class=${classes} role="row" aria-rowindex=${number + 2}><div role="gridcell" class="dim">…</div></div>`;
    }
    const tokens = row.tokens_in === null && row.tokens_out === null ? null : (row.tokens_in ?? 0) + (row.tokens_out ?? 0);
    const open = (event) => {
      if (!event.target.closest('a')) location.hash = this.#address(row, number);
    };
    return html`<div class=${classes} id=${`row-${number}`} role="row" aria-rowindex=${number + 2} aria-selected=${isActive} @click=${open}>
      <div role="gridcell"><a tabindex="-1" href=${this.#address(row, number)}>${line(row.name)}</a></div>
      <div role="gridcell">${line(row.agent)}</div>
      <div role="gridcell">${outcome(row)}</div>
      <div role="gridcell" class="number">${decimal(row.reward)}</div>
      <div role="gridcell" class="number">${whole(row.turns)}</div>
      <div role="gridcell" class="number">${whole(row.tool_calls)}</div>
      <div role="gridcell" class="number">${short(tokens)}</div>
      <div role="gridcell" class="number">${time(row.total_ms)}</div>
      <div role="gridcell" class="notes">${notes(row)}</div></div>`;
  }
}

function notes(row) {
  if (row.excerpt) return html`<span class="excerpt">${line(row.excerpt)}</span>`;
  const failure = row.failure_class
    ? html`<span class="bad">${line(row.failure_class)}${row.failure_hop ? html` at ${line(row.failure_hop)}` : nothing}</span> ` : nothing;
  return html`${failure}${row.truncated ? html`<span class="warn">truncated</span> ` : nothing}${row.tool_errors
    ? html`<span class="warn">${plural(row.tool_errors, 'tool error')}</span>` : nothing}`;
}

function chipValue(name, value) {
  if (name in FLAGS) return FLAGS[name][value === '1' ? 0 : 1];
  if (name === 'attempts') return '';
  const isNumber = /^(min|max)_/.test(name);
  return isNumber ? decimal(Number(value)) : [value].flat().join(', ');
}
