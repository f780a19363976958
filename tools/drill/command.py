"""`domino drill`: break the system on purpose and count what came of every press."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.drill.drills import DRILLS
from tools.drill.scene import Chosen, Drill, Report, run
from tools.drill.system import missing
from tools.terminal import AsJson, Failure, console, print_json

BUILD = Path("build") / "drills"
LIST, ALL = "list", "all"


def command(
    name: Annotated[str, typer.Argument(help="Which: `list` names them, `all` does one after the other.")],
    presses: Annotated[
        int | None, typer.Option(min=10, help="How many presses; each drill has its own default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the load and of when things happen.")] = 1,
    database: Annotated[str | None, typer.Option(help="sqlite or postgresql.")] = None,
    broker: Annotated[str | None, typer.Option(help="nats, mosquitto or cluster.")] = None,
    short: Annotated[bool, typer.Option("--short", help="The few seconds that the tests run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Break the system on purpose, count what came of every press, and give the verdict (exit code 1: it failed)."""
    if name == LIST:
        _list(as_json)
        return
    drills = list(DRILLS.values()) if name == ALL else [DRILLS[name]] if name in DRILLS else []
    if not drills:
        raise Failure(f"no drill {name!r}; there are: {', '.join(DRILLS)}, and {ALL}", 2)
    wanted = [(drill, choose(drill, database, broker, presses, seed, short)) for drill in drills]
    for drill, chosen in wanted:
        _demand(drill, chosen)
    reports = []
    for drill, chosen in wanted:
        reports.append(perform(drill, chosen, quiet=as_json))
        if not as_json:
            show(reports[-1])
    if as_json:
        print_json([asdict(report) for report in reports] if name == ALL else asdict(reports[0]))
    elif name == ALL:
        _sum_up(reports)
    if not all(report.passed for report in reports):
        raise typer.Exit(1)


def choose(
    drill: Drill,
    database: str | None = None,
    broker: str | None = None,
    presses: int | None = None,
    seed: int = 1,
    short: bool = False,
) -> Chosen:
    """What was asked for, filled up with the drill's own; a `Failure` for what it does not know."""
    for asked, known, what in ((database, drill.databases, "database"), (broker, drill.brokers, "broker")):
        if asked is not None and asked not in known:
            raise Failure(f"{drill.name} knows no {what} {asked!r}, but {', '.join(known)}", 2)
    count = presses or (drill.short if short else drill.presses)
    return Chosen(database or drill.databases[0], broker or drill.brokers[0], count, seed, short)


def perform(drill: Drill, chosen: Chosen, *, build: Path = BUILD, quiet: bool = True) -> Report:
    """Run it and leave the report under `build`; a `Failure` where this machine lacks something."""
    _demand(drill, chosen)
    build.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} taken in"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=quiet)
    with tempfile.TemporaryDirectory(prefix=f"{drill.name}-", dir=build) as folder, bar:
        task = bar.add_task(drill.name, total=None)

        def progress(what: str, kept: int, of: int) -> None:
            bar.update(task, description=f"{drill.name}: {what}" if what else drill.name, completed=kept, total=of)

        report = run(drill, chosen, Path(folder), progress)
    name = "-".join((drill.name, chosen.database, chosen.broker, *(["short"] if chosen.short else [])))
    (build / f"{name}.json").write_text(report.as_json() + "\n")
    return report


def _demand(drill: Drill, chosen: Chosen) -> None:
    needs = [*drill.needs, *(["mosquitto"] if chosen.broker == "mosquitto" else [])]
    if lacks := missing(needs):
        raise Failure(f"{drill.name} needs {', '.join(lacks)}: make setup-test, and run it as root where it says so")


def show(report: Report) -> None:
    console.print(f"[bold]{report.drill}[/]: {report.what}, {report.chosen.database}, {report.chosen.broker}")
    for at, text in report.happened:
        console.print(f"  [dim]{at:7.2f} s[/]  {escape(text)}", soft_wrap=True)
    for name, value in report.figures.items():
        console.print(f"  {escape(name)}: {value}", soft_wrap=True)
    console.print(f"  results: {', '.join(f'{count} {result}' for result, count in sorted(report.results.items()))}")
    for line in report.verdict:
        console.print(escape(line), soft_wrap=True)
    console.print("[bold green]passed[/]" if report.passed else "[bold red]FAILED[/]", f"in {report.seconds} s")


def _sum_up(reports: Sequence[Report]) -> None:
    table = Table("drill", "acknowledged", "lost", "doubled", "wrong", "longest pause", "", box=None)
    for report in reports:
        counts = map(str, (report.acknowledged, report.lost, report.doubled, report.wrong))
        verdict = "[green]passed[/]" if report.passed else "[red]FAILED[/]"
        table.add_row(report.drill, *counts, f"{report.figures['longest pause, s']} s", verdict)
    console.print(table)


def _list(as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"name": d.name, "what": d.what, "databases": d.databases, "brokers": d.brokers, "needs": d.needs}
                for d in DRILLS.values()
            ]
        )
        return
    table = Table("drill", "what happens", "databases", "brokers", "needs", box=None, header_style="bold")
    for drill in DRILLS.values():
        table.add_row(drill.name, drill.what, " ".join(drill.databases), " ".join(drill.brokers), " ".join(drill.needs))
    console.print(table)
