// The servers of the stack that runs where gymctl view was started. Read-only.
import {html, nothing} from './vendor/lit-html.js';
import {ask, asObject} from './api.js';
import {time, whole} from './format.js';
import {line, lines, plainLine} from './text.js';

const EVERY_MS = 3000;

export class View {
  title = 'Stack';
  #app;
  #stack = null;
  #log = null;
  #params = {};
  #timer;

  constructor(app, route) {
    this.#app = app;
    this.change(route);
    this.#timer = setInterval(() => document.hidden || this.#load(), EVERY_MS);
  }

  change(route) {
    this.#params = asObject(route.params);
    if (this.#log?.server !== this.#params.log) this.#log = null;
    this.#load();
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #load() {
    try {
      this.#stack = await ask('/api/stack');
      const server = this.#params.log;
      if (server) this.#log = {server, ...(await ask('/api/stack/log', {server, tail: 100}))};
    } catch (error) {
      this.#app.fail(error);
    }
    this.#app.update();
  }

  template() {
    const stack = this.#stack;
    if (!stack) return html`<h1>Stack</h1><p class="dim">Querying the engine…</p>`;
    if (stack.name === null) {
      return html`<h1>Stack</h1><p>No stack was brought up from the directory in which <code>gymctl view</code> runs. Start one with <code>gymctl up CONFIG</code>.</p>`;
    }
    return html`<h1>Stack ${line(stack.name)}</h1>
      ${stack.problem ? html`<p class="problem" role="status">${line(stack.problem)}</p>` : nothing}
      ${stack.servers.length ? this.#servers(stack.servers) : nothing}
      ${stack.nodes.length ? nodes(stack.nodes) : nothing}
      ${this.#params.log ? this.#logView() : nothing}`;
  }

  #servers(servers) {
    const show = (name) => this.#app.setParams({log: this.#params.log === name ? '' : name}, {replace: true});
    return html`<table class="list"><thead><tr><th scope="col">server</th><th scope="col">kind</th><th scope="col">state</th><th scope="col">health</th>
        <th scope="col">replicas</th><th scope="col">restarts</th><th scope="col">up</th><th scope="col">address</th><th scope="col"><span class="hidden">log</span></th></tr></thead>
      <tbody>${servers.map((server) => html`<tr><th scope="row">${line(server.name)}</th><td>${line(server.kind)}${server.implementation ? `/${plainLine(server.implementation)}` : ''}</td>
        <td class=${server.ok ? '' : 'bad'}>${line(server.state)}${server.exit_code ? ` (${server.exit_code})` : ''}</td>
        <td class=${server.health === 'unhealthy' ? 'bad' : ''}>${line(server.health || '–')}${server.error ? html`<br><span class="bad">${line(server.error)}</span>` : nothing}</td>
        <td>${server.running === null ? whole(server.replicas) : `${server.running} of ${server.replicas}`}</td><td>${whole(server.restarts)}</td>
        <td>${server.uptime_seconds === null ? '–' : time(server.uptime_seconds * 1000)}</td><td>${line(server.address)}${server.node ? html` <span class="dim">${line(server.node)}</span>` : nothing}</td>
        <td><button type="button" aria-expanded=${this.#params.log === server.name} aria-label=${`Log of ${plainLine(server.name)}`} @click=${() => show(server.name)}>log</button></td></tr>`)}</tbody></table>
      ${history(servers)}`;
  }

  #logView() {
    return html`<section><h2>Log of ${line(this.#params.log)}</h2>
      ${this.#log ? html`<div class="text log" tabindex="0" role="region" aria-label="Last log lines">${this.#log.lines.length ? lines(this.#log.lines.join('\n')) : '(empty)'}</div>` : html`<p class="dim">Loading…</p>`}</section>`;
  }
}

function history(servers) {
  const moments = servers.flatMap((server) => server.history.map((moment) => ({name: server.name, ...moment})));
  if (!moments.length) return nothing;
  moments.sort((a, b) => (a.when < b.when ? 1 : -1));
  return html`<section><h2>Replica history</h2><table class="list"><tbody>${moments.slice(0, 50).map((moment) => html`<tr>
    <td>${line(moment.when.slice(0, 19).replace('T', ' '))}</td><td>${line(`${moment.name}.${moment.replica}`)}</td><td>${line(moment.node)}</td><td>${line(moment.what)}</td></tr>`)}</tbody></table></section>`;
}

function nodes(list) {
  return html`<section><h2>Nodes</h2><table class="list"><thead><tr><th scope="col">node</th><th scope="col">role</th><th scope="col">state</th><th scope="col">availability</th><th scope="col">address</th></tr></thead>
    <tbody>${list.map((node) => html`<tr><th scope="row">${line(node.name)}</th><td>${line(node.role)}${node.leader ? ' (leader)' : ''}</td>
      <td class=${node.usable ? '' : 'bad'}>${line(node.state)}${node.message ? html` ${line(node.message)}` : nothing}</td><td>${line(node.availability)}</td><td>${line(node.address)}</td></tr>`)}</tbody></table></section>`;
}
