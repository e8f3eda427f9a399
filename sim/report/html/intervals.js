// Intervals drawn in a line of text, for the pages of sweeps and plans.
'use strict';

// A dot at `value` and a line from low to high, in the colour of a run. `place` gives the position in
// % of the width; what lies outside is drawn at the edge. `thin` is a second, wider [low, high].
function rangeMark(run, [value, low, high], place, zero, thin) {
  const at = (x) => Math.min(100, Math.max(0, place(x)));
  const line = (from, to, name) => el('i', {className: name,
      style: `left:${at(from)}%;width:${at(to) - at(from)}%;background:var(--s${colourIndex(run)})`});
  const known = (x) => x !== null && x !== undefined;
  return el('span', {className: 'range'},
            known(zero) ? el('u', {style: `left:${at(zero)}%`}) : null,
            thin && known(thin[0]) && known(thin[1]) ? line(thin[0], thin[1], 'thin') : null,
            known(low) && known(high) ? line(low, high, '') : null,
            el('b', {style: `left:${at(value)}%;background:var(--s${colourIndex(run)})`}));
}

// "3.2 [3.1, 3.4]" with the unit behind the value.
function intervalText([value, low, high], unit, sign) {
  const text = (x) => (sign && x > 0 ? '+' : '') + number(x);
  const head = text(value) + (unit ? ' ' + unit : '');
  return low === null || high === null ? head : head + ' [' + text(low) + ', ' + text(high) + ']';
}
