// Requests to the server, and addresses within the page.

/** An answer as JSON. Throws an Error whose message can be shown. */
export async function ask(path, params = {}, {signal} = {}) {
  const response = await request(path, params, signal);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `the server answered ${response.status}`);
  return answer;
}

async function request(path, params, signal) {
  let response;
  try {
    response = await fetch(`${path}${query(params)}`, {signal, headers: {accept: 'application/json'}});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('the server does not answer; is gymctl view still running?');
  }
  if (response.status === 401) throw new Error('the token is no longer valid; open the address that gymctl view printed');
  return response;
}

/** A rollout's line as text, and its full length. */
export async function askRaw(path, params) {
  const response = await request(path, params);
  const text = await response.text();
  if (!response.ok) throw new Error(JSON.parse(text).error);
  return {text, length: Number(response.headers.get('x-length'))};
}

/** Lines of JSON, each passed to `onLine` as it comes. */
export async function stream(path, params, onLine, signal) {
  const response = await request(path, params, signal);
  if (!response.ok) throw new Error((await response.json()).error);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const part of parts) onLine(JSON.parse(part));
  }
}

/** `?a=1&b=2` of an object; lists give several values, and what is empty is left out. */
export function query(params) {
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== '' && each !== false) values.append(name, each === true ? '1' : each);
    }
  }
  const text = values.toString();
  return text ? `?${text}` : '';
}

/** An address within the page. */
export function link(parts, params = {}) {
  return `#/${parts.map((part) => encodeURIComponent(part)).join('/')}${query(params)}`;
}

/** The view that the address names: its parts and parameters. */
export function readRoute() {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = path.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return {parts, params: new URLSearchParams(search)};
}

/** Parameters as an object; a name that is there several times has a list. */
export function asObject(params) {
  const values = {};
  for (const name of new Set(params.keys())) {
    const all = params.getAll(name);
    values[name] = all.length > 1 ? all : all[0];
  }
  return values;
}

/**
 * New rows of a run. `onState` takes {last_id, indexed, size, restarts, problem, rows}. Closed while the tab is hidden: a browser
 * has six connections per server for all its tabs.
 */
export class Events {
  #source;
  #lastId;
  #stopped = false;
  #visibility = () => (document.hidden ? this.#close() : this.#open());

  constructor(runId, lastId, onState, onConnection = () => {}) {
    this.runId = runId;
    this.#lastId = lastId;
    this.onState = onState;
    this.onConnection = onConnection;
    document.addEventListener('visibilitychange', this.#visibility);
    if (!document.hidden) this.#open();
  }

  #open() {
    if (this.#stopped || this.#source) return;
    this.#source = new EventSource(`/api/runs/${this.runId}/events${query({after: this.#lastId})}`);
    this.#source.onmessage = (event) => {
      const state = JSON.parse(event.data);
      this.#lastId = Math.max(this.#lastId, state.last_id);
      this.onConnection(true);
      this.onState(state);
    };
    this.#source.onerror = () => this.onConnection(false);
  }

  #close() {
    this.#source?.close();
    this.#source = undefined;
  }

  stop() {
    this.#stopped = true;
    document.removeEventListener('visibilitychange', this.#visibility);
    this.#close();
  }
}
