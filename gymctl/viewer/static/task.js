// The repeats of one task side by side.
import {html, nothing} from './vendor/lit-html.js';
import {ask, link} from './api.js';
import {decimal, plural, short, time, whole} from './format.js';
import {outcome, waterfall} from './panels.js';
import {line} from './text.js';
import {Folds, longText} from './transcript.js';

const AT_ONCE = 16;

export class View {
  #app;
  #task;
  #agent;
  #rollouts = null;
  #total = 0;
  #transcripts = new Map();
  #folds;

  constructor(app, route) {
    this.#app = app;
    this.#task = route.parts[3] ?? '';
    this.#agent = route.params.get('of') ?? '';
    this.#folds = new Folds(app.update);
    this.#load();
  }

  get title() {
    return `Task ${this.#task}`;
  }

  change(route) {
    if (route.parts[3] === this.#task && (route.params.get('of') ?? '') === this.#agent) return;
    this.#task = route.parts[3] ?? '';
    this.#agent = route.params.get('of') ?? '';
    this.#rollouts = null;
    this.#transcripts.clear();
    this.#load();
  }

  async #load() {
    const base = `/api/runs/${this.#app.run.id}`;
    try {
      const answer = await ask(`${base}/rollouts`, {task: this.#task, agent: this.#agent, sort: 'task'});
      this.#rollouts = answer.rollouts;
      this.#total = answer.total;
      this.#app.update();
      for (const rollout of answer.rollouts.slice(0, AT_ONCE)) {
        const loaded = await ask(`${base}/rollout`, {name: rollout.name, agent: rollout.agent});
        this.#transcripts.set(rollout.id, loaded.transcript);
        this.#app.update();
      }
    } catch (error) {
      this.#app.fail(error);
    }
  }

  key(event) {
    if (event.key === 'u') {
      location.hash = link(['run', this.#app.run.id, 'groups']);
      return true;
    }
    const links = [...document.querySelectorAll('main .repeat h2 a')];
    const step = {j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1}[event.key];
    if (!step || !links.length) return false;
    const at = links.indexOf(document.activeElement);
    links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step))].focus();
    return true;
  }

  template() {
    const rollouts = this.#rollouts;
    if (!rollouts) return html`<h1>Task ${line(this.#task)}</h1>${this.#app.problem ? nothing : html`<p class="dim">Loading…</p>`}`;
    const first = this.#transcripts.get(rollouts[0]?.id);
    const prompt = first?.items.slice(0, first.prompt_items).filter((item) => item.kind === 'message' && item.role === 'user').at(-1);
    return html`<div class="bar"><h1>Task ${line(this.#task)}</h1><a href=${link(['run', this.#app.run.id, 'groups'])}>groups</a></div>
      ${prompt ? html`<article class="item user"><h2>task</h2>${longText(prompt.text, 'prompt', this.#folds)}</article>` : nothing}
      <p class="count">${plural(this.#total, 'rollout')}${this.#total > rollouts.length ? `, the first ${rollouts.length} are shown` : ''}</p>
      <div class="repeats" tabindex="0" role="region" aria-label="Repeats">${rollouts.map((rollout) => this.#column(rollout))}</div>`;
  }

  #column(rollout) {
    const transcript = this.#transcripts.get(rollout.id);
    return html`<article class="repeat"><h2><a href=${link(['run', this.#app.run.id, 'rollout', rollout.name], {of: rollout.agent})}>${line(rollout.name)}</a></h2>
      <p>${outcome(rollout)} <b>${decimal(rollout.reward)}</b></p>
      <p class="dim">${plural(rollout.turns, 'turn')}, ${plural(rollout.tool_calls, 'tool call')}, ${short(rollout.tokens_out)} tokens out, ${time(rollout.total_ms)}</p>
      ${rollout.failure_class ? html`<p class="bad">${line(rollout.failure_class)}</p>` : nothing}
      ${transcript ? this.#ending(rollout, transcript) : nothing}</article>`;
  }

  #ending(rollout, transcript) {
    const last = transcript.items.slice(Math.max(0, transcript.prompt_items - transcript.offset))
      .filter((item) => item.kind === 'message').at(-1);
    const calls = transcript.items.filter((item) => item.kind === 'tool_call');
    return html`${last ? longText(last.text, `${rollout.id}.last`, this.#folds) : nothing}
      ${calls.length ? html`<h3>tool calls</h3><ol>${calls.slice(0, 20).map((call) => html`<li class=${call.failed ? 'bad' : ''}>${line(call.name)}
        <span class="dim">${line(call.arguments.slice(0, 80))}</span></li>`)}</ol>${calls.length > 20 ? html`<p class="dim">and ${whole(calls.length - 20)} more</p>` : nothing}` : nothing}
      <h3>verifier and task</h3><dl class="fields">${transcript.verifier.map((field) => html`<dt>${line(field.name)}</dt>
        <dd>${longText(field.text, `${rollout.id}.${field.name}`, this.#folds)}</dd>`)}</dl>
      ${waterfall(transcript.times)}`;
  }
}
