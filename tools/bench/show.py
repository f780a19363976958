"""A simulation on the terminal: how far it is, and what came of it."""

from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.bench.simulate import Progress as Told
from tools.bench.simulate import Summary
from tools.terminal import console


class Shown:
    """Entered, a bar is shown unless `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[pressed]} pressed, {task.fields[radiated]} radiated, {task.fields[heard]} heard"),
            TextColumn("[dim]{task.fields[awake]} awake[/]"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=quiet, transient=True)
        self._task = self._bar.add_task("the service starts", total=1.0, pressed=0, radiated=0, heard=0, awake=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, told: Told) -> None:
        self._bar.update(
            self._task,
            description=told.doing,
            completed=told.share,
            pressed=told.pressed,
            radiated=told.radiated,
            heard=told.heard,
            awake=told.awake,
        )

    def sum_up(self, summary: Summary) -> None:
        table = Table(box=None, show_header=False)
        table.add_column(style="dim")
        table.add_column(justify="right")
        table.add_column(style="dim")
        refused = ", ".join(f"{count} {result}" for result, count in sorted(summary.refused.items()))
        for name, value, remark in (
            ("pressed", summary.pressed, f"by {summary.buttons + summary.real} buttons, {summary.real} of them real"),
            ("heartbeats", summary.heartbeats, f"in {summary.simulated_h} h of their time"),
            ("radiated", summary.radiated, f"{summary.waiting} wait in flash" if summary.waiting else ""),
            ("heard", summary.heard, f"{summary.delivered_twice} delivered twice" if summary.delivered_twice else ""),
            ("lost on the air", summary.lost_on_the_air, "on purpose"),
            ("kept", summary.kept, f"refused: {refused}" if refused else ""),
            ("orders", summary.orders, ""),
            ("lost", summary.lost, ""),
            ("doubled", summary.doubled, ""),
        ):
            table.add_row(name, f"{value:,}".replace(",", "\N{NO-BREAK SPACE}"), remark)
        console.print(table)
        how = "[bold green]passed[/]" if summary.passed else "[bold red]FAILED[/]"
        early = ", ended early" if summary.ended_early else ""
        console.print(f"{how} in {summary.seconds} s{early}: {summary.verdict}", soft_wrap=True)
