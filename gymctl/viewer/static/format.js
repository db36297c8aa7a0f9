// Numbers as people read them. A value that is missing is a dash.
const DASH = '–';
const PREFIXES = [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']];
const GROUPED = new Intl.NumberFormat('en-US'); // once: toLocaleString looks up the locale on each call

export function whole(value) {
  if (value === null || value === undefined) return DASH;
  return GROUPED.format(Math.round(value));
}

export function short(value) {
  if (value === null || value === undefined) return DASH;
  for (const [size, prefix] of PREFIXES) {
    if (Math.abs(value) >= size) {
      const unit = prefix === 'k' ? 1e3 : size;
      return (value / unit).toFixed(value / unit < 100 ? 1 : 0) + prefix;
    }
  }
  return whole(value);
}

/** A reward, or any number of the environment: four significant digits at most. */
export function decimal(value) {
  if (value === null || value === undefined) return DASH;
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const text = value.toPrecision(4);
  return text.includes('e') ? text : String(Number(text));
}

export function signed(value) {
  if (value === null || value === undefined) return DASH;
  return (value > 0 ? '+' : '') + decimal(value);
}

export function percent(value) {
  if (value === null || value === undefined) return DASH;
  const digits = value > 0 && value < 0.1 ? 1 : 0;
  return (100 * value).toFixed(digits) + ' %';
}

export function time(ms) {
  if (ms === null || ms === undefined) return DASH;
  if (ms < 10) return ms.toFixed(1) + ' ms';
  if (ms < 1000) return ms.toFixed(0) + ' ms';
  if (ms < 60000) return (ms / 1000).toFixed(1) + ' s';
  if (ms < 3600000) return (ms / 60000).toFixed(1) + ' min';
  return (ms / 3600000).toFixed(1) + ' h';
}

export function bytes(value) {
  if (value < 1000) return value + ' B';
  for (const [size, unit] of [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (value >= size) return (value / size).toFixed(value / size < 10 ? 1 : 0) + ' ' + unit;
  }
  return DASH;
}

/** A value with its 95 % interval, e.g. "0.42 [0.38, 0.46]". */
export function interval(estimate, show = decimal) {
  if (!estimate) return DASH;
  if (estimate.low === null || estimate.low === undefined) return show(estimate.value);
  return `${show(estimate.value)} [${show(estimate.low)}, ${show(estimate.high)}]`;
}

export function ago(seconds) {
  const passed = Date.now() / 1000 - seconds;
  if (passed < 60) return 'just now';
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86400) return `${Math.floor(passed / 3600)} h ago`;
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

export function plural(count, noun) {
  return `${whole(count)} ${noun}${count === 1 ? '' : 's'}`;
}
