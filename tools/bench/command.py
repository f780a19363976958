"""`domino bench`, the bench's page, and `domino simulate`, the same without one."""

import re
from contextlib import closing
from typing import Annotated

import typer

from tools.terminal import AsJson, DataDir, print_json

PORT = 8740
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}

Stations = Annotated[int, typer.Option(min=1, max=26, help="Base stations of the bench's air.")]
Seed = Annotated[int, typer.Option(help="Of the air: places of stations and buttons, and every loss.")]
Awake = Annotated[int, typer.Option(min=1, max=64, help="How many boards may be awake at once, each a process.")]


def seconds(text: str) -> float:
    """
    >>> seconds("90s"), seconds("10m"), seconds("0.5h"), seconds("7")
    (90.0, 600.0, 1800.0, 7.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", str(text))
    if not found or not 0 < float(found[1]) * UNITS[found[2]] <= 86_400:
        raise typer.BadParameter("a time is 90s, 10m or 1h, up to a day")
    return float(found[1]) * UNITS[found[2]]


def bench(
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0: a free one.")] = PORT,
    boards: Annotated[int, typer.Option(min=0, max=64, help="Buttons that are there from the start.")] = 1,
    stations: Stations = 3,
    seed: Seed = 1,
    awake: Awake = 12,
    as_json: AsJson = False,
) -> None:
    """Drawn buttons to press, with the real firmware in them, on a page of this machine alone, until Ctrl-C.

    Beside the `domino serve` of the data folder; without one, over a service of its own, thrown away at the end.
    """
    # Here, because the page's parts cost half a second that no other command need pay.
    from simulator.bench.desk import bench as opened
    from simulator.bench.door import Door
    from simulator.radio.model import Impairments
    from tools.bench import page
    from tools.bench.stand import standing

    with closing(page.listening(port)) as listener:
        door = Door(listener.getsockname()[1])
        own = {"DOMINO_BENCH_URL": door.origin}
        with (
            standing(data_dir, environment=own, seed=seed, stations=stations, impairments=Impairments()) as stand,
            opened(stand.fleet, stand.air, most_awake=awake) as desk,
        ):
            for _ in range(boards):
                desk.boards.add()
            if as_json:
                print_json({"url": door.address, "console": stand.running.http_url, "data_dir": str(stand.data_dir)})
            else:
                page.show(stand, door)
            page.server(desk, door).run(sockets=[listener])


def simulate(
    buttons: Annotated[int, typer.Option(min=0, max=10_000, help="Buttons as sealed traffic, without a VM.")] = 1000,
    real: Annotated[int, typer.Option(min=0, max=64, help="Boards with the real firmware on the real VM.")] = 4,
    duration: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="TIME", help="On this machine: 90s, 10m, 1h.")
    ] = "60s",  # pyright: ignore[reportArgumentType]  Typer parses it
    presses_per_day: Annotated[float, typer.Option(min=0, max=140, help="Of each button, at random moments.")] = 4.0,
    speed: Annotated[float, typer.Option(min=1, max=3600, help="How fast the buttons' own time runs.")] = 60.0,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Chance that a station misses a replica.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Chance that a message is delivered twice.")] = 0.0,
    delay: Annotated[float, typer.Option(min=0, max=600, help="Messages are late by up to so many seconds.")] = 0.0,
    out_of_order: Annotated[float, typer.Option(min=0, max=1, help="Chance that a message is overtaken.")] = 0.0,
    stations: Stations = 3,
    seed: Seed = 1,
    awake: Awake = 12,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """A fleet that presses by itself for a while, and a verdict on what the cloud kept (exit code 1: it failed).

    Beside the `domino serve` of the data folder; without one, over a service of its own, thrown away at the end.
    Ctrl-C ends it early, with the summary so far.
    """
    from simulator.radio.model import Impairments
    from tools.bench.show import Shown
    from tools.bench.simulate import Order
    from tools.bench.simulate import simulate as run
    from tools.bench.stand import standing

    air = Impairments(loss, duplicates, delay, out_of_order)
    order = Order(buttons, real, duration, presses_per_day, speed, seed, awake)
    with Shown(quiet=as_json) as shown, standing(data_dir, seed=seed, stations=stations, impairments=air) as stand:
        summary = run(stand, order, shown.tell)
    if as_json:
        print_json(summary.as_json())
    else:
        shown.sum_up(summary)
    if not summary.passed:
        raise typer.Exit(1)
