// The frame of the page: which view is shown, its keys, and what failed.
import {html, nothing, render} from './vendor/lit-html.js';
import {ask, Events, link, readRoute} from './api.js';
import {percent} from './format.js';
import {line, plainLine} from './text.js';

const VIEWS = {
  runs: () => import('./runs.js'),
  overview: () => import('./overview.js'),
  rollouts: () => import('./rollouts.js'),
  rollout: () => import('./rollout.js'),
  groups: () => import('./groups.js'),
  task: () => import('./task.js'),
  compare: () => import('./compare.js'),
  difference: () => import('./difference.js'),
  stack: () => import('./stack.js'),
};
const RUN_VIEWS = [['overview', 'Overview', 'o'], ['rollouts', 'Rollouts', 'r'], ['groups', 'Groups', 't']];
const KEYS = [
  ['?', 'this list'],
  ['g h', 'runs'], ['g o', 'overview of the run'], ['g r', 'rollouts'], ['g t', 'groups by task'],
  ['g c', 'compare two runs'], ['g s', 'stack'],
  ['/', 'search, or the first filter'],
  ['j k', 'next and previous row, or rollout'],
  ['Enter', 'open'], ['u', 'back to the list'],
  ['x', 'remove all filters'], ['v', 'conversation or raw'],
];
const GO = {h: [], c: ['compare'], s: ['stack']};

class App {
  route = {parts: [], params: new URLSearchParams()};
  view = null;
  run = null;
  problem = '';
  #root = document.getElementById('page');
  #name = '';
  #number = 0;
  #pending = '';
  #scheduled = false;
  #events;

  start() {
    addEventListener('hashchange', () => this.#navigate());
    addEventListener('keydown', (event) => this.#key(event));
    this.#navigate();
  }

  /** Draw again, once for any number of calls in a frame. */
  update = () => {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      render(this.#template(), this.#root);
      this.view?.drawn?.();
    });
  };

  fail = (error) => {
    if (error.name === 'AbortError') return;
    this.problem = error.message;
    this.update();
  };

  /** Change the parameters of the address; the view follows. */
  setParams(params, {replace = false} = {}) {
    const address = link(this.route.parts, params);
    if (replace) {
      history.replaceState(null, '', address);
      this.#navigate();
    } else {
      location.hash = address;
    }
  }

  async #navigate() {
    const number = (this.#number += 1);
    const route = readRoute();
    const {name, runId} = place(route);
    this.problem = '';
    this.route = route;
    try {
      const [module] = await Promise.all([VIEWS[name](), this.#useRun(runId)]);
      if (number !== this.#number) return;
      if (this.view && this.#name === `${name} ${runId}` && this.view.change) {
        this.view.change(route);
      } else {
        this.view?.stop?.();
        this.#name = `${name} ${runId}`;
        this.view = new module.View(this, route);
        scrollTo(0, 0);
      }
    } catch (error) {
      if (number !== this.#number) return;
      this.#leave();
      this.fail(error);
    }
    document.title = [this.view?.title, 'gymctl view'].filter(Boolean).map(plainLine).join(' – ');
    this.update();
  }

  #leave() {
    this.view?.stop?.();
    this.view = null;
    this.#name = '';
  }

  async #useRun(runId) {
    if ((this.run?.id ?? '') === runId) return;
    this.#leave(); // a view reads its run when it is drawn
    this.#events?.stop();
    this.#events = undefined;
    this.run = null;
    if (!runId) return;
    this.run = await ask(`/api/runs/${encodeURIComponent(runId)}`, {index: 1});
    this.#events = new Events(this.run.id, this.run.last_id, (state) => this.#onState(state), (isOpen) => {
      if (!this.run || this.run.isOffline === !isOpen) return;
      this.run.isOffline = !isOpen;
      this.update();
    });
  }

  #onState(state) {
    if (!this.run) return;
    const wasReplaced = this.run.restarts !== undefined && state.restarts > this.run.restarts;
    const grew = state.last_id !== this.run.last_id || wasReplaced;
    Object.assign(this.run, state, {rows: undefined});
    if (grew) this.view?.onRows?.(state.rows, wasReplaced);
    this.update();
  }

  #template() {
    const {name} = place(this.route);
    const run = this.run;
    const current = (each) => (each === name ? 'page' : nothing);
    return html`
      <a class="skip" href="#main" @click=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>Skip to content</a>
      <header>
        <nav aria-label="Views">
          <a class="home" href="#/" aria-current=${current('runs')}>gymctl view</a>
          ${run ? html`<span class="run" title=${plainLine(run.path)}>${line(run.label)}</span>
            ${RUN_VIEWS.map(([view, label]) => html`<a href=${link(['run', run.id, view])} aria-current=${current(view)}>${label}</a>`)}` : nothing}
          <a class="right" href=${link(['compare'], run ? {a: run.id} : {})} aria-current=${current('compare')}>Compare</a>
          <a href="#/stack" aria-current=${current('stack')}>Stack</a>
          <button type="button" class="help" aria-label="Keyboard shortcuts" @click=${openHelp}>?</button>
        </nav>
        ${run ? this.#progress(run) : nothing}
      </header>
      <main id="main" tabindex="-1">
        ${this.problem ? html`<p class="problem" role="alert">${line(this.problem)}</p>` : nothing}
        ${this.view ? this.view.template() : nothing}
      </main>
      ${help()}`;
  }

  #progress(run) {
    if (run.problem) return html`<p class="notice" role="status">${line(run.problem)}</p>`;
    if (run.isOffline) return html`<p class="notice" role="status">Not connected; new rollouts appear when the server answers again.</p>`;
    if (run.size > 0 && run.indexed < run.size - 1e7) {
      return html`<p class="notice" role="status">Indexing: ${percent(run.indexed / run.size)}. Only indexed rollouts are shown.</p>`;
    }
    return nothing;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector('dialog[open]')) return;
    const isTyping = event.target.matches?.('input, select, textarea');
    if (isTyping) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    if (this.#pending) {
      this.#pending = '';
      this.#go(event);
    } else if (event.key === 'g') {
      this.#pending = 'g';
    } else if (event.key === '?') {
      openHelp();
    } else if (event.key === '/') {
      const field = document.querySelector('main input[type=search], main select, main input');
      if (field) {
        event.preventDefault();
        field.focus();
      }
    } else if (this.view?.key?.(event)) {
      event.preventDefault();
    }
  }

  #go(event) {
    const inRun = RUN_VIEWS.find(([, , key]) => key === event.key);
    if (inRun && this.run) location.hash = link(['run', this.run.id, inRun[0]]);
    else if (event.key === 'c' && this.run) location.hash = link(['compare'], {a: this.run.id});
    else if (event.key in GO) location.hash = link(GO[event.key]);
  }
}

/** The view of an address, and the run that it is about. */
function place({parts, params}) {
  const [first, runId, view = 'overview'] = parts;
  if (first === 'run' && runId && Object.hasOwn(VIEWS, view)) return {name: view, runId};
  if (first === 'compare') return {name: params.has('task_a') ? 'difference' : 'compare', runId: ''};
  if (first === 'stack') return {name: 'stack', runId: ''};
  return {name: 'runs', runId: ''};
}

function openHelp() {
  document.getElementById('help').showModal();
}

function help() {
  return html`<dialog id="help" aria-labelledby="help-title"><h2 id="help-title">Keyboard</h2>
    <dl>${KEYS.map(([keys, text]) => html`<dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${text}</dd>`)}</dl>
    <form method="dialog"><button>Close</button></form></dialog>`;
}

new App().start();
