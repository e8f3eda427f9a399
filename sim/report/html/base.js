// Helpers of the report: elements, numbers, colours. Texts of runs go into the page as text only.
'use strict';

const DATA = JSON.parse(document.getElementById('data').textContent);
const RUNS = DATA.runs;

// An element with properties and children; strings become text.
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === 'style') element.style.cssText = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

// Three significant digits or the whole integer part, thousands apart, an exponent only for what is
// very small or large. `is_short`: without zeros at the end.
function number(value, is_short) {
  if (value === null || value === undefined || !isFinite(value)) return '-';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1e15 || size < 1e-4) return value.toPrecision(3);
  const decimals = Number.isInteger(value) ? 0 : Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(size))));
  const [whole, fraction] = value.toFixed(decimals).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, '\u202f');
  const rest = is_short ? (fraction || '').replace(/0+$/, '') : fraction;
  return rest ? grouped + '.' + rest : grouped;
}

// A value with its unit, in a scale that reads well.
function quantity(value, unit) {
  if (value === null || value === undefined) return '-';
  if (unit === 'ms' && Math.abs(value) >= 1000) return number(value / 1000) + ' s';
  if (unit === 'B') {
    const scale = [[1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']].find(([s]) => value >= s);
    return scale ? number(value / scale[0]) + ' ' + scale[1] : number(value) + ' B';
  }
  return number(value) + (unit ? ' ' + unit : '');
}

// Okabe and Ito's colours in an order that has contrast on the page, and dashes, so that no two
// series differ by colour alone. Runs of one system share the colour; their role gives the dash.
const NUM_COLOURS = 7;
const DASHES = [[], [8, 3], [2, 2], [8, 3, 2, 3], [14, 4], [4, 4, 1, 4], [1, 4]];
const ROLE_DASHES = {measured: [], predicted: [8, 3], replayed: [2, 2]};
const SYSTEMS = [...new Set(RUNS.map((run) => run.name))];

function colourIndex(run) {
  return SYSTEMS.indexOf(run.name) % NUM_COLOURS;
}

function dash(run) {
  if (run.role) return ROLE_DASHES[run.role];
  const index = SYSTEMS.indexOf(run.name);
  return DASHES[(index + Math.floor(index / NUM_COLOURS)) % DASHES.length];
}

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(run) {
  return cssColour('--s' + colourIndex(run));
}

// A line as it is drawn for the run, to stand in a legend.
function sample(run) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('class', 'sample');
  svg.setAttribute('viewBox', '0 0 30 10');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(ns, 'line');
  const attributes = {x1: 0, y1: 5, x2: 30, y2: 5, 'stroke-width': 3,
                      'stroke-dasharray': dash(run).join(' ')};
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
  line.style.stroke = 'var(--s' + colourIndex(run) + ')';
  svg.append(line);
  return svg;
}
