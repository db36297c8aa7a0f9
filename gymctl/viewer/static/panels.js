// Parts that both the page and a report show: what a run amounts to, and its failures.
import {html, nothing} from './vendor/lit-html.js';
import {decimal, interval, percent, plural, short, time, whole} from './format.js';
import {line} from './text.js';

/** One table, a column per agent. */
export function agentTable(statistics) {
  const agents = statistics.agents;
  const rows = [
    ['rollouts', (agent) => whole(agent.rollouts)],
    ['tasks', (agent) => `${whole(agent.tasks)}${repeats(agent)}`],
    ['mean reward', (agent) => interval(agent.reward)],
    ['passed', (agent) => (agent.scored ? `${whole(agent.passed)} (${percent(agent.passed / agent.scored)})` : '–')],
    ...passRows(agents),
    ['groups with zero variance', (agent) => ratio(agent.zero_variance, agent.groups)],
    ['failed', (agent) => whole(agent.failed), (agent) => agent.failed > 0],
    ['masked (not part of any mean)', (agent) => whole(agent.masked), (agent) => agent.masked > 0],
    ['truncated', (agent) => ratio(agent.truncated, agent.rollouts)],
    ['tool calls with errors', (agent) => ratio(agent.tool_errors, agent.tool_calls)],
    ['model never called', (agent) => whole(agent.model_never_called), (agent) => agent.model_never_called > 0],
    ['tokens in / out', (agent) => `${short(agent.tokens_in)} / ${short(agent.tokens_out)}`],
  ];
  return html`<div class="wide" tabindex="0" role="region" aria-label="Summary by agent"><table class="facts">
    <thead><tr><th scope="col">agent</th>${agents.map((agent) => html`<th scope="col">${line(agent.agent || '(none)')}</th>`)}</tr></thead>
    <tbody>${rows.map(([name, show, isBad = () => false]) => html`<tr><th scope="row">${name}</th>
      ${agents.map((agent) => html`<td class=${isBad(agent) ? 'bad' : ''}>${show(agent)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function repeats({min_repeats: low, max_repeats: high}) {
  if (high <= 1) return '';
  return low === high ? ` × ${high}` : ` × ${low} to ${high}`;
}

function ratio(part, whole_) {
  if (!whole_) return '–';
  return `${whole(part)} of ${whole(whole_)} (${percent(part / whole_)})`;
}

function passRows(agents) {
  const ks = [...new Set(agents.flatMap((agent) => agent.pass_at.map((entry) => entry.k)))].sort((a, b) => a - b);
  return ks.map((k) => [`pass@${k}`, (agent) => {
    const entry = agent.pass_at.find((each) => each.k === k);
    return entry ? interval(entry.estimate, percent) : '–';
  }]);
}

/** Failures by class and by the server whose call failed. `href` makes a link to the rollouts of one. */
export function failureTable(statistics, href) {
  const failures = statistics.agents.flatMap((agent) => agent.failures.map((failure) => ({agent: agent.agent, ...failure})));
  if (!failures.length) return html`<p class="dim">No failed or masked rollouts.</p>`;
  failures.sort((a, b) => b.count - a.count);
  const count = (failure) => (href ? html`<a href=${href(failure)}>${whole(failure.count)}</a>` : whole(failure.count));
  return html`<table class="facts">
    <thead><tr><th scope="col">failure</th><th scope="col">server</th><th scope="col">agent</th><th scope="col">rollouts</th></tr></thead>
    <tbody>${failures.map((failure) => html`<tr><td class="bad">${line(failure.failure_class)}</td>
      <td>${line(failure.hop || '–')}</td><td>${line(failure.agent)}</td><td>${count(failure)}</td></tr>`)}</tbody></table>`;
}

/** Percentiles of the time by hop. */
export function timeTable(statistics) {
  const agents = statistics.agents.filter((agent) => agent.times.length);
  if (!agents.length) return html`<p class="dim">No times were recorded.</p>`;
  return agents.map((agent) => {
    const most = Math.max(1, ...agent.times.map((entry) => entry.p95_ms));
    return html`<table class="facts"><caption>${line(agent.agent)}</caption>
      <thead><tr><th scope="col">hop</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col"><span class="hidden">p95 as a bar</span></th></tr></thead>
      <tbody>${agent.times.map((entry) => html`<tr><th scope="row">${line(entry.hop)}</th><td>${time(entry.p50_ms)}</td>
        <td>${time(entry.p95_ms)}</td><td class="track"><span class="mark" .style=${`width: ${(100 * entry.p95_ms) / most}%`}></span></td></tr>`)}</tbody></table>`;
  });
}

/** How a rollout ended, in a word. */
export function outcome(rollout) {
  if (rollout.failure_class) {
    return html`<span class="badge bad">${rollout.rank === 'masked' ? 'masked' : 'failed'}</span>`;
  }
  if (rollout.reward === null) return html`<span class="badge">no reward</span>`;
  return rollout.passed ? html`<span class="badge good">passed</span>` : html`<span class="badge">not passed</span>`;
}

export function reward(value) {
  return decimal(value);
}

/** Where the time of a rollout went: one bar after the other. */
export function waterfall(times) {
  const entries = Object.entries(times);
  const total = entries.reduce((sum, [, ms]) => sum + ms, 0);
  if (!total) return html`<p class="dim">No times were recorded.</p>`;
  let before = 0;
  return html`<table class="waterfall"><thead class="hidden"><tr><th>hop</th><th>time</th><th>when</th></tr></thead>
    <tbody>${entries.map(([hop, ms]) => {
      const place = `margin-left: ${(100 * before) / total}%; width: ${Math.max(0.3, (100 * ms) / total)}%`;
      before += ms;
      return html`<tr><th scope="row">${line(hop)}</th><td>${time(ms)}</td>
        <td class="track"><span class="mark" .style=${place}></span></td></tr>`;
    })}</tbody></table>`;
}

/** The repeats of a task as cells, each as high as its reward. */
export function groupCells(group, range, link) {
  const width = range.high - range.low || 1;
  return html`<span class="cells">${group.repeats.map((member) => {
    const isFailed = member.failure_class !== null;
    const value = isFailed ? null : member.reward;
    const height = value === null ? 100 : Math.max(6, (100 * (value - range.low)) / width);
    const kind = isFailed ? 'failed' : passKind(value, range.threshold);
    const text = `${group.task}:${member.repeat ?? 0} ${isFailed ? member.failure_class : `reward ${decimal(value)}`}`;
    return link(member, html`<span class=${`level ${kind}`} .style=${`height: ${height}%`}></span>`, text);
  })}</span>`;
}

function passKind(value, threshold) {
  if (value === null) return 'none';
  return value >= threshold ? 'passed' : 'missed';
}

/** Move the focus between the links of a table's rows with j, k and the arrow keys; false for other keys. */
export function moveAlongRows(event) {
  const links = [...document.querySelectorAll('main tbody th a')];
  const step = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1}[event.key];
  if (!step || !links.length) return false;
  const at = links.indexOf(document.activeElement);
  links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step))].focus();
  return true;
}

export {plural, nothing};
