// All repeats of every task, a row for each.
import {html, nothing} from './vendor/lit-html.js';
import {ask, asObject, link} from './api.js';
import {decimal, plural, whole} from './format.js';
import {groupCells, moveAlongRows} from './panels.js';
import {line, plainLine} from './text.js';

const PAGE = 100;
const AGAIN_MS = 2000;
const SORTS = [['task', 'task'], ['mean', 'mean reward'], ['spread', 'spread of rewards'], ['failures', 'failures']];

export class View {
  title = 'Groups';
  #app;
  #params = {};
  #answer = null;
  #timer;
  #version = 0;

  constructor(app, route) {
    this.#app = app;
    this.change(route);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  change(route) {
    this.#params = asObject(route.params);
    this.#load();
  }

  onRows() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#load();
    }, AGAIN_MS);
  }

  async #load() {
    const version = (this.#version += 1);
    try {
      const answer = await ask(`/api/runs/${this.#app.run.id}/groups`, this.#params);
      if (version === this.#version) this.#answer = answer;
    } catch (error) {
      this.#app.fail(error);
    }
    this.#app.update();
  }

  key(event) {
    return moveAlongRows(event);
  }

  template() {
    const set = (changes) => this.#app.setParams({...this.#params, offset: '', ...changes});
    const {sort = 'task', desc, mixed} = this.#params;
    return html`<h1>Groups</h1>
      <p class="hint">The repeats of each task: a bar is as high as its reward. Equal rewards give a policy gradient no signal.</p>
      <form class="filters" @submit=${(event) => event.preventDefault()}>
        <label>order<select @change=${(event) => set({sort: event.target.value})}>
          ${SORTS.map(([value, label]) => html`<option value=${value} ?selected=${sort === value}>${label}</option>`)}</select></label>
        <label class="check"><input type="checkbox" .checked=${desc === '1'} @change=${(event) => set({desc: event.target.checked})}>descending</label>
        <label class="check"><input type="checkbox" .checked=${mixed === '1'} @change=${(event) => set({mixed: event.target.checked})}>only mixed rewards</label>
      </form>
      ${this.#answer ? this.#table(this.#answer) : html`<p class="dim">Loading…</p>`}`;
  }

  #table({groups, total, offset, threshold}) {
    if (!total) return html`<p>No groups.</p>`;
    const rewards = groups.flatMap((group) => group.repeats.map((member) => member.reward)).filter((value) => value !== null);
    const range = {low: Math.min(0, ...rewards), high: Math.max(threshold, ...rewards), threshold};
    const runId = this.#app.run.id;
    const cell = (group) => (member, mark, text) => html`<a class="cell" title=${plainLine(text)} aria-label=${plainLine(text)}
      href=${link(['run', runId, 'rollout', `${group.task}:${member.repeat ?? 0}`], {of: group.agent})}>${mark}</a>`;
    const to = (place) => link(this.#app.route.parts, {...this.#params, offset: place || ''});
    return html`<p class="count" role="status">${plural(total, 'group')}</p>
      <table class="list groups"><thead><tr><th scope="col">task</th><th scope="col">agent</th><th scope="col">repeats</th>
        <th scope="col">passed</th><th scope="col">mean</th><th scope="col">spread</th><th scope="col"><span class="hidden">notes</span></th></tr></thead>
      <tbody>${groups.map((group) => html`<tr>
        <th scope="row"><a href=${link(['run', runId, 'task', group.task], {of: group.agent})}>${group.task}</a></th>
        <td>${line(group.agent)}</td><td>${groupCells(group, range, cell(group))}</td>
        <td>${whole(group.passed)} of ${whole(group.repeats.length)}</td><td>${decimal(group.mean)}</td><td>${decimal(group.spread)}</td>
        <td>${group.zero_variance ? html`<span class="warn">zero variance</span>` : nothing}</td></tr>`)}</tbody></table>
      <nav class="pager" aria-label="Pages">
        ${offset > 0 ? html`<a href=${to(offset - PAGE)}>previous ${PAGE}</a>` : nothing}
        ${offset + groups.length < total ? html`<a href=${to(offset + PAGE)}>next ${PAGE}</a>` : nothing}</nav>`;
  }
}
