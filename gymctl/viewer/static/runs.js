// The list of runs.
import {html, nothing} from './vendor/lit-html.js';
import {ask, link} from './api.js';
import {ago, bytes, decimal, percent, whole} from './format.js';
import {line, plainLine} from './text.js';

const AT_ONCE = 60;
const EVERY_MS = 5000;

export class View {
  title = 'Runs';
  #app;
  #runs = null;
  #totals = new Map();
  #active = 0;
  #timer;

  constructor(app) {
    this.#app = app;
    this.#load();
    this.#timer = setInterval(() => document.hidden || this.#load(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #load() {
    try {
      const {runs} = await ask('/api/runs');
      this.#runs = runs;
      this.#app.update();
      for (const run of runs.slice(0, AT_ONCE)) {
        const known = this.#totals.get(run.id);
        if (known?.changed === run.changed && known.totals?.indexed >= run.size) continue;
        const totals = await ask(`/api/runs/${run.id}`).catch(() => null);
        this.#totals.set(run.id, {changed: run.changed, totals});
        this.#app.update();
      }
    } catch (error) {
      this.#app.fail(error);
    }
  }

  key(event) {
    const links = [...document.querySelectorAll('main tbody a')];
    const step = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1}[event.key];
    if (!step || !links.length) return false;
    const at = links.indexOf(document.activeElement);
    this.#active = at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step));
    links[this.#active].focus();
    return true;
  }

  template() {
    if (!this.#runs) return html`<h1>Runs</h1><p class="dim">Loading…</p>`;
    if (!this.#runs.length) {
      return html`<h1>Runs</h1><p>No results here yet. Runs appear when <code>gymctl collect</code> writes their first result.</p>`;
    }
    return html`<h1>Runs</h1>
      <table class="list"><thead><tr><th scope="col">results</th><th scope="col">rollouts</th><th scope="col">mean reward</th>
        <th scope="col">passed</th><th scope="col">failed</th><th scope="col">masked</th><th scope="col">size</th><th scope="col">changed</th><th scope="col"><span class="hidden">compare</span></th></tr></thead>
      <tbody>${this.#runs.map((run) => this.#row(run))}</tbody></table>`;
  }

  #row(run) {
    const totals = this.#totals.get(run.id)?.totals;
    const isIndexed = totals && totals.indexed > 0;
    const number = (value) => (isIndexed ? value(totals) : '–');
    return html`<tr><td><a href=${link(['run', run.id])} title=${plainLine(run.path)}>${line(run.label)}</a></td>
      <td>${isIndexed || !totals ? number((each) => whole(each.rollouts)) : html`<span class="dim">not indexed</span>`}</td>
      <td>${number((each) => decimal(each.mean))}</td>
      <td>${number((each) => (each.rollouts > each.masked ? percent(each.passed / (each.rollouts - each.masked)) : '–'))}</td>
      <td class=${isIndexed && totals.failed ? 'bad' : ''}>${number((each) => whole(each.failed))}</td>
      <td class=${isIndexed && totals.masked ? 'bad' : ''}>${number((each) => whole(each.masked))}</td>
      <td>${bytes(run.size)}</td><td>${ago(run.changed)}</td>
      <td>${this.#runs.length > 1 ? html`<a href=${link(['compare'], {a: run.id})} aria-label=${`Compare ${plainLine(run.label)}`}>compare</a>` : nothing}</td></tr>`;
  }
}
