// Two runs joined by task.
import {html, nothing} from './vendor/lit-html.js';
import {ask, asObject, link} from './api.js';
import {decimal, interval, percent, plural, signed, whole} from './format.js';
import {moveAlongRows} from './panels.js';
import {line, plainLine} from './text.js';

const PAGE = 100;
const MOST_MISSING = 20;

export class View {
  title = 'Compare';
  #app;
  #params = {};
  #runs = null;
  #answer = null;
  #isLoading = false;
  #version = 0;

  constructor(app, route) {
    this.#app = app;
    ask('/api/runs').then(({runs}) => {
      this.#runs = runs;
      app.update();
    }, app.fail);
    this.change(route);
  }

  change(route) {
    this.#params = asObject(route.params);
    this.#load();
  }

  async #load() {
    const version = (this.#version += 1);
    if (!this.#params.a || !this.#params.b) {
      this.#answer = null;
      return;
    }
    this.#isLoading = true;
    try {
      const answer = await ask('/api/compare', this.#params);
      if (version === this.#version) this.#answer = answer;
    } catch (error) {
      this.#app.fail(error);
    }
    this.#isLoading = false;
    this.#app.update();
  }

  key(event) {
    return moveAlongRows(event);
  }

  template() {
    const set = (changes) => this.#app.setParams({...this.#params, offset: '', ...changes});
    const choose = (name, label) => html`<label>${label}<select name=${name} @change=${(event) => set({[name]: event.target.value})}>
      <option value="">choose a run</option>
      ${(this.#runs ?? []).map((run) => html`<option value=${run.id} ?selected=${this.#params[name] === run.id}>${plainLine(run.label)}</option>`)}</select></label>`;
    return html`<h1>Compare</h1>
      <form class="filters wide-fields" @submit=${(event) => event.preventDefault()}>${choose('a', 'A: before')}${choose('b', 'B: after')}
        <label>join by<select @change=${(event) => set({join: event.target.value})}>
          <option value="">task index</option><option value="prompt" ?selected=${this.#params.join === 'prompt'}>text of the input</option></select></label>
        <button type="button" @click=${() => set({a: this.#params.b, b: this.#params.a})}>Swap</button></form>
      ${this.#answer ? this.#result(this.#answer) : html`<p class="dim">${this.#isLoading ? 'Comparing…' : 'Choose two runs.'}</p>`}`;
  }

  #result(answer) {
    return html`<section><h2>Result</h2><table class="facts"><tbody>
        <tr><th scope="row">tasks in both</th><td>${whole(answer.total)}</td></tr>
        <tr><th scope="row">mean reward, B − A</th><td>${interval(answer.reward, signed)}</td></tr>
        <tr><th scope="row">share that passed, B − A</th><td>${interval(answer.pass_rate, signedPercent)}</td></tr>
        <tr><th scope="row">McNemar's exact test of the flips</th><td>${answer.p_value === null ? 'no flips' : `p = ${decimal(answer.p_value)}`}</td></tr>
        <tr><th scope="row">missing in A / in B</th><td>${whole(answer.missing_in_a.length)} / ${whole(answer.missing_in_b.length)}</td></tr>
      </tbody></table></section>
      ${answer.differences.length ? html`<section><h2>What else differs</h2><table class="facts">
        <thead><tr><th scope="col">what</th><th scope="col">A</th><th scope="col">B</th></tr></thead>
        <tbody>${answer.differences.map((each) => html`<tr><th scope="row">${line(each.name)}</th><td>${line(each.a.slice(0, 300))}</td><td>${line(each.b.slice(0, 300))}</td></tr>`)}</tbody></table></section>` : nothing}
      ${this.#missing('Missing in A', answer.missing_in_a)}${this.#missing('Missing in B', answer.missing_in_b)}
      <section><h2>Tasks</h2><p class="hint">Flips down first, then flips up, then the largest differences.</p>${this.#pairs(answer)}</section>`;
  }

  #missing(title, tasks) {
    if (!tasks.length) return nothing;
    const shown = tasks.slice(0, MOST_MISSING).map((task) => `${task.task} (${task.reason})`).join(', ');
    const more = tasks.length > MOST_MISSING ? ` and ${whole(tasks.length - MOST_MISSING)} more` : '';
    return html`<p class="notice"><b>${title}</b>, not included in the numbers above: ${line(shown)}${more}</p>`;
  }

  #pairs({pairs, total, offset}) {
    if (!total) return html`<p>No task has a reward in both runs.</p>`;
    const to = (place) => link(['compare'], {...this.#params, offset: place || ''});
    const pair = (each) => link(['compare'], {a: this.#params.a, b: this.#params.b, task_a: each.task_a, task_b: each.task_b, of_a: each.agent_a, of_b: each.agent_b});
    return html`<table class="list"><thead><tr><th scope="col">task</th><th scope="col">agent</th><th scope="col">change</th>
        <th scope="col">reward A</th><th scope="col">reward B</th><th scope="col">difference</th><th scope="col">passed A</th><th scope="col">passed B</th><th scope="col"><span class="hidden">notes</span></th></tr></thead>
      <tbody>${pairs.map((each) => html`<tr><th scope="row"><a href=${pair(each)}>${each.task_a}${each.task_b === each.task_a ? '' : ` / ${each.task_b}`}</a></th>
        <td>${line(each.agent_a)}</td><td>${change(each.change)}</td><td>${decimal(each.reward_a)}</td><td>${decimal(each.reward_b)}</td>
        <td>${signed(each.difference)}</td><td>${percent(each.passed_a)} of ${each.rollouts_a}</td><td>${percent(each.passed_b)} of ${each.rollouts_b}</td>
        <td>${each.same_prompt === false ? html`<span class="warn">different input</span>` : nothing}</td></tr>`)}</tbody></table>
      <nav class="pager" aria-label="Pages">${plural(total, 'task')}
        ${offset > 0 ? html`<a href=${to(offset - PAGE)}>previous ${PAGE}</a>` : nothing}
        ${offset + pairs.length < total ? html`<a href=${to(offset + PAGE)}>next ${PAGE}</a>` : nothing}</nav>`;
  }
}

function signedPercent(value) {
  return (value > 0 ? '+' : '') + percent(value);
}

function change(value) {
  if (value === 'down') return html`<span class="badge bad">↓ failed now</span>`;
  if (value === 'up') return html`<span class="badge good">↑ passes now</span>`;
  return html`<span class="dim">same</span>`;
}
