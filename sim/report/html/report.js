// The sections of a report on runs, from the JSON in the page (html_data.cc writes it).
'use strict';

const METRICS = Object.fromEntries(DATA.metrics.map((metric) => [metric.name, metric]));
const PARTS = [
  {key: 'compute', title: 'compute', colour: '--s0', share: 'compute_share'},
  {key: 'attention', title: 'attention', colour: '--s2', share: 'attention_share'},
  {key: 'load_stall', title: 'load stall', colour: '--s1', share: 'load_stall_share'},
  {key: 'save_stall', title: 'save stall', colour: '--s3', share: 'save_stall_share'},
  {key: 'host', title: 'host', colour: '--s4', share: 'host_share'},
  {key: 'other', title: 'other', colour: '--faint', share: null},
  {key: 'idle', title: 'idle', colour: '--grid', share: 'idle_share'},
];

function bandsButton() {
  const bands = el('button', {type: 'button', id: 'bands', 'aria-pressed': String(BANDS),
                              title: 'lowest and highest iteration of each point in time'}, 'min-max bands');
  bands.onclick = () => { BANDS = !BANDS; bands.setAttribute('aria-pressed', String(BANDS)); redrawGauges(); };
  return bands;
}

// ---- cards
const CARDS = [
  ['output_throughput', 1], ['mean_ttft_ms', -1], ['p99_ttft_ms', -1], ['mean_itl_ms', -1],
  ['p99_itl_ms', -1], ['mean_e2el_ms', -1], ['hit_rate', 1], ['load_stall_share', -1],
  ['completed', 0],
];

function card(name, better) {
  const metric = METRICS[name];
  const values = RUNS.map((run) => run.values[name] ?? null);
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  const text = (i) => quantity(values[i], metric.unit) +
      (name === 'completed' && RUNS[i].failed ? ' (' + RUNS[i].failed + ' failed)' : '');
  const box = el('div', {className: 'card', id: 'card-' + name}, el('h3', {}, metric.title));
  if (RUNS.length === 1) {
    box.append(el('div', {className: 'big'}, text(0)));
  } else {
    // Predictions compete with nobody: the best is a system's.
    const competes = (i) => values[i] !== null && ['', 'measured'].includes(RUNS[i].role);
    const rivals = ALL.filter(competes).map((i) => values[i]);
    const best = better === 0 || rivals.length < 2 ? null : better > 0 ? Math.max(...rivals) : Math.min(...rivals);
    const most = metric.unit === '%' ? 100 : Math.max(...known);
    const bars = el('div', {className: 'bars'});
    RUNS.forEach((run, i) => {
      const width = values[i] === null || most === 0 ? 0 : 100 * values[i] / most;
      const emphasis = competes(i) && values[i] === best ? ' best' : '';
      bars.append(el('span', {className: 'name' + emphasis, title: run.label}, run.label),
                  el('span', {className: 'bar'},
                     el('i', {style: 'width:' + width + '%;background:var(--s' + colourIndex(run) + ')'})),
                  el('span', {className: 'value' + emphasis}, text(i)));
    });
    box.append(bars);
  }
  box.append(el('p', {}, metric.definition));
  return box;
}

function addCards() {
  const longest = Math.max(...RUNS.map((run) => run.label.length));
  const cards = el('div', {className: 'cards' + (longest > 14 ? ' wide' : '')});
  for (const [name, better] of CARDS) cards.append(card(name, better) || '');
  section('cards', 'Figures', RUNS.length > 1 ? 'The best of each is bold.' : '').append(cards);
}

// ---- predicted against measured
function addComparisons() {
  if (DATA.comparisons.length === 0) return;
  const part = section('comparisons', 'Predicted against measured',
                       'Error = (predicted - measured) / measured, for percentages the difference in points. ' +
                       'Key metrics off by more than ' + number(DATA.comparisons[0].tolerance) + ' % stand out.');
  for (const comparison of DATA.comparisons) {
    const [a, b] = [RUNS[comparison.a], RUNS[comparison.b]];
    const body = el('tbody');
    for (const row of comparison.rows) {
      const metric = METRICS[row.metric];
      const unit = metric.unit === '%' ? ' points' : ' %';
      const error = row.error === null ? '-' : (row.error > 0 ? '+' : '') + number(row.error) + unit;
      body.append(el('tr', {}, el('td', {}, metric.title), el('td', {}, quantity(a.values[row.metric], metric.unit)),
                     el('td', {}, quantity(b.values[row.metric], metric.unit)),
                     el('td', {className: row.exceeded ? 'off' : ''}, error),
                     el('td', {}, row.judged ? 'key' : '')));
    }
    const head = el('tr', {}, ...['metric', a.role, b.role, 'error', ''].map((name) => el('th', {}, name)));
    part.append(el('h3', {style: 'margin-top:14px'}, a.name + ': ' + b.role),
                el('p', {className: 'note'}, comparison.verdict), el('p', {className: 'note'}, comparison.gap && comparison.gap + ' (A: ' + a.role + ', B: ' + b.role + ')'),
                el('details', {open: DATA.comparisons.length < 3}, el('summary', {}, 'all errors'),
                   el('div', {className: 'scroll'},
                      el('table', {className: 'figures'}, el('thead', {}, head), body))));
  }
}

// ---- distributions
const LATENCIES = [
  ['ttft', 'Time to first token', 'Arrival to first token, of each completed request.'],
  ['tpot', 'Time between tokens',
   'Mean gap of each request, (last - first token) / (tokens - 1). Single gaps are not in the files; ' +
   'TBT in the figures is pooled over them.'],
  ['e2el', 'End-to-end latency', 'Arrival to last token, of each completed request.'],
];

function drawCdf(parent, [name, title, what], logX) {
  const shown = ALL.filter((i) => RUNS[i].cdf[name].value.length > 0);
  const cdfs = shown.map((i) => RUNS[i].cdf[name]);
  const positive = cdfs.every((cdf) => cdf.value.every((value) => value > 0));
  const seconds = Math.max(0, ...cdfs.flatMap((cdf) => cdf.value)) >= 5000;
  const unit = seconds ? 's' : 'ms';
  const scale = (cdf) => seconds ? {value: cdf.value.map((v) => v / 1000), share: cdf.share} : cdf;
  return addChart(parent, {
    id: 'cdf-' + name, title, what, rows: cdfRows(cdfs.map(scale)), runs: shown, logX: logX && positive,
    xlabel: unit, ylabel: 'requests, %', range: [0, 101],
    xText: (x) => 'within ' + quantity(seconds ? x * 1000 : x, 'ms'), valueText: (y) => number(y) + ' %',
  });
}

function addCdfs() {
  const part = section('latency', 'Latency', 'Share of the requests that take at most the time on the x axis. ' +
      'Points are exact order statistics: all, or 400 evenly spaced ranks and 100 in the top 1 %.');
  const charts = el('div', {className: 'charts three'});
  part.append(charts);
  for (const latency of LATENCIES) drawCdf(charts, latency, true);
}

// ---- over time
let BANDS = RUNS.length < 3;
const GAUGES = [
  ['batch', 'Batch', 'Requests in the batch, prefills and decodes', '', true],
  ['queue', 'Queue', 'Requests waiting to be admitted', '', true],
  ['hbm', 'HBM used for KV', 'Held at the end of each iteration, one GPU', 'GB', true],
  ['dram', 'DRAM used for KV', 'Held at the end of each iteration, one GPU', 'GB', true],
  ['hit', 'Hit rate', '1 - loads / selected KV blocks; none while nothing is selected', '%', false],
  ['h2d', 'PCIe, host to device', 'Loaded KV over time, one GPU', 'GB/s', false],
  ['d2h', 'PCIe, device to host', 'Saved KV over time, one GPU', 'GB/s', false],
  ['h2d_busy', 'H2D lane busy', 'Share of time in which loads were under way', '%', false],
];

// A queue of 0 says something, a DRAM of 0 belongs to a system without.
function hasValues(run, name) {
  return name === 'batch' || name === 'queue' || run.series[name].mean.some((value) => value !== null && value !== 0);
}

function capacities() {
  const texts = RUNS.filter((run) => run.hbm_kv_gb)
      .map((run) => quantity(run.hbm_kv_gb * 1e9, 'B'));
  const different = [...new Set(texts)];
  return different.length === 0 ? '' : '; of ' + different.join(', ');
}

function drawGauge(parent, [name, title, what, unit, hasRange]) {
  const shown = ALL.filter((i) => hasValues(RUNS[i], name));
  const bars = hasRange && BANDS;
  const range = name === 'hit' ? [null, 100.5] : [0, null];
  addChart(parent, {
    id: name, title, what: what + (name === 'hbm' ? capacities() : '') + '.',
    rows: shown.length ? timeRows(shown.map((i) => RUNS[i]), name, bars) : [], runs: shown, bars, time: true,
    range, xlabel: 'time since the begin of the trace, s', ylabel: unit || 'requests',
    xText: (x) => 'from ' + number(x) + ' s', valueText: (y) => quantity(y, unit),
  });
}

function redrawGauges() {
  for (const [name, , , , hasRange] of GAUGES) {
    const chart = CHARTS[name];
    if (!hasRange || !chart) continue;
    chart.bars = BANDS;
    chart.graph.updateOptions({customBars: BANDS, file: timeRows(chart.runs.map((i) => RUNS[i]), name, BANDS)});
  }
}

function addSeries() {
  const widths = [...new Set(RUNS.map((run) => quantity(run.series.width_s * 1000, 'ms')))].join(', ');
  const part = section('series', 'Over time', 'Each step is the mean over a bucket of time (' + widths +
      ', at most 512 a run) and over replicas, idle time included; bands are the lowest and highest ' +
      'iteration in it. Drag to zoom, double-click to see all; pinch on a touch screen.');
  const charts = el('div', {className: 'charts'});
  part.append(charts);
  for (const gauge of GAUGES) drawGauge(charts, gauge);
}

// ---- where time goes
function sharesOf(run) {
  const shares = PARTS.map((part) => part.share ? run.values[part.share] || 0 : 0);
  const sum = shares.reduce((a, b) => a + b, 0);
  const other = 100 - sum;  // rounding is no part
  shares[PARTS.findIndex((part) => part.key === 'other')] = other > 1e-6 ? other : 0;
  return shares;
}

function stallBars() {
  const bars = el('div', {className: 'bars stall'});
  for (const run of RUNS) {
    const bar = el('span', {className: 'bar'});
    const shares = sharesOf(run);
    PARTS.forEach((part, i) => bar.append(el('i', {
      title: part.title + ' ' + number(shares[i]) + ' %',
      style: 'width:' + shares[i] + '%;background:var(' + part.colour + ')'})));
    const stalls = (run.values.load_stall_share || 0) + (run.values.save_stall_share || 0);
    bars.append(el('span', {className: 'name', title: run.label}, run.label), bar,
                el('span', {className: 'value'}, number(stalls) + ' % stalled'));
  }
  return bars;
}

function stallTable() {
  const head = el('tr', {}, el('th', {}, '% of time'), ...PARTS.map((part) => el('th', {}, part.title)));
  const body = el('tbody');
  for (const run of RUNS)
    body.append(el('tr', {}, el('td', {}, run.label), ...sharesOf(run).map((share) => el('td', {}, number(share)))));
  return el('div', {className: 'scroll'}, el('table', {className: 'figures'}, el('thead', {}, head), body));
}

// Rows of the shares of one run over time; they add up to 100.
function stallRows(run) {
  const series = run.series;
  const rows = series.iteration.mean.map((busy, i) => {
    const parts = ['compute', 'attention', 'load_stall', 'save_stall', 'host'].map((key) => series[key].mean[i]);
    const other = Math.max(0, busy - parts.reduce((a, b) => a + b, 0));
    return [i * series.width_s, ...parts, other, Math.max(0, 100 - Math.max(busy, 0))];
  });
  if (rows.length) rows.push([rows.length * series.width_s, ...rows[rows.length - 1].slice(1)]);
  return rows;
}

function addStalls() {
  const part = section('stalls', 'Where the time goes', 'Shares of duration x replicas. Stalls are time in which ' +
      'compute waits: for KV blocks to be loaded, or for room to save. Idle: no iteration runs.');
  part.append(el('div', {className: 'parts'}, ...PARTS.map((p) => el('span', {},
      el('i', {style: 'background:var(' + p.colour + ')'}), p.title))), stallBars(), stallTable());
  const charts = el('div', {className: 'charts'});
  part.append(charts);
  const choice = el('select', {id: 'stall-run', 'aria-label': 'run'},
                    ...ALL.map((i) => el('option', {value: i}, RUNS[i].label)));
  const last = RUNS.length - 1;
  choice.value = last;
  const chart = addChart(charts, {
    id: 'stalls', title: 'Over time', what: 'Share of each bucket of time.', control: choice,
    rows: stallRows(RUNS[last]), runs: null, parts: PARTS, time: true, stacked: true, wide: true, range: [0, 100.5],
    xlabel: 'time since the begin of the trace, s', ylabel: '%', xText: (x) => 'from ' + number(x) + ' s',
    valueText: (y) => number(y) + ' %',
  });
  choice.onchange = () => { if (chart) chart.graph.updateOptions({file: stallRows(RUNS[Number(choice.value)])}); };
}

// ---- where latency goes (explain writes it into summary.json)
// More parts than colours: the others are striped.
function partFill(index) {
  const colour = 'var(--s' + index % NUM_COLOURS + ')';
  return index < NUM_COLOURS ? colour
      : 'repeating-linear-gradient(45deg,' + colour + ' 0 4px,var(--page) 4px 7px)';
}

const BREAKDOWN_PARTS = [...new Set(['ttft', 'itl'].flatMap(
    (name) => RUNS.flatMap((run) => run.breakdown[name].map((entry) => entry.part))))];

function addBreakdown(name, title, definition) {
  const names = [...new Set(RUNS.flatMap((run) => run.breakdown[name].map((part) => part.part)))];
  if (names.length === 0) return;
  const sums = RUNS.map((run) => run.breakdown[name].reduce((sum, part) => sum + part.ms, 0));
  const most = Math.max(...sums);
  const fillOf = (part) => partFill(BREAKDOWN_PARTS.indexOf(part));
  const bars = el('div', {className: 'bars stall'});
  RUNS.forEach((run, i) => {
    const bar = el('span', {className: 'bar'});
    for (const part of run.breakdown[name])
      bar.append(el('i', {title: part.part + ' ' + quantity(part.ms, 'ms'),
                          style: 'width:' + (most ? 100 * part.ms / most : 0) + '%;background:' + fillOf(part.part)}));
    bars.append(el('span', {className: 'name', title: run.label}, run.label), bar,
                el('span', {className: 'value'}, quantity(sums[i], 'ms')));
  });
  const head = el('tr', {}, el('th', {}, 'mean'), ...names.map((part) => el('th', {}, part.replaceAll('_', ' '))));
  const body = el('tbody');
  for (const run of RUNS) {
    const value = (part) => (run.breakdown[name].find((entry) => entry.part === part) || {ms: null}).ms;
    body.append(el('tr', {}, el('td', {}, run.label), ...names.map((part) => el('td', {}, quantity(value(part), 'ms')))));
  }
  section('breakdown-' + name, title, definition).append(
      el('div', {className: 'parts'}, ...names.map((part) => el('span', {},
          el('i', {style: 'background:' + fillOf(part)}), part.replaceAll('_', ' ')))), bars,
      el('div', {className: 'scroll'}, el('table', {className: 'figures'}, el('thead', {}, head), body)));
}

// ---- all figures and what ran
function addTable() {
  const body = el('tbody');
  let group = '';
  for (const metric of DATA.metrics) {
    if (RUNS.every((run) => run.values[metric.name] === undefined)) continue;
    if (metric.group !== group) {
      group = metric.group;
      body.append(el('tr', {className: 'group'}, el('td', {colSpan: RUNS.length + 2}, group)));
    }
    body.append(el('tr', {}, el('td', {}, metric.title),
                   ...RUNS.map((run) => el('td', {}, quantity(run.values[metric.name], metric.unit))),
                   el('td', {className: 'definition'}, metric.definition)));
  }
  const head = el('tr', {}, el('th', {}, 'metric'), ...RUNS.map((run) => el('th', {}, run.label)),
                  el('th', {style: 'text-align:left'}, 'definition'));
  section('table', 'All figures').append(el('div', {className: 'scroll'},
      el('table', {className: 'figures'}, el('thead', {}, head), body)));
}

function addSources() {
  const part = section('sources', 'What ran', 'Everything needed to run it again.');
  for (const run of RUNS)
    part.append(el('details', {}, el('summary', {}, run.label + ' (' + run.source + ')'),
                   el('pre', {}, run.config), el('pre', {}, run.summary)));
}

addCards();
addComparisons();
addLegend(bandsButton());
addCdfs();
addSeries();
addStalls();
addBreakdown('ttft', 'Where TTFT goes', 'Mean over completed requests.');
addBreakdown('itl', 'Where the time between tokens goes', 'Mean over tokens.');
addTable();
addSources();
