// What all pages of reports have: sections, the legend, colours and printing.
'use strict';

const MAIN = document.getElementById('report');
const ALL = RUNS.map((_, i) => i);

function section(id, title, note) {
  const part = el('section', {id}, el('h2', {}, title), note ? el('p', {className: 'note'}, note) : null);
  MAIN.append(part);
  return part;
}

// ---- legend: one for all charts; `tools` are buttons beside it
function addLegend(...tools) {
  const legend = el('nav', {className: 'legend', 'aria-label': 'series shown'});
  for (const i of ALL) {
    const chip = el('button', {type: 'button', className: 'chip', 'aria-pressed': 'true',
                               title: 'show or hide in all charts'}, sample(RUNS[i]), RUNS[i].label);
    chip.dataset.run = i;
    chip.onclick = () => {
      const visible = chip.getAttribute('aria-pressed') !== 'true';
      chip.setAttribute('aria-pressed', String(visible));
      setVisible(i, visible);
    };
    legend.append(chip);
  }
  const reset = el('button', {type: 'button', id: 'reset'}, 'reset zoom');
  reset.onclick = resetZoom;
  legend.append(el('span', {className: 'tools'}, ...tools, reset));
  MAIN.append(legend);
}

// A table that scrolls sideways in its own box; `head` are texts, `body` an element.
function figureTable(head, body) {
  return el('div', {className: 'scroll'}, el('table', {className: 'figures'},
      el('thead', {}, el('tr', {}, ...head.map((name) => el('th', {}, name)))), body));
}

// ---- colours: of the system, light or dark; paper is light
const THEMES = ['auto', 'light', 'dark'];
const DARK = matchMedia('(prefers-color-scheme: dark)');
let THEME = 'auto';

function applyTheme(printing) {
  const dark = !printing && (THEME === 'dark' || (THEME === 'auto' && DARK.matches));
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
  document.getElementById('theme').textContent = THEME;
  recolour();
}

document.getElementById('theme').onclick = () => {
  THEME = THEMES[(THEMES.indexOf(THEME) + 1) % THEMES.length];
  applyTheme(false);
};
DARK.addEventListener('change', () => applyTheme(false));
// Charts are zoomed onto paper: Chromium prints a canvas blank that gets another size here.
function setPrinting(printing) {
  const holders = [...document.querySelectorAll('.chart')];
  const widths = holders.map((holder) => holder.clientWidth);
  document.body.classList.toggle('printing', printing);
  holders.forEach((holder, i) => {
    holder.style.width = printing ? widths[i] + 'px' : '';
    holder.style.zoom = printing ? holder.parentNode.clientWidth / widths[i] : '';
  });
  applyTheme(printing);
}
addEventListener('beforeprint', () => setPrinting(true));
addEventListener('afterprint', () => setPrinting(false));

applyTheme(false);
// For tests and the console.
window.sparseserveReport = {charts: CHARTS, data: DATA};
