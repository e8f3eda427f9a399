// Charts of the report, on dygraphs: hover, zoom, series on and off, colours of the theme.
'use strict';

// All charts by id; each {graph, runs: indices of its series or null, parts, time: shares its x}.
const CHARTS = {};

// Fingers scroll the page; two of them zoom.
function interaction() {
  const model = Object.assign({}, Dygraph.defaultInteractionModel);
  const {touchstart, touchmove, touchend} = model;
  model.touchstart = (event, graph, context) => {
    if (event.touches.length > 1) touchstart(event, graph, context);
  };
  model.touchmove = (event, graph, context) => {
    if (event.touches.length > 1 && context.initialTouches) touchmove(event, graph, context);
  };
  model.touchend = (event, graph, context) => {
    if (context.initialTouches) touchend(event, graph, context);
    if (event.touches.length === 0) context.initialTouches = null;
  };
  return model;
}

// The box beside the pointer: x, then a line for each visible series, the highest first.
function showTip(tip, plot, chart, event, x, points) {
  const rows = points
      .filter((point) => point.yval !== null && !isNaN(point.yval))
      .map((point) => ({index: Number(point.name.slice(1)), value: point.yval}));
  if (!chart.parts) rows.sort((a, b) => b.value - a.value);
  const body = el('tbody');
  for (const row of rows) {
    const run = chart.runs ? RUNS[chart.runs[row.index]] : null;
    const mark = run ? sample(run)
        : el('i', {style: 'display:inline-block;width:12px;height:12px;background:var(' +
                          chart.parts[row.index].colour + ')'});
    const name = run ? run.label : chart.parts[row.index].title;
    body.append(el('tr', {}, el('td', {}, mark), el('td', {}, name),
                   el('td', {}, chart.valueText(row.value, row.index, x))));
  }
  tip.replaceChildren(el('b', {}, chart.xText(x)), el('table', {}, body));
  tip.hidden = rows.length === 0;
  const left = event.clientX - plot.getBoundingClientRect().left;
  const beside = left > plot.clientWidth / 2;
  tip.style.left = beside ? 'auto' : (left + 14) + 'px';
  tip.style.right = beside ? (plot.clientWidth - left + 14) + 'px' : 'auto';
}

// Colours that depend on the theme.
function themed(chart) {
  const colours = chart.runs ? chart.runs.map((i) => colour(RUNS[i]))
                             : chart.parts.map((part) => cssColour(part.colour));
  return {colors: colours, gridLineColor: cssColour('--grid'), axisLineColor: cssColour('--line')};
}

function seriesOptions(chart) {
  const series = {};
  (chart.runs || []).forEach((run, i) => {
    series['s' + i] = Object.assign({strokePattern: dash(RUNS[run]).length ? dash(RUNS[run]) : null},
                                    (chart.lines || [])[i]);
  });
  return series;
}

// Zoom in time is common to all charts over time.
function zoomTogether(source, from, to) {
  for (const chart of Object.values(CHARTS))
    if (chart.time && chart.graph !== source) chart.graph.updateOptions({dateWindow: [from, to]});
}

function resetZoom() {
  for (const chart of Object.values(CHARTS)) chart.graph.resetZoom();
}

// Draws chart `spec.id` into `parent`: {id, title, what, rows, xlabel, ylabel, xText, valueText,
// runs or parts, time, logX, bars (rows hold [low, mean, high]), points (marked), lines (options of each
// series), stacked, range}.
function addChart(parent, spec) {
  const holder = el('div', {className: 'chart', id: 'chart-' + spec.id});
  const tip = el('div', {className: 'tip', hidden: true});
  const plot = el('div', {className: 'plot'}, holder, tip);
  parent.append(el('figure', {className: 'figure' + (spec.wide ? ' wide' : '')},
                   el('div', {className: 'head'}, el('h3', {}, spec.title), spec.control),
                   el('div', {className: 'what'}, spec.what), plot));
  if (spec.rows.length < (spec.points ? 1 : 2)) {
    holder.replaceWith(el('div', {className: 'empty'}, 'none of the runs has any'));
    return null;
  }
  const chart = Object.assign({}, spec);
  const count = (spec.runs || spec.parts).length;
  chart.graph = new Dygraph(holder, spec.rows, Object.assign({
    labels: ['x', ...Array.from({length: count}, (_, i) => 's' + i)],
    legend: 'never', strokeWidth: spec.time ? 1.5 : 2, highlightCircleSize: 3, animatedZooms: false,
    stepPlot: Boolean(spec.time), stackedGraph: Boolean(spec.stacked),
    drawPoints: Boolean(spec.points), pointSize: 3,
    customBars: Boolean(spec.bars), fillAlpha: spec.stacked ? 0.75 : 0.15,
    xlabel: spec.xlabel, ylabel: spec.ylabel, xLabelHeight: 16, yLabelWidth: 16,
    series: seriesOptions(chart), interactionModel: interaction(),
    axes: {
      x: {logscale: spec.logX, axisLabelFormatter: (x) => number(x, true), pixelsPerLabel: 60},
      y: {axisLabelFormatter: (y) => number(y, true), valueRange: spec.range || [0, null],
          axisLabelWidth: 52},
    },
    highlightCallback: (event, x, points) => showTip(tip, plot, chart, event, x, points),
    unhighlightCallback: () => { tip.hidden = true; },
    zoomCallback: (from, to) => { if (spec.time) zoomTogether(chart.graph, from, to); },
  }, themed(chart)));
  CHARTS[spec.id] = chart;
  return chart;
}

function recolour() {
  for (const chart of Object.values(CHARTS)) chart.graph.updateOptions(themed(chart));
}

function setVisible(run, visible) {
  for (const chart of Object.values(CHARTS)) {
    if (!chart.runs) continue;
    const index = chart.runs.indexOf(run);
    if (index >= 0) chart.graph.setVisibility(index, visible);
  }
}

// The distributions of some runs on all their points: rows of shares in %. Between two points of a
// run its share is interpolated; before the first it is 0 and behind the last 100.
function cdfRows(cdfs) {
  const values = [...new Set(cdfs.flatMap((cdf) => cdf.value))].sort((a, b) => a - b);
  const at = cdfs.map(() => 0);
  return values.map((x) => [x, ...cdfs.map((cdf, i) => {
    while (at[i] < cdf.value.length && cdf.value[at[i]] <= x) ++at[i];
    if (at[i] === 0) return cdf.value.length ? 0 : null;
    if (at[i] === cdf.value.length) return 100;
    const [x0, x1] = [cdf.value[at[i] - 1], cdf.value[at[i]]];
    const [y0, y1] = [cdf.share[at[i] - 1], cdf.share[at[i]]];
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
  })]);
}

// The buckets of some runs on all their begins. A run that is over has no value. The last row is
// the end of the longest run of the report, so that all charts show the same time.
function timeRows(runs, name, bars) {
  const begins = new Set([0]);
  for (const run of runs)
    for (let i = 0; i <= run.series[name].mean.length; ++i) begins.add(i * run.series.width_s);
  for (const run of RUNS) begins.add(run.series[name].mean.length * run.series.width_s);
  const value = (run, x) => {
    const series = run.series[name];
    const i = Math.floor(x / run.series.width_s * (1 + 1e-12));
    if (i > series.mean.length) return null;
    // The last bucket is drawn to its end.
    const k = Math.min(i, series.mean.length - 1);
    if (k < 0 || series.mean[k] === null) return bars ? [null, null, null] : null;
    if (!bars) return series.mean[k];
    return [Math.min(series.low[k], series.mean[k]), series.mean[k],
            Math.max(series.high[k], series.mean[k])];
  };
  return [...begins].sort((a, b) => a - b)
      .map((x) => [x, ...runs.map((run) => value(run, x) ?? (bars ? [null, null, null] : null))]);
}
