// One task of two runs: the conversations line by line.
import {html, nothing} from './vendor/lit-html.js';
import {ask, asObject, link} from './api.js';
import {decimal, plural} from './format.js';
import {outcome} from './panels.js';
import {indented, line, lines} from './text.js';

const MOST_CHARACTERS = 400000;
const SLOWEST_MS = 1500;
const CONTEXT = 3;
const MOST_WORDS = 6000;

let loading;

function loadDiff() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = '/static/vendor/diff.min.js';
    script.onload = () => resolve(window.Diff);
    script.onerror = () => reject(new Error('the library for differences could not be loaded'));
    document.head.append(script);
  });
  return loading;
}

export class View {
  title = 'Difference';
  #app;
  #params = {};
  #sides = {a: null, b: null};
  #chunks = null;
  #open = new Set();
  #Diff;
  #version = 0;

  constructor(app, route) {
    this.#app = app;
    this.change(route);
  }

  change(route) {
    this.#params = asObject(route.params);
    this.#chunks = null;
    this.#open.clear();
    this.#load();
  }

  async #load() {
    const version = (this.#version += 1);
    try {
      this.#Diff = await loadDiff();
      const [a, b] = await Promise.all(['a', 'b'].map((side) => this.#side(side)));
      if (version !== this.#version) return;
      this.#sides = {a, b};
      this.#chunks = this.#compare(text(a.transcript), text(b.transcript));
    } catch (error) {
      if (version === this.#version) this.#app.fail(error);
    }
    this.#app.update();
  }

  async #side(side) {
    const run = this.#params[side];
    const task = this.#params[`task_${side}`];
    const agent = this.#params[`of_${side}`];
    const {rollouts} = await ask(`/api/runs/${run}/rollouts`, {task, agent, sort: 'task'});
    const number = Math.min(Number(this.#params[`repeat_${side}`] ?? 0), rollouts.length - 1);
    const rollout = rollouts[number];
    if (!rollout) throw new Error(`task ${task} is not in the run`);
    const answer = await ask(`/api/runs/${run}/rollout`, {name: rollout.name, agent: rollout.agent});
    return {run, rollouts, number, rollout, transcript: answer.transcript};
  }

  #compare(before, after) {
    if (before.length + after.length > MOST_CHARACTERS) return [{kind: 'large'}];
    const parts = this.#Diff.diffLines(before, after, {timeout: SLOWEST_MS});
    if (!parts) return [{kind: 'large'}];
    const chunks = [];
    for (const part of parts) {
      const previous = chunks.at(-1);
      if (!part.added && !part.removed) chunks.push({kind: 'same', text: part.value});
      else if (part.added && previous?.kind === 'changed' && previous.after === null) previous.after = part.value;
      else chunks.push({kind: 'changed', before: part.removed ? part.value : null, after: part.added ? part.value : null});
    }
    return chunks;
  }

  key(event) {
    if (event.key !== 'u') return false;
    location.hash = link(['compare'], {a: this.#params.a, b: this.#params.b});
    return true;
  }

  template() {
    const {a, b} = this.#sides;
    return html`<div class="bar"><h1>Task ${line(this.#params.task_a)}</h1>
        <a href=${link(['compare'], {a: this.#params.a, b: this.#params.b})}>all tasks</a></div>
      ${a && b && this.#chunks ? html`<div class="pair"><div class="head">${this.#head('a', a)}</div><div class="head">${this.#head('b', b)}</div></div>
        ${this.#chunks.map((chunk, number) => this.#chunk(chunk, number))}`
    : this.#app.problem ? nothing : html`<p class="dim">Loading…</p>`}`;
  }

  #head(side, {run, rollouts, number, rollout}) {
    const set = (event) => this.#app.setParams({...this.#params, [`repeat_${side}`]: event.target.value});
    return html`<h2>${side.toUpperCase()} <a href=${link(['run', run, 'rollout', rollout.name], {of: rollout.agent})}>${line(rollout.name)}</a>
      ${outcome(rollout)} ${decimal(rollout.reward)}</h2>
      ${rollouts.length > 1 ? html`<label>repeat<select @change=${set}>${rollouts.map((each, place) => html`<option value=${place} ?selected=${place === number}>${each.name}, reward ${decimal(each.reward)}</option>`)}</select></label>` : nothing}`;
  }

  #chunk(chunk, number) {
    if (chunk.kind === 'large') return html`<p class="notice">These conversations are too long to compare line by line; open each.</p>`;
    if (chunk.kind === 'same') return this.#same(chunk.text, number);
    const words = chunk.before && chunk.after && chunk.before.length + chunk.after.length < MOST_WORDS
      ? this.#Diff.diffWordsWithSpace(chunk.before, chunk.after, {timeout: 200}) : null;
    return html`<div class="pair changed"><div class="half before">${chunk.before === null ? nothing : side(words, 'removed', 'added', chunk.before)}</div>
      <div class="half after">${chunk.after === null ? nothing : side(words, 'added', 'removed', chunk.after)}</div></div>`;
  }

  #same(value, number) {
    const all = value.replace(/\n$/, '').split('\n');
    const hidden = all.length - 2 * CONTEXT;
    if (hidden > 3 && !this.#open.has(number)) {
      const show = () => {
        this.#open.add(number);
        this.#app.update();
      };
      const start = all.slice(0, CONTEXT).join('\n');
      const end = all.slice(-CONTEXT).join('\n');
      return html`${both(start)}<button type="button" class="link" @click=${show}>Show ${plural(hidden, 'equal line')}</button>${both(end)}`;
    }
    return both(all.join('\n'));
  }
}

function both(value) {
  return html`<div class="pair"><div class="half">${lines(value)}</div><div class="half">${lines(value)}</div></div>`;
}

function side(words, own, other, whole) {
  if (!words) return lines(whole);
  return words.filter((word) => !word[other]).map((word) => (word[own]
    ? html`<mark class=${own}>${lines(word.value)}</mark>` : lines(word.value)));
}

/** A conversation as text: a heading for each item. */
function text(transcript) {
  return transcript.items.map((item) => {
    const title = {message: item.role, reasoning: 'reasoning', tool_call: `call ${item.name}`, tool_output: 'output'}[item.kind] ?? item.type;
    const body = item.kind === 'tool_call'
      ? `${indented(item.arguments)}\n→ ${item.output === null ? '(no output)' : indented(item.output)}` : indented(item.text);
    return `▸ ${title}\n${body}\n`;
  }).join('\n');
}
