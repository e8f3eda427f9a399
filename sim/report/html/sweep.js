// The sections of a report on a sweep, from the JSON in the page (html_sweep.cc writes it).
'use strict';

const METRICS = DATA.metrics;
const NUMERIC = DATA.axes.map((_, i) => i).filter((i) => DATA.axes[i].numbers !== null);
const OPEN_ROWS = 60;  // of a table that is open from the begin

// ---- a metric against an axis of numbers, one series per label of the contrast
// The combinations of the axes other than `axis`.
function combinations(axis) {
  const keys = new Map();
  for (const group of DATA.groups) {
    const others = group.labels.filter((_, i) => i !== axis);
    keys.set(JSON.stringify(others), others);
  }
  return [...keys.values()];
}

// Groups along `axis` within one combination of the others, by number.
function groupsAlong(axis, others) {
  const key = JSON.stringify(others);
  const x = (group) => DATA.axes[axis].numbers[DATA.axes[axis].labels.indexOf(group.labels[axis])];
  return DATA.groups.filter((group) => JSON.stringify(group.labels.filter((_, i) => i !== axis)) === key)
      .map((group) => ({x: x(group), group})).sort((a, b) => a.x - b.x);
}

function lineRows(along, metric) {
  return along.map(({x, group}) => [x, ...group.rows.map((row) => {
    if (row.effects[metric].value === null) return [null, null, null];
    const [mean, low, high] = row.effects[metric].value;
    return [low ?? mean, mean, high ?? mean];
  })]);
}

function othersText(axis, others) {
  const names = DATA.axes.filter((_, i) => i !== axis).map((other) => other.name);
  return others.map((label, i) => names[i] + ' ' + label).join(', ');
}

// What the box beside the pointer says of a point.
function pointText(chart, metric, index, x) {
  const found = chart.along.find((entry) => entry.x === x);
  if (!found) return '-';
  const row = found.group.rows[index];
  return intervalText(row.effects[metric].value, METRICS[metric].unit) + (row.saturated ? ', saturated' : '');
}

function unitOf(axis) {
  return DATA.axes[axis].labels[0].replace(/^[-+0-9.]+/, '').trim();
}

function drawLines(parent, axis, others) {
  const along = groupsAlong(axis, others);
  const xs = along.map((entry) => entry.x);
  METRICS.forEach((metric, m) => {
    const rows = lineRows(along, m);
    if (rows.every((row) => row.slice(1).every((cell) => cell[1] === null))) return;
    const name = DATA.axes[axis].name, unit = unitOf(axis);
    const better = metric.better > 0 ? 'Higher is better.' : metric.better < 0 ? 'Lower is better.' : '';
    const chart = addChart(parent, {
      id: 'line-' + metric.name.replaceAll('.', '-'), title: metric.title, what: better, rows, runs: ALL, bars: true, points: true, along,
      logX: xs[0] > 0 && xs[xs.length - 1] / xs[0] >= 8, xlabel: name + (unit ? ', ' + unit : ''),
      ylabel: metric.unit || metric.title, xText: (x) => name + ' ' + number(x, true) + (unit ? ' ' + unit : ''),
      valueText: (y, index, x) => pointText(chart, m, index, x),
    });
  });
}

function addLines() {
  if (NUMERIC.length === 0) return;
  const part = section('lines', 'Along the axes', 'Mean over seeds; bands are 95 % intervals (Student t). ' +
      'Points that cannot run are missing. Drag to zoom, double-click to see all.');
  const axisChoice = el('select', {id: 'axis', 'aria-label': 'axis'},
                        ...NUMERIC.map((i) => el('option', {value: i}, DATA.axes[i].name)));
  const otherChoice = el('select', {id: 'others', 'aria-label': 'combination of the other axes'});
  const choices = el('div', {className: 'choices'});
  if (NUMERIC.length > 1) choices.append(el('label', {}, 'against ', axisChoice));
  if (DATA.axes.length > 1) choices.append(el('label', {}, 'at ', otherChoice));
  const charts = el('div', {className: 'charts' + (METRICS.length > 2 ? ' three' : '')});
  part.append(choices, charts);
  const draw = () => {
    const axis = Number(axisChoice.value);
    for (const [id, chart] of Object.entries(CHARTS)) { chart.graph.destroy(); delete CHARTS[id]; }
    charts.replaceChildren();
    drawLines(charts, axis, combinations(axis)[Number(otherChoice.value)]);
    for (const chip of document.querySelectorAll('.chip'))
      if (chip.getAttribute('aria-pressed') === 'false') setVisible(Number(chip.dataset.run), false);
  };
  const fill = () => {
    const axis = Number(axisChoice.value);
    otherChoice.replaceChildren(...combinations(axis).map((others, i) => el('option', {value: i}, othersText(axis, others))));
    draw();
  };
  axisChoice.onchange = fill;
  otherChoice.onchange = draw;
  fill();
}

// ---- effects against the baseline
// What is shown of an effect: relative, or of shares and beside a zero the difference.
function shown(effect, metric) {
  const isRelative = !metric.share && effect.relative !== null;
  return {isRelative, interval: isRelative ? effect.relative : effect.difference,
          unit: isRelative ? '%' : metric.share ? 'points' : metric.unit};
}

function excludesZero([, low, high]) {
  return low !== null && high !== null && (low > 0 || high < 0);
}

// Ratios stand on a logarithmic scale, so that half and twice are as far from 1; a loss of all is at
// the edge. Differences stand on a linear one.
function scaleOf(m) {
  const metric = METRICS[m];
  const ends = {true: [], false: []};
  for (const group of DATA.groups) for (const row of group.rows) {
    const {isRelative, interval} = shown(row.effects[m], metric);
    if (row.base || interval === null) continue;
    for (const x of interval) if (x !== null) ends[isRelative].push(isRelative ? logRatio(x) : x);
  }
  return (isRelative) => {
    const size = Math.max(1e-12, ...ends[isRelative].filter((x) => isFinite(x)).map(Math.abs)) * 1.05;
    return (x) => 50 + 50 * (isRelative ? logRatio(x) : x) / size;
  };
}

function logRatio(percent) {
  return percent <= -100 ? -Infinity : Math.log(1 + percent / 100);
}

function flagsText(row) {
  const flags = [];
  if (row.saturated) flags.push('saturated ' + row.saturated + '/' + row.seeds);
  if (row.extrapolated) flags.push('extrapolated');
  return flags.join(', ');
}

function effectRow(group, row, m, place) {
  const metric = METRICS[m], effect = row.effects[m];
  const run = RUNS.find((other) => other.name === row.label);
  const line = el('tr', {}, ...group.labels.map((label) => el('td', {className: 'text'}, label)),
                  el('td', {className: 'text'}, sample(run), ' ' + row.label + (row.base ? ' (baseline)' : '')));
  if (row.infeasible) {
    line.append(el('td', {className: 'reason off', colSpan: 5}, 'cannot run: ' + row.infeasible));
    return line;
  }
  line.append(el('td', {}, effect.value === null ? '-' : intervalText(effect.value, metric.unit)));
  const {isRelative, interval, unit} = shown(effect, metric);
  if (row.base || interval === null) {
    line.append(el('td', {}, row.base ? '' : '-'), el('td'));
  } else {
    const same = interval.every((x) => x === 0);
    line.append(el('td', {className: excludesZero(interval) ? 'clear' : ''},
                   same ? 'equal' : intervalText(interval, unit, true)),
                el('td', {}, rangeMark(run, interval, place(isRelative), 0)));
  }
  line.append(el('td', {}, String(effect.seeds)), el('td', {className: row.saturated ? 'off' : ''}, flagsText(row)));
  return line;
}

function addEffects() {
  const part = section('effects', 'Effects', 'Value: mean over seeds with its 95 % interval. Effect: against ' +
      DATA.baseline + ', seed by seed, relative to its mean (of percentages the difference in points); bold where ' +
      'the interval excludes zero. The mark shows it: line at no effect, ratios on a logarithmic scale.');
  METRICS.forEach((metric, m) => {
    const place = scaleOf(m);
    const body = el('tbody');
    for (const group of DATA.groups) for (const row of group.rows) body.append(effectRow(group, row, m, place));
    const head = [...DATA.axes.map((axis) => axis.name), DATA.contrast, 'value', 'effect', '', 'seeds', 'flags'];
    part.append(el('details', {id: 'effects-' + metric.name, open: m === 0 || body.rows.length <= OPEN_ROWS},
                   el('summary', {}, el('b', {}, metric.title), metric.unit ? ', ' + metric.unit : ''),
                   figureTable(head, body)));
  });
}

addLegend();
addLines();
addEffects();
