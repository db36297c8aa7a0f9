// Text of models, tools and rows. It reaches the page as text nodes only, and characters that can deceive a reader are
// shown as escapes: the same ones as gymctl/results/escaping.py (a test compares them).
import {html} from './vendor/lit-html.js';

const ALWAYS = '\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb' +
  '\\ud800-\\udfff\\u{e0000}-\\u{e007f}';
const ONE_LINE = new RegExp(`[\\u0000-\\u001f\\u007f-\\u009f${ALWAYS}]`, 'gu');
const MANY_LINES = new RegExp(`[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f${ALWAYS}]`, 'gu');
const SHORT = {'\n': '\\n', '\r': '\\r', '\t': '\\t'};
const MOST_MARKS = 2000;
const SHORT_JSON = 90;
const LONG_JSON = 3e6;

function escaped(character) {
  const number = character.codePointAt(0);
  if (character in SHORT) return SHORT[character];
  const digits = number.toString(16);
  if (number < 0x100) return '\\x' + digits.padStart(2, '0');
  if (number < 0x10000) return '\\u' + digits.padStart(4, '0');
  return '\\U' + digits.padStart(8, '0');
}

/** One line as a string with escapes: for attributes, and where marks do not fit. */
export function plainLine(value) {
  return String(value ?? '').replace(ONE_LINE, escaped);
}

function marked(text, pattern) {
  pattern.lastIndex = 0;
  if (!pattern.test(text)) return text;
  pattern.lastIndex = 0;
  const parts = [];
  let start = 0;
  for (const match of text.matchAll(pattern)) {
    if (parts.length > MOST_MARKS) break;
    parts.push(text.slice(start, match.index), html`<span class="escape">${escaped(match[0])}</span>`);
    start = match.index + match[0].length;
  }
  parts.push(text.slice(start).replace(pattern, escaped));
  return parts;
}

/** One line: newlines and tabs are escapes too. */
export function line(value) {
  return marked(String(value ?? ''), ONE_LINE);
}

/** Text of several lines. */
export function lines(value) {
  return marked(String(value ?? ''), MANY_LINES);
}

/** JSON with line breaks and indentation, its tokens unchanged; other text as it is. */
export function indented(text) {
  const start = text.trimStart()[0];
  if ((start !== '{' && start !== '[') || text.length < SHORT_JSON || text.length > LONG_JSON) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  let depth = 0;
  let out = '';
  const newline = () => '\n' + '  '.repeat(Math.min(depth, 40));
  tokens.forEach((token, place) => {
    if (token === '{' || token === '[') {
      depth += 1;
      const closes = tokens[place + 1] === '}' || tokens[place + 1] === ']';
      out += closes ? token : token + newline();
    } else if (token === '}' || token === ']') {
      depth -= 1;
      const opened = tokens[place - 1] === '{' || tokens[place - 1] === '[';
      out += opened ? token : newline() + token;
    } else if (token === ',') {
      out += ',' + newline();
    } else {
      out += token === ':' ? ': ' : token;
    }
  });
  return out;
}
