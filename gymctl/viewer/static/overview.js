// What a run amounts to.
import {html, nothing} from './vendor/lit-html.js';
import {ask, link} from './api.js';
import {histogram, overTime} from './charts.js';
import {plural} from './format.js';
import {agentTable, failureTable, timeTable} from './panels.js';
import {line} from './text.js';

const AGAIN_MS = 3000;

/** The filters that a bin of a histogram stands for. */
export function binFilters(measure, bin) {
  if (measure === 'time') return {min_seconds: bin.low / 1000, max_seconds: bin.high / 1000};
  return {[`min_${measure}`]: bin.low, [`max_${measure}`]: measure === 'tokens' ? Math.floor(bin.high) : bin.high};
}

export class View {
  title = 'Overview';
  #app;
  #summary;
  #histograms = [];
  #stretches = [];
  #timer;

  constructor(app) {
    this.#app = app;
    this.#load();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  onRows() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#load();
    }, AGAIN_MS);
  }

  async #load() {
    const base = `/api/runs/${this.#app.run.id}`;
    const parts = [
      ['/distributions', (answer) => { this.#histograms = answer.histograms; }],
      ['/stretches', (answer) => { this.#stretches = answer.stretches; }],
      ['/summary', (answer) => { this.#summary = answer; }],
    ];
    for (const [path, take] of parts) {
      ask(base + path).then((answer) => {
        take(answer);
        this.#app.update();
      }, this.#app.fail);
    }
  }

  template() {
    const run = this.#app.run;
    const pick = (measure) => (bin) => { location.hash = link(['run', run.id, 'rollouts'], binFilters(measure, bin)); };
    const failures = ({failure_class, hop, agent}) => link(['run', run.id, 'rollouts'], {failure_class, hop, agent});
    const summary = this.#summary;
    return html`<h1>${line(run.label)}</h1>
      ${summary?.unreadable_lines ? html`<p class="notice">${plural(summary.unreadable_lines, 'line')} of the file cannot be read.</p>` : nothing}
      <div class="columns">
        <section><h2>Summary</h2>${summary ? agentTable(summary) : html`<p class="dim">Loading…</p>`}</section>
        <section><h2>Distribution</h2><p class="hint">Click a bar to list its rollouts.</p>
          <div class="histograms">${this.#histograms.map((each) => histogram(each, {onPick: pick(each.measure)}))}</div>
          <h2>Failures</h2>${summary ? failureTable(summary, failures) : nothing}</section>
      </div>
      <section><h2>Over the run</h2><p class="hint">Means of consecutive results, in the order of the file.</p>${overTime(this.#stretches)}</section>
      <section><h2>Time by hop</h2><div class="columns">${summary ? timeTable(summary) : nothing}</div></section>`;
  }
}
