// The sections of a report on a plan, from the JSON in the page (html_plan.cc writes it).
'use strict';

const CANDIDATES = DATA.candidates;
const FRONTIER = RUNS.length - 1;  // its place among the series

const isFeasible = (candidate) => candidate.replicas > 0;
const known = (value) => value !== null && value > 0;

// ---- ranking
function rateText(candidate) {
  return candidate.rate === null ? '-' : intervalText([candidate.rate, candidate.rate_low, candidate.rate_high], '');
}

// No number is enough where the interval of the rate reaches 0: `high` is then 0.
function countText(value, low, high) {
  if (!known(value)) return '-';
  const ends = low !== null && high !== null && low !== high;
  return number(value) + (ends ? ' [' + number(low) + ', ' + (high > 0 ? number(high) : '\u221e') + ']' : '');
}

function addRanking() {
  const part = section('ranking', 'Ranking', 'Rate: highest one that a replica holds, with its 95 % interval over ' +
      'seeds. Margin: of the tightest limit, left at that rate. Bound by: what fails first beyond it. Verified: all ' +
      'replicas at the demand, with seeds that the search had not seen. Latencies at the rate.');
  const body = el('tbody');
  CANDIDATES.forEach((candidate, i) => {
    const cells = [
      rateText(candidate), countText(candidate.replicas, candidate.replicas_low, candidate.replicas_high),
      countText(candidate.gpus, null, null), known(candidate.cost_per_hour) ? number(candidate.cost_per_hour) : '-',
      known(candidate.cost_per_million_output_tokens) ? number(candidate.cost_per_million_output_tokens) : '-',
      quantity(candidate.mean_ttft_ms, 'ms'), quantity(candidate.p99_ttft_ms, 'ms'), quantity(candidate.mean_tpot_ms, 'ms'),
      isFeasible(candidate) && candidate.use !== null ? number(100 * (1 - candidate.use)) + ' %' : '-',
    ];
    const verified = candidate.verified_seeds ? candidate.held_seeds + '/' + candidate.verified_seeds + ' seeds' : '-';
    body.append(el('tr', {}, el('td', {}, (i + 1) + '. ' + RUNS[i].label), el('td', {className: 'text'}, candidate.machine),
                   ...cells.map((text) => el('td', {}, text)),
                   el('td', {className: 'text' + (isFeasible(candidate) ? '' : ' off')},
                      (isFeasible(candidate) ? '' : 'infeasible: ') + candidate.binding),
                   el('td', {className: candidate.held_seeds < candidate.verified_seeds ? 'off' : ''}, verified)));
  });
  part.append(figureTable([DATA.axes.join(', ') || 'candidate', 'machine', 'req/s per replica', 'replicas', 'GPUs',
                           'cost/h', 'cost per M tokens', 'TTFT mean', 'TTFT P99', 'TPOT mean', 'margin', 'bound by',
                           'verified'], body));
}

// ---- rate and cost, one line per candidate
function lines(parent, id, title, what, shown, markOf, textOf) {
  if (shown.length === 0) return;
  const bars = el('div', {className: 'bars stall', id});
  for (const i of shown)
    bars.append(el('span', {className: 'name', title: RUNS[i].label}, RUNS[i].label), markOf(i),
                el('span', {className: 'value'}, textOf(CANDIDATES[i])));
  parent.append(el('div', {className: 'card'}, el('h3', {}, title), bars, el('p', {}, what)));
}

function addBars() {
  const part = section('rates', 'Rate and cost', '');
  const cards = el('div', {className: 'charts'});
  part.append(cards);
  const feasible = CANDIDATES.map((_, i) => i).filter((i) => isFeasible(CANDIDATES[i]));
  const ends = feasible.flatMap((i) => [CANDIDATES[i].rate, CANDIDATES[i].rate_high, CANDIDATES[i].rate_fast]);
  const most = Math.max(1e-12, ...ends.filter((x) => x !== null)) * 1.02;
  lines(cards, 'bars-rate', 'Rate of one replica, req/s', 'Line: 95 % interval over seeds. Thin line: with the error of ' +
        'operation times.', feasible, (i) => {
          const c = CANDIDATES[i];
          return rangeMark(RUNS[i], [c.rate, c.rate_low, c.rate_high], (x) => 100 * x / most, 0, [c.rate_slow, c.rate_fast]);
        }, rateText);
  const bar = (name) => {
    const largest = Math.max(...feasible.map((i) => CANDIDATES[i][name] || 0));
    return (i) => el('span', {className: 'bar'}, el('i', {
      style: `width:${100 * CANDIDATES[i][name] / largest}%;background:var(--s${colourIndex(RUNS[i])})`}));
  };
  const priced = feasible.filter((i) => known(CANDIDATES[i].cost_per_hour));
  lines(cards, 'bars-cost', 'Cost per hour', 'Price of all GPUs that serve the demand.', priced, bar('cost_per_hour'),
        (c) => number(c.cost_per_hour));
  lines(cards, 'bars-gpus', 'GPUs', 'Of all replicas that serve the demand.', feasible, bar('gpus'), (c) => number(c.gpus));
}

// ---- Pareto: a row per point; the frontier holds its level up to a point and falls behind it
function paretoRows(points) {
  const rows = points.map((point) => {
    const row = [point.user, ...RUNS.map(() => null)];
    if (point.candidate !== null) row[1 + point.candidate] = point.gpu;
    return row;
  });
  const frontier = [...DATA.frontier].sort((a, b) => a.user - b.user);
  frontier.forEach((point, i) => {
    for (const gpu of [point.gpu, ...(i + 1 < frontier.length ? [frontier[i + 1].gpu] : [])])
      rows.push([point.user, ...RUNS.map((_, run) => run === FRONTIER ? gpu : null)]);
  });
  return rows.sort((a, b) => a[0] - b[0]);
}

function addPareto() {
  const part = section('pareto', 'Speed for a user and output of a GPU', 'Each point is a rate that keeps the service ' +
      'level: the highest one of each candidate, and those of the frontier, where none is better in both. ' +
      'Points of the frontier that several candidates may have given belong to the frontier alone.');
  const charts = el('div', {className: 'charts'});
  part.append(charts);
  const points = [...DATA.capacities, ...DATA.frontier];
  addChart(charts, {
    id: 'pareto', title: 'Pareto frontier', what: 'Up and to the right is better.', wide: true, points: true,
    rows: paretoRows(points), runs: ALL, xlabel: 'output tokens/s per user (1 / TPOT)',
    ylabel: 'output tokens/s per GPU',
    lines: RUNS.map((_, i) => i === FRONTIER ? {connectSeparatedPoints: true, drawPoints: false}
                                             : {strokeWidth: 0, pointSize: 5, highlightCircleSize: 6}),
    xText: (x) => number(x) + ' tokens/s per user', valueText: (y) => number(y) + ' tokens/s per GPU',
  });
}

addRanking();
addBars();
addLegend();
addPareto();
