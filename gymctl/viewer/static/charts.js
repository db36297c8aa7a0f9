// Histograms whose bars are buttons, and line charts with uPlot.
import {html, nothing} from './vendor/lit-html.js';
import {decimal, short, time, whole, percent} from './format.js';

const SHOW = {reward: decimal, tokens: short, time};

function range(bin, show) {
  const low = show(bin.low);
  const high = show(bin.high);
  return low === high ? low : `${low} to ${high}`;
}

/**
 * A histogram. With `onPick`, a click calls it with the bin. `picked` is whether a bin is within the filters.
 * The heights are square roots: small bins stay visible beside large ones.
 */
export function histogram({measure, bins}, {onPick, picked = () => true} = {}) {
  const show = SHOW[measure];
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const bar = (bin) => {
    const label = `${measure} ${range(bin, show)}: ${whole(bin.count)} rollouts`;
    const height = bin.count ? Math.max(2, 100 * Math.sqrt(bin.count / most)) : 0;
    const fill = html`<span class="fill" .style=${`height: ${height}%`}></span>`;
    const classes = picked(bin) ? 'bar' : 'bar out';
    if (!onPick) return html`<span class=${classes} title=${label}>${fill}</span>`;
    return html`<button type="button" class=${classes} title=${label} aria-label=${`Show ${label}`}
      @click=${() => onPick(bin)}>${fill}</button>`;
  };
  const figure = bins.length
    ? html`<div class="bars" role="group" aria-label=${`Distribution of ${measure}`}>${bins.map(bar)}</div>
      <div class="scale"><span>${show(bins[0].low)}</span><span>${show(bins.at(-1).high)}</span></div>`
    : html`<p class="dim">not in these rollouts</p>`;
  return html`<figure class="histogram"><figcaption>${measure}</figcaption>${figure}</figure>`;
}

let loading;

/** uPlot is loaded when the first chart is drawn; a report has it in the page. */
function loadPlot() {
  if (window.uPlot) return Promise.resolve(window.uPlot);
  loading ??= new Promise((resolve, reject) => {
    const style = document.createElement('link');
    style.rel = 'stylesheet';
    style.href = '/static/vendor/uPlot.min.css';
    const script = document.createElement('script');
    script.src = '/static/vendor/uPlot.iife.min.js';
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error('the chart library could not be loaded'));
    document.head.append(style, script);
  });
  return loading;
}

/** `<line-chart>`: `.series` is {x, lines: [{label, values, show, colour}], title}. */
class LineChart extends HTMLElement {
  #series;
  #plot;
  #observer;
  #scheme = matchMedia('(prefers-color-scheme: dark)');
  #redraw = () => this.#draw();

  set series(series) {
    const changed = JSON.stringify(series) !== JSON.stringify(this.#series);
    this.#series = series;
    if (this.isConnected && changed) this.#draw();
  }

  connectedCallback() {
    this.setAttribute('role', 'img');
    this.#observer = new ResizeObserver(() => {
      if (this.#plot && this.clientWidth) this.#plot.setSize({width: this.clientWidth, height: 150});
    });
    this.#observer.observe(this);
    this.#scheme.addEventListener('change', this.#redraw);
    if (this.#series) this.#draw();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    this.#scheme.removeEventListener('change', this.#redraw);
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  async #draw() {
    const uPlot = await loadPlot();
    if (!this.isConnected || !this.#series) return;
    this.#plot?.destroy();
    const {x, lines, title} = this.#series;
    this.setAttribute('aria-label', `${title}: ${lines.map((each) => summary(each)).join('; ')}`);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = {stroke: colour('dim'), grid: {stroke: colour('line'), width: 1}, ticks: {show: false},
      font: '11px system-ui', size: 46};
    const show = lines[0].show;
    this.#plot = new uPlot({
      width: this.clientWidth || 300,
      height: 150,
      cursor: {drag: {x: false, y: false}},
      legend: {live: true},
      scales: {x: {time: false}},
      axes: [{...axis, size: 24}, {...axis, values: (_, ticks) => ticks.map((tick) => show(tick))}],
      series: [{label: 'line', value: (_, value) => whole(value)}, ...lines.map((each) => ({
        label: each.label, stroke: colour(each.colour), width: 1.5, points: {show: x.length < 3},
        value: (_, value) => each.show(value),
      }))],
    }, [x, ...lines.map((each) => each.values)], this);
  }
}

function summary({label, values, show}) {
  const numbers = values.filter((value) => value !== null);
  if (!numbers.length) return `${label}: no values`;
  return `${label} from ${show(numbers[0])} to ${show(numbers.at(-1))}, at most ${show(Math.max(...numbers))}`;
}

customElements.define('line-chart', LineChart);

/** The charts of a run over its results, in the order in which they were written. */
export function overTime(stretches) {
  if (!stretches.length) return nothing;
  const x = stretches.map((stretch) => stretch.first_line);
  const values = (name) => stretches.map((stretch) => stretch[name]);
  const charts = [
    ['Reward', [['mean reward', 'reward', decimal, 'accent'], ['passed', 'passed', percent, 'good']]],
    ['Time', [['mean time', 'time_ms', time, 'accent']]],
    ['Tokens out', [['mean tokens out', 'tokens_out', short, 'accent']]],
    ['Problems', [['truncated', 'truncated', percent, 'warn'], ['with tool errors', 'tool_errors', percent, 'bad']]],
  ];
  return html`<div class="charts">${charts.map(([title, lines]) => {
    const series = lines.map(([label, name, show, colour]) => ({label, values: values(name), show, colour}));
    if (series.every((each) => each.values.every((value) => value === null))) return nothing;
    return html`<figure><figcaption>${title}</figcaption>
      <line-chart .series=${{x, lines: series, title}}></line-chart></figure>`;
  })}</div>`;
}
