"""Draws the rows of a figure with gnuplot, one panel for each model, setting and metric."""
import shutil
import subprocess
from dataclasses import replace

# Okabe and Ito's colours, told apart by colour-blind readers; each line has points of its own as well.
COLOURS = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"]
HEAD = """set terminal svg size {width},{height} font "Helvetica,13" background "white" enhanced
set output "{path}"
set multiplot layout {rows},{columns}
set key above horizontal samplen 2 font ",11"
set border 3
set tics nomirror
set grid ytics lc rgb "#dddddd"
set yrange [0:*]
set errorbars small
"""


def order(values):
    return list(dict.fromkeys(values))


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', "'").replace("_", "\\\\_").replace("%", "%%") + '"'


def datum(row):
    """Mean, lower and upper; without an interval the error bar has no length."""
    ends = (row.value if end is None else end for end in (row.lower95, row.upper95))
    return " ".join(f"{number:.9g}" for number in (row.value, *ends))


def block(name, rows):
    """A gnuplot datablock of (x, row) pairs."""
    body = "\n".join(f"{x} {datum(row)}" for x, row in rows)
    return f"{name} << EOD\n{body}\nEOD\n"


def lines(panel, panel_name, style):
    """Systems as lines over a numeric x; `style` numbers them throughout the figure."""
    data, drawn = "", []
    for system in order(row.system for row in panel):
        name = f"$d{panel_name}_{style(system)}"
        data += block(name, [(row.x, row) for row in panel if row.system == system])
        drawn.append(f"{name} using 1:2:3:4 with yerrorlines lw 2 pt {4 + style(system)} ps 0.7 "
                     f"lc rgb '{COLOURS[style(system)]}' title {quoted(system)}")
    return (f"{data}unset xtics\nset xtics nomirror autofreq\nset xrange [*:*] noextend\n"
            f"set offsets graph 0.05, graph 0.05, 0, 0\nplot {', '.join(drawn)}\n")


def bars(panel, panel_name, style):
    """Bars in groups by x; without x, one bar for each system, named below it."""
    if not any(row.x for row in panel):
        return bars([replace(row, x=row.system, system="") for row in panel], panel_name, style)
    xs, systems = order(row.x for row in panel), order(row.system for row in panel)
    width = 0.8 / len(systems)
    data, drawn = "", []
    for i, system in enumerate(systems):
        name = f"$d{panel_name}_{i}"
        shift = (i - (len(systems) - 1) / 2) * width
        data += block(name, [(f"{xs.index(row.x) + shift:.6g}", row) for row in panel if row.system == system])
        title = f"title {quoted(system)}" if system else "notitle"
        drawn.append(f"{name} using 1:2:({width * 0.9:.6g}) with boxes fs solid 0.8 lc rgb "
                     f"'{COLOURS[style(system)]}' {title}")
        drawn.append(f"{name} using 1:3:(0):($4-$3) with vectors nohead lw 1.5 lc rgb '#444444' notitle")
    tics = ", ".join(f"{quoted(x)} {g}" for g, x in enumerate(xs))
    turn = " rotate by -30" if max(map(len, xs)) > 9 else ""
    return (f"{data}unset xtics\nset xtics nomirror{turn} ({tics})\nunset offsets\n"
            f"set xrange [-0.6:{len(xs) - 0.4}]\nplot {', '.join(drawn)}\n")


def is_number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


def draw(rows, path):
    """Writes path (SVG); returns whether gnuplot is there."""
    if shutil.which("gnuplot") is None:
        return False
    systems = order(row.system for row in rows)
    together = rows[0].figure == "sensitivity"  # where the setting tells what an assumption stands for
    panels = order(("" if together else row.setting, row.model, row.metric) for row in rows)
    columns = 1 if together else min(len(panels), 2)
    height = -(-len(panels) // columns)
    script = HEAD.format(width=1120 if together else 560 * columns, height=360 * height, path=path, rows=height,
                         columns=columns)
    for i, (setting, model, metric) in enumerate(panels):
        panel = [row for row in rows if (row.model, row.metric) == (model, metric) and setting in ("", row.setting)]
        heading = model + ("" if setting in ("", "default") else f", output {setting}")
        unit = f" [{panel[0].unit}]" if panel[0].unit else ""
        script += (f"set title {quoted(heading)}\nset ylabel {quoted(metric + unit)}\n"
                   f"set xlabel {quoted(panel[0].x_name)}\n")
        drawer = lines if all(is_number(row.x) for row in panel) else bars
        script += drawer(panel, i, lambda system: systems.index(system) if system else 4)
    subprocess.run(["gnuplot"], input=script + "unset multiplot\n", text=True, check=True)
    return True
