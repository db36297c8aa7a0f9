// A rollout as a conversation.
import {html, nothing} from './vendor/lit-html.js';
import {decimal, plural, time, whole} from './format.js';
import {outcome, waterfall} from './panels.js';
import {indented, line, lines} from './text.js';

const MOST_CHARACTERS = 2400;
const MOST_LINES = 30;

/** Which texts are unfolded, and how to load the rest of a text that the server cut. */
export class Folds {
  #open = new Set();

  constructor(update, load) {
    this.update = update;
    this.load = load;
  }

  isOpen(key) {
    return this.#open.has(key);
  }

  toggle(key) {
    if (!this.#open.delete(key)) this.#open.add(key);
    this.update();
  }
}

function folded(text) {
  let end = Math.min(text.length, MOST_CHARACTERS);
  let newline = -1;
  for (let count = 0; count < MOST_LINES; count += 1) {
    newline = text.indexOf('\n', newline + 1);
    if (newline < 0) break;
    if (count === MOST_LINES - 1) end = Math.min(end, newline);
  }
  return text.slice(0, end);
}

/** A text, of which the start is shown when it is long. `cut` is the full length of one that the server cut. */
export function longText(text, key, folds, {cut, where} = {}) {
  const full = indented(text);
  const start = folded(full);
  const isLong = start.length < full.length;
  const isOpen = !isLong || folds.isOpen(key);
  const toggle = isLong
    ? html`<button type="button" class="link" aria-expanded=${isOpen} @click=${() => folds.toggle(key)}>
        ${isOpen ? 'Show less' : `Show all ${whole(full.length)} characters`}</button>`
    : nothing;
  const more = cut && isOpen
    ? html`<p class="dim">The first ${whole(text.length)} of ${whole(cut)} characters.
        ${folds.load && where ? html`<button type="button" class="link" @click=${() => folds.load(where)}>Load the rest</button>` : nothing}</p>`
    : nothing;
  return html`<div class="text">${lines(isOpen ? full : start)}${isOpen ? nothing : html`<span class="dim"> …</span>`}</div>${toggle}${more}`;
}

function itemView(item, number, folds) {
  const part = (name, label) => longText(item[name] ?? '', `${number}.${name}`, folds, {cut: item.cut?.[name], where: label ?? number});
  switch (item.kind) {
    case 'message':
      return html`<article class=${`item ${roleClass(item.role)}`}><h2>${line(item.role)}</h2>${part('text')}</article>`;
    case 'reasoning':
      return html`<article class="item reasoning"><h2>reasoning</h2>${part('text')}</article>`;
    case 'tool_call':
      return html`<article class=${`item tool ${item.failed ? 'error' : ''}`}>
        <h2>call <b>${line(item.name)}</b></h2>${part('arguments')}
        <h2>output ${item.failed ? html`<span class="badge bad">error</span>` : nothing}</h2>
        ${item.output === null ? html`<p class="dim">not in the row</p>` : part('output')}</article>`;
    case 'tool_output':
      return html`<article class=${`item tool ${item.failed ? 'error' : ''}`}><h2>output without a call</h2>${part('text')}</article>`;
    default:
      return html`<article class="item"><h2>${line(item.type)}</h2>${part('text')}</article>`;
  }
}

function roleClass(role) {
  return ['system', 'developer', 'user', 'assistant'].includes(role) ? role : '';
}

/** The items, with the border between the prompt and what came after it. */
export function conversation(transcript, folds) {
  const first = transcript.offset;
  return html`<section class="conversation" aria-label="Conversation">
    ${transcript.items.map((item, place) => {
      const number = first + place;
      const border = number === transcript.prompt_items && number > 0 ? html`<p class="border">model output begins here</p>` : nothing;
      return html`${border}${itemView(item, number, folds)}`;
    })}
    ${transcript.total_items === 0 ? html`<p class="dim">The row has no conversation.</p>` : nothing}
  </section>`;
}

/** What the row says about the rollout: outcome, times, the verifier's fields. */
export function facts(rollout, transcript, folds, place) {
  const tokens = transcript.tokens_in === null && transcript.tokens_out === null
    ? '–' : `${whole(transcript.tokens_in)} / ${whole(transcript.tokens_out)}`;
  const pairs = [
    ['agent', line(transcript.agent || '–')],
    ['model', line(transcript.model || '–')],
    ['turns', whole(rollout.turns)],
    ['tool calls', `${whole(rollout.tool_calls)}${rollout.tool_errors ? `, ${plural(rollout.tool_errors, 'error')}` : ''}`],
    ['tokens in / out', tokens],
    ['time', time(transcript.total_ms)],
  ];
  if (transcript.truncated) pairs.push(['truncated', line(transcript.truncated)]);
  if (transcript.trace_id) pairs.push(['trace', line(transcript.trace_id)]);
  if (place) pairs.push(['in the file', html`${line(place.file)}, line ${place.line}`]);
  return html`<aside aria-label="Facts">
    <p class="score">${outcome(rollout)} <strong>${rollout.reward === null ? '' : decimal(rollout.reward)}</strong>
      ${rollout.reward === null ? '' : html`<span class="dim">reward</span>`}</p>
    ${failureFacts(transcript.failure, folds)}
    <dl>${pairs.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    <h2>Time</h2>${waterfall(transcript.times)}
    <h2>Verifier and task</h2>${verifierFields(transcript, folds)}
  </aside>`;
}

function failureFacts(failure, folds) {
  if (!failure) return nothing;
  const status = failure.status ? ` answered ${failure.status}` : '';
  return html`<div class="failure"><p><b>${line(failure.failure_class)}</b>${failure.hop ? html`: ${line(failure.hop)}${line(failure.path ? ` ${failure.path}` : '')}${status}` : nothing}
    ${failure.terminal ? html`<span class="dim">(not retried)</span>` : nothing}</p>
    ${failure.message ? longText(failure.message, 'failure.message', folds) : nothing}
    ${failure.body ? longText(failure.body, 'failure.body', folds) : nothing}</div>`;
}

function verifierFields(transcript, folds) {
  if (!transcript.verifier.length) return html`<p class="dim">No additional fields.</p>`;
  const hidden = transcript.verifier_fields - transcript.verifier.length;
  return html`<dl class="fields">${transcript.verifier.map((field) => html`<dt>${line(field.name)}</dt>
    <dd>${longText(field.text, `field.${field.name}`, folds, {cut: field.cut?.text})}</dd>`)}</dl>
    ${hidden > 0 ? html`<p class="dim">and ${plural(hidden, 'more field')}, under Raw</p>` : nothing}`;
}
