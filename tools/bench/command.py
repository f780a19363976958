"""`domino bench`, the bench's page, and `domino simulate`, the same without one."""

from contextlib import closing
from typing import Annotated

import typer

from tools.terminal import AsJson, DataDir, print_json

PORT = 8740

Stations = Annotated[int, typer.Option(min=1, max=26, help="Base stations of the bench's air.")]
Seed = Annotated[int, typer.Option(help="Of the air: places of stations and buttons, and every loss.")]
Awake = Annotated[int, typer.Option(min=1, max=64, help="How many boards may be awake at once, each a process.")]


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
            page.serve(desk, door, listener)
