// The page of a report: everything it shows is in the file.
import {html, nothing, render} from './vendor/lit-html.js';
import {histogram, overTime} from './charts.js';
import {decimal, plural, short, time, whole} from './format.js';
import {agentTable, failureTable, groupCells, outcome, timeTable} from './panels.js';
import {line, plainLine} from './text.js';
import {conversation, facts, Folds} from './transcript.js';

async function read() {
  const packed = Uint8Array.from(atob(document.getElementById('data').textContent), (character) => character.charCodeAt(0));
  const text = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip')));
  return text.json();
}

const root = document.getElementById('page');
let data;
let open = null;
let folds;

function update() {
  render(template(), root);
}

function choose(number) {
  open = open === number ? null : number;
  folds = new Folds(update);
  update();
  if (open !== null) document.getElementById(`chosen-${number}`).scrollIntoView({block: 'nearest'});
}

function template() {
  const {statistics} = data;
  return html`<header><nav aria-label="Report"><span class="home">gymctl report</span><span class="run">${line(data.label)}</span>
      <span class="right dim">${line(data.made)}</span></nav></header>
    <main id="main"><h1>${line(data.label)}</h1>
      <p class="dim">${plural(data.totals.rollouts, 'rollout')}, written by gymctl ${line(data.version)}. A reward of ${decimal(statistics.pass_threshold)} or more is a pass.</p>
      ${statistics.unreadable_lines ? html`<p class="notice">${plural(statistics.unreadable_lines, 'line')} of the file could not be read.</p>` : nothing}
      <div class="columns"><section><h2>Summary</h2>${agentTable(statistics)}</section>
        <section><h2>Distribution</h2><div class="histograms">${data.histograms.map((each) => histogram(each))}</div>
          <h2>Failures</h2>${failureTable(statistics)}</section></div>
      <section><h2>Over the run</h2><p class="hint">Means of consecutive results, in the order of the file.</p>${overTime(data.stretches)}</section>
      <section><h2>Time by hop</h2><div class="columns">${timeTable(statistics)}</div></section>
      ${groups()}${rollouts()}</main>`;
}

function groups() {
  const {groups: list, total} = data.groups;
  if (!list.length) return nothing;
  const rewards = list.flatMap((group) => group.repeats.map((member) => member.reward)).filter((value) => value !== null);
  const threshold = data.statistics.pass_threshold;
  const range = {low: Math.min(0, ...rewards), high: Math.max(threshold, ...rewards), threshold};
  const cell = (_, mark, text) => html`<span class="cell" title=${plainLine(text)}>${mark}</span>`;
  return html`<section><h2>Groups</h2><p class="hint">The ${plural(list.length, 'group')} with the largest spread of rewards, of ${whole(total)}.</p>
    <table class="list groups"><thead><tr><th scope="col">task</th><th scope="col">agent</th><th scope="col">repeats</th><th scope="col">passed</th><th scope="col">mean</th></tr></thead>
    <tbody>${list.map((group) => html`<tr><th scope="row">${group.task}</th><td>${line(group.agent)}</td><td>${groupCells(group, range, cell)}</td>
      <td>${whole(group.passed)} of ${whole(group.repeats.length)}</td><td>${decimal(group.mean)}</td></tr>`)}</tbody></table></section>`;
}

function rollouts() {
  if (!data.rollouts.length) return nothing;
  return html`<section><h2>Selected rollouts</h2><p class="hint">${plural(data.rollouts.length, 'rollout')} of ${whole(data.totals.rollouts)}: failures, lowest and highest rewards, slowest, longest, and some in between.
      ${data.most_text ? `Texts are cut to ${whole(data.most_text)} characters.` : ''} All of them: gymctl view.</p>
    <table class="list"><thead><tr><th scope="col">rollout</th><th scope="col">selected as</th><th scope="col">agent</th><th scope="col">outcome</th><th scope="col">reward</th>
      <th scope="col">turns</th><th scope="col">tokens out</th><th scope="col">time</th></tr></thead>
    <tbody>${data.rollouts.map((each, number) => entry(each, number))}</tbody></table></section>`;
}

function entry({reason, rollout, transcript}, number) {
  const isOpen = open === number;
  return html`<tr id=${`chosen-${number}`}><th scope="row"><button type="button" class="link" aria-expanded=${isOpen} @click=${() => choose(number)}>${line(rollout.name)}</button></th>
      <td>${reason}</td><td>${line(rollout.agent)}</td><td>${outcome(rollout)}</td><td>${decimal(rollout.reward)}</td><td>${whole(rollout.turns)}</td>
      <td>${short(rollout.tokens_out)}</td><td>${time(rollout.total_ms)}</td></tr>
    ${isOpen ? html`<tr><td colspan="8" class="opened"><div class="rollout"><div>${conversation(transcript, folds)}
      ${transcript.total_items > transcript.items.length ? html`<p class="dim">and ${plural(transcript.total_items - transcript.items.length, 'more item')}</p>` : nothing}</div>
      ${facts(rollout, transcript, folds)}</div></td></tr>` : nothing}`;
}

data = await read();
update();
