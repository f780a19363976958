"""`domino board life`: what each wake takes from the battery, and how long one lasts, as a table, JSON or a picture."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from simulator.board import energy, life
from simulator.board.energy import Use
from simulator.board.life import BATTERIES, Battery, Moment
from simulator.modem import State
from tools import wakes
from tools.children import NotStarted
from tools.life_chart import THEMES, draw
from tools.terminal import AsJson, Failure, console, print_json
from tools.wakes import Link

PRESSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one link takes: each wake, a day asleep, and a day with so many presses; and how long the battery lasts."""

    wakes: Mapping[Moment, Use]
    asleep: Use
    days: Mapping[float, Use]
    years: Mapping[float, float]


def forecast(
    measured: Mapping[Moment, Use], link: Link, battery: Battery, presses: Sequence[float], *, devkit: bool = False
) -> Forecast:
    asleep = energy.asleep(life.DAY_MS, State.SLEEP if link is Link.SIGFOX else None)
    if devkit:
        measured = {moment: energy.on_devkit(use) for moment, use in measured.items()}
        asleep = energy.on_devkit(asleep)
    days = {often: life.day(measured, asleep, often) for often in presses}
    return Forecast(measured, asleep, days, {often: life.years(battery, use.charge_mah) for often, use in days.items()})


def command(
    presses: Annotated[
        list[float] | None,
        typer.Option(min=0, max=100, help="How many a day; may be repeated. Default: 0.1 to 10.", show_default=False),
    ] = None,
    battery: Annotated[str, typer.Option(help=f"What it runs on: {', '.join(BATTERIES)}.")] = "aa-lithium",
    devkit: Annotated[
        bool, typer.Option("--devkit", help="With a DevKit's regulator, USB bridge and power light.")
    ] = False,
    chart: Annotated[
        Path | None, typer.Option(metavar="NAME", help="Draw it, too: NAME-light.svg and NAME-dark.svg.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Press the firmware in every way, by every link: what that takes from a battery, and how long it lasts."""
    if chart and not chart.parent.is_dir():
        raise Failure(f"--chart: there is no folder {chart.parent}", 2)
    if battery not in BATTERIES:
        raise Failure(f"--battery: there is {', '.join(BATTERIES)}", 2)
    model = BATTERIES[battery]
    try:
        with nullcontext() if as_json else console.status("pressing in every way, by every link: half a minute …"):
            measured = wakes.measure()
    except NotStarted as error:
        raise Failure(str(error)) from None
    if chart:
        bare = {link: forecast(uses, link, model, PRESSES) for link, uses in measured.items()}
        on_devkit = [forecast(uses, link, model, PRESSES, devkit=True) for link, uses in measured.items()]
        longest_days = max(max(one.years.values()) for one in on_devkit) * life.DAYS_A_YEAR
        for theme in THEMES:
            picture = draw(
                {link: one.years for link, one in bare.items()},
                {link: {**one.wakes, "a day asleep": one.asleep} for link, one in bare.items()},
                model.name,
                longest_days,
                theme,
            )
            chart.with_name(f"{chart.name}-{theme}.svg").write_text(picture)
    rates = sorted(set(presses or PRESSES))
    told = {link: forecast(uses, link, model, rates, devkit=devkit) for link, uses in measured.items()}
    if as_json:
        print_json(_as_json(told, model, devkit))
    else:
        _show(told, model, devkit)


def _as_json(told: Mapping[Link, Forecast], battery: Battery, devkit: bool) -> dict[str, Any]:
    def of(use: Use) -> dict[str, Any]:
        return {
            "mah": round(use.charge_mah, 5),
            "awake_s": round(use.ms / 1000, 2),
            "parts_mah": {part: round(mah, 5) for part, mah in use.parts.items()},
        }

    return {
        "board": "devkit" if devkit else "bare chips",
        "battery": asdict(battery),
        "links": {
            link: {
                "wakes": {moment: of(use) for moment, use in one.wakes.items()},
                "asleep_mah_a_day": round(one.asleep.charge_mah, 5),
                "days": [
                    {"presses": often, "mah_a_day": round(use.charge_mah, 5), "years": round(one.years[often], 3)}
                    for often, use in one.days.items()
                ],
            }
            for link, one in told.items()
        },
    }


def _show(told: Mapping[Link, Forecast], battery: Battery, devkit: bool) -> None:
    each = _table("wake", [heading for link in told for heading in (f"{link}, s awake", "mAh")])
    for moment in Moment:
        uses = [one.wakes[moment] for one in told.values()]
        each.add_row(moment, *(figure for use in uses for figure in (f"{use.ms / 1000:.1f}", f"{use.charge_mah:.3f}")))
    each.add_row("a day asleep", *(figure for one in told.values() for figure in ("", f"{one.asleep.charge_mah:.3f}")))
    lasts = _table("presses a day", [heading for link in told for heading in (f"{link}, mAh a day", "lasts")])
    for often in next(iter(told.values())).days:
        row = [(f"{one.days[often].charge_mah:.2f}", span(one.years[often])) for one in told.values()]
        lasts.add_row(f"{often:g}", *(figure for pair in row for figure in pair))
    console.print(each, "", lasts, sep="\n")
    console.print(
        f"\n[dim]{'a DevKit' if devkit else 'bare chips, no DevKit'}; {battery.name}, {battery.mah:.0f} mAh, "
        f"{battery.usable:.0%} of it usable, {battery.loss_a_year:.0%} a year lost by itself; one heartbeat a day. "
        "Currents are data sheets': docs/power.md[/]"
    )


def _table(first: str, headings: Sequence[str]) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def span(years: float) -> str:
    """In words; nobody should plan for more than a cell's own life."""
    if years >= 15:
        return "over 15 years"
    return f"{years:.1f} years" if years >= 1 else f"{years * life.DAYS_A_YEAR:.0f} days"
