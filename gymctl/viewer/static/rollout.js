// One rollout: its conversation, what the verifier said, its times, its line as it is.
import {html, nothing} from './vendor/lit-html.js';
import {ask, askRaw, asObject, link, query} from './api.js';
import {bytes, decimal, whole} from './format.js';
import {line, lines, plainLine, indented} from './text.js';
import {conversation, facts, Folds} from './transcript.js';

const OWN = ['of', 'at', 'row', 'show', 'item'];

export class View {
  #app;
  #folds;
  #name;
  #params;
  #answer = null;
  #raw = null;
  #version = 0;

  constructor(app, route) {
    this.#app = app;
    this.change(route);
  }

  get title() {
    return `Rollout ${this.#name}`;
  }

  get #base() {
    return `/api/runs/${this.#app.run.id}`;
  }

  change(route) {
    const before = JSON.stringify([this.#name, this.#params?.of, this.#params?.row, this.#params?.item]);
    this.#name = route.parts[3] ?? '';
    this.#params = asObject(route.params);
    const after = JSON.stringify([this.#name, this.#params.of, this.#params.row, this.#params.item]);
    if (before !== after) {
      this.#folds = new Folds(this.#app.update, (number) => this.#loadRest(number));
      this.#answer = null;
      this.#raw = null;
      this.#load();
      scrollTo(0, 0);
    }
    if (this.#params.show === 'raw') this.#loadRaw();
    this.#app.update();
  }

  get #which() {
    return {name: this.#name, agent: this.#params.of, row: this.#params.row};
  }

  async #load() {
    const version = (this.#version += 1);
    try {
      const answer = await ask(`${this.#base}/rollout`, {...this.#which, item: this.#params.item});
      if (version !== this.#version) return;
      this.#answer = answer;
    } catch (error) {
      if (version === this.#version) this.#app.fail(error);
    }
    this.#app.update();
  }

  async #loadRest(number) {
    try {
      const answer = await ask(`${this.#base}/rollout`, {...this.#which, item: number, items: 1, full: 1});
      const shown = this.#answer.transcript;
      shown.items[number - shown.offset] = answer.transcript.items[0];
      this.#app.update();
    } catch (error) {
      this.#app.fail(error);
    }
  }

  async #loadRaw() {
    if (this.#raw) return;
    this.#raw = {text: null};
    try {
      this.#raw = await askRaw(`${this.#base}/raw`, this.#which);
    } catch (error) {
      this.#app.fail(error);
    }
    this.#app.update();
  }

  get #filters() {
    return Object.fromEntries(Object.entries(this.#params).filter(([name]) => !OWN.includes(name)));
  }

  key(event) {
    const step = {j: 1, k: -1}[event.key];
    if (step) {
      this.#step(step);
      return true;
    }
    if (event.key === 'u') {
      location.hash = this.#listAddress();
      return true;
    }
    if (event.key === 'v') {
      this.#show(this.#params.show === 'raw' ? '' : 'raw');
      return true;
    }
    return false;
  }

  #listAddress() {
    return link(['run', this.#app.run.id, 'rollouts'], {...this.#filters, at: this.#params.at});
  }

  #show(which) {
    this.#app.setParams({...this.#params, show: which}, {replace: true});
  }

  /** The next rollout of the list that this one was opened from. */
  async #step(step) {
    const at = Number(this.#params.at ?? NaN) + step;
    if (!(at >= 0) || this.#filters.text) return;
    try {
      const {rollouts: [next]} = await ask(`${this.#base}/rollouts`, {...this.#filters, offset: at, limit: 1});
      if (!next) return;
      const row = this.#filters.attempts ? next.id : '';
      const address = link(['run', this.#app.run.id, 'rollout', next.name],
        {...this.#filters, of: next.agent, at, row, show: this.#params.show});
      history.replaceState(null, '', address);
      dispatchEvent(new HashChangeEvent('hashchange'));
    } catch (error) {
      this.#app.fail(error);
    }
  }

  template() {
    const isRaw = this.#params.show === 'raw';
    const canStep = this.#params.at !== undefined && !this.#filters.text;
    const tab = (which, label) => html`<button type="button" role="tab" id=${`tab-${label}`} aria-controls="panel"
      aria-selected=${(this.#params.show ?? '') === which} @click=${() => this.#show(which)}>${label}</button>`;
    return html`<div class="bar"><h1>Rollout ${line(this.#name)}</h1>
        <a href=${this.#listAddress()}>list</a>
        ${this.#answer?.rollout.task === null || !this.#answer ? nothing
    : html`<a href=${link(['run', this.#app.run.id, 'task', this.#answer.rollout.task], {of: this.#answer.rollout.agent})}>all repeats of task ${this.#answer.rollout.task}</a>`}
        <span class="right"></span>
        ${canStep ? html`<button type="button" @click=${() => this.#step(-1)}>Previous</button>
          <button type="button" @click=${() => this.#step(1)}>Next</button>` : nothing}
        <div role="tablist" aria-label="Format">${tab('', 'Conversation')}${tab('raw', 'Raw')}</div></div>
      ${this.#rows()}
      <div id="panel" role="tabpanel" aria-labelledby=${isRaw ? 'tab-Raw' : 'tab-Conversation'}>
      ${isRaw ? this.#rawView() : this.#answer ? this.#body(this.#answer) : this.#app.problem ? nothing : html`<p class="dim">Loading…</p>`}</div>`;
  }

  /** The other rows of the rollout: failed attempts, repeated results. */
  #rows() {
    const rows = this.#answer?.rows ?? [];
    if (rows.length < 2) return nothing;
    const name = (row) => (row.rank === 'failure' ? `attempt ${(row.attempt ?? 0) + 1}: ${row.failure_class}` : `${row.rank} ${decimal(row.reward)}`);
    return html`<nav class="rows" aria-label="Rows of this rollout">${rows.map((row, place) => html`<a
      href=${link(['run', this.#app.run.id, 'rollout', this.#name], {...this.#params, row: place ? row.id : '', item: ''})}
      aria-current=${row.id === this.#answer.rollout.id ? 'true' : nothing}>${line(name(row))}</a>`)}</nav>`;
  }

  #body({rollout, transcript, place}) {
    return html`<div class="rollout">
      <div>${this.#pager(transcript)}${conversation(transcript, this.#folds)}${this.#pager(transcript)}</div>
      ${facts(rollout, transcript, this.#folds, place)}</div>`;
  }

  #pager({offset, items, total_items: total}) {
    if (total <= items.length) return nothing;
    const to = (item) => link(this.#app.route.parts, {...this.#params, item});
    return html`<nav class="pager" aria-label="Items">items ${whole(offset + 1)} to ${whole(offset + items.length)} of ${whole(total)}
      ${offset > 0 ? html`<a href=${to(Math.max(0, offset - 100))}>earlier</a>` : nothing}
      ${offset + items.length < total ? html`<a href=${to(offset + 100)}>later</a>` : nothing}</nav>`;
  }

  #rawView() {
    if (!this.#raw || this.#raw.text === null) return html`<p class="dim">Loading…</p>`;
    const {text, length} = this.#raw;
    const address = `${this.#base}/raw${query({...this.#which, full: 1})}`;
    return html`<p class="hint">The line of the file, with line breaks added. ${bytes(length)}.
      <a href=${address} download=${plainLine(`rollout-${this.#name}.json`)}>Download</a></p>
      ${text.length < length && new Blob([text]).size < length ? html`<p class="notice">Only the first part is shown.</p>` : nothing}
      <div class="text raw">${lines(indented(text))}</div>`;
  }
}
