"""The picture of `domino board life`: battery life over presses a day, and where the charge of each wake goes."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from simulator.board.energy import Part, Use
from simulator.board.life import Moment
from tools.wakes import Link

# The colours of the service's own pages, cloud/static/domino.css.
THEMES = {
    "light": {"bg": "#ffffff", "line": "#d9dee4", "edge": "#7c8794", "ink": "#12171e", "soft": "#55606d"}
    | {"blue": "#0a56c4", "bad": "#b3201b", "ok": "#0d6b3c"},
    "dark": {"bg": "#0f1319", "line": "#2a323d", "edge": "#6d7988", "ink": "#e7ebf0", "soft": "#9ca8b6"}
    | {"blue": "#8cb6ff", "bad": "#ff918a", "ok": "#62cf93"},
}
WIDTH, HEIGHT = 960, 412
LEFT, RIGHT, TOP, BOTTOM = 40, 408, 60, 354  # of the curves
BARS_LEFT, BARS_RIGHT = 640, 920  # of the bars
ROW = 21
SHOWN = (Moment.ANSWERED, Moment.UNANSWERED, Moment.UNASKED, Moment.FAILED, Moment.LISTENING, Moment.HEARTBEAT)
SERIES = (
    ("processor, light", (Part.PROCESSOR, Part.LIGHT, Part.MODEM_IDLE), "ink"),
    ("Wi-Fi", (Part.WIFI,), "blue"),  # the processor is in it
    ("modem sends", (Part.MODEM_TX,), "sends"),
    ("modem listens", (Part.MODEM_RX,), "listens"),
)
DASHES = {Link.WIFI: "", Link.SIGFOX: "7 4"}

Years = Mapping[Link, Mapping[float, float]]
Uses = Mapping[Link, Mapping[str, Use]]


def draw(years: Years, uses: Uses, battery: str, devkit_days: float, theme: str) -> str:
    """An SVG. `years` by presses a day, `uses` by moment and for `a day asleep`; `devkit_days`: a DevKit's best."""
    colours = THEMES[theme]
    label = (
        f"Battery life on {battery} over presses a day, and the charge of each wake by where it goes; "
        f"on a DevKit no more than {devkit_days:.0f} days"
    )
    body = "\n".join([*_curves(years, battery, devkit_days), *_bars(uses)])
    box = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f"""<svg {box} role="img" aria-label="{escape(label)}">
<style>
text{{font:12px -apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:{colours["ink"]}}}
.soft{{fill:{colours["soft"]}}}.title{{font-size:13px;font-weight:650}}.bad{{fill:{colours["bad"]}}}
.end{{text-anchor:end}}.mid{{text-anchor:middle}}
.grid{{stroke:{colours["line"]}}}.curve{{stroke:{colours["ink"]};stroke-width:2;fill:none}}
.limit{{stroke:{colours["bad"]};stroke-width:1.5;stroke-dasharray:5 4}}
.ink{{fill:{colours["ink"]}}}.blue{{fill:{colours["blue"]}}}.rest{{fill:none;stroke:{colours["edge"]}}}
.sends{{fill:url(#sends);stroke:{colours["ok"]}}}.listens{{fill:{colours["line"]};stroke:{colours["edge"]}}}
</style>
<defs><pattern id="sends" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="2.5" height="5" fill="{colours["ok"]}"/></pattern></defs>
<rect width="{WIDTH}" height="{HEIGHT}" fill="{colours["bg"]}"/>
{body}
</svg>
"""


def _curves(years: Years, battery: str, devkit_days: float) -> list[str]:
    highest = max(max(one.values()) for one in years.values())
    top = math.ceil(highest / 2) * 2
    often = list(next(iter(years.values())))
    first, last = math.log(often[0]), math.log(often[-1])

    def x(presses: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log(presses) - first) / (last - first)

    def y(lasts: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * lasts / top

    drawn = [_text(LEFT - 24, 24, "How long it lasts", "title"), _text(LEFT - 24, 42, f"years on {battery}", "soft")]
    for mark in range(0, top + 1, 2):
        drawn.append(f'<path class="grid" d="M{LEFT} {y(mark):.1f}H{RIGHT}"/>')
        drawn.append(_text(LEFT - 8, y(mark) + 4, f"{mark}", "soft end"))
    drawn += [_text(x(one), BOTTOM + 18, f"{one:g}", "soft mid") for one in often]
    drawn.append(_text((LEFT + RIGHT) / 2, BOTTOM + 38, "presses a day", "soft mid"))
    for link, lasts in years.items():
        points = " ".join(f"{x(one):.1f},{y(span):.1f}" for one, span in lasts.items())
        drawn.append(f'<polyline class="curve" stroke-dasharray="{DASHES[link]}" points="{points}"/>')
        at = often[len(often) // 2]
        drawn.append(_text(x(at) + 10, y(lasts[at]) - 4, f"{link}: {lasts[at]:.1f} years at {at:g} a day"))
    limit = y(devkit_days / 365.25)
    drawn.append(f'<path class="limit" d="M{LEFT} {limit:.1f}H{RIGHT}"/>')
    drawn.append(_text(LEFT + 6, limit - 6, f"on a DevKit: {devkit_days:.0f} days at most", "bad"))
    return drawn


def _bars(uses: Uses) -> list[str]:
    most = max(use.charge_mah for of_link in uses.values() for use in of_link.values())
    scale = (BARS_RIGHT - BARS_LEFT) / most
    heading_x = BARS_LEFT - 190
    drawn = [_text(heading_x, 24, "What it goes into, mAh", "title")]
    at_x = float(heading_x)
    for name, _, style in SERIES:
        drawn += [_block(at_x, 32, 12, style), _text(at_x + 18, 43, name, "soft")]
        at_x += 38 + 6.4 * len(name)
    at_y = 62.0
    for link, of_link in uses.items():
        drawn.append(_text(heading_x, at_y + 11, link, "title"))
        for name in (*SHOWN, "a day asleep"):
            use = of_link[name]
            at_y += ROW
            drawn.append(_text(BARS_LEFT - 8, at_y + 11, name, "end"))
            drawn += _bar(use, at_y, scale)
            drawn.append(_text(BARS_LEFT + use.charge_mah * scale + 6, at_y + 11, f"{use.charge_mah:.2f}", "soft"))
        at_y += ROW + 8
    return drawn


def _bar(use: Use, at_y: float, scale: float) -> Sequence[str]:
    if set(use.parts) == {Part.ASLEEP}:
        return [_block(BARS_LEFT, at_y, use.charge_mah * scale, "rest")]
    blocks, at_x = [], float(BARS_LEFT)
    for _, parts, style in SERIES:
        width = sum(use.parts.get(part, 0) for part in parts) * scale
        if width >= 0.5:
            blocks.append(_block(at_x, at_y, width, style))
        at_x += width
    return blocks


def _block(x: float, y: float, width: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="13"/>'


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"' + (f' class="{style}"' if style else "") + f">{escape(words)}</text>"
