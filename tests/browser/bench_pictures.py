"""Makes docs/images/bench-light.png and bench-dark.png: the bench after some presses, on a bad day. `make pictures`."""

import os
import tempfile
import threading
from contextlib import closing
from pathlib import Path

from playwright.sync_api import sync_playwright

from simulator.bench.boards import Boards, Button, State
from simulator.bench.desk import bench
from simulator.bench.door import Door
from simulator.radio.model import Impairments
from tools.bench import page as bench_page
from tools.bench.stand import standing

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
SOON_S = 60.0


def _press(boards: Boards, button: Button, clicks: int, hold_ms: int | None = None) -> None:
    boards.press(button.name, clicks, hold_ms)
    _await(boards, button)


def _await(boards: Boards, button: Button) -> None:
    if not boards.wait_until(lambda: button.state in (State.ASLEEP, State.OFF), SOON_S):
        raise TimeoutError(f"{button.name} is {button.state}")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DOMINO_DATA_DIR"] = str(Path(folder) / "nothing")
        with (
            standing(None, seed=3, stations=3, impairments=Impairments(loss=0.35, duplicates=0.2)) as stand,
            closing(bench_page.listening(0)) as listener,
            bench(stand.fleet, stand.air) as desk,
        ):
            boards = desk.boards
            first, second, third = (boards.add() for _ in range(3))
            for button in (first, second, third):
                _await(boards, button)
            boards.cut_power(third.name)
            boards.set_world(first.name, cut="before wifi_connect")
            _press(boards, first, 1)
            boards.restore_power(first.name)
            _await(boards, first)
            _press(boards, first, 2)
            desk.air.set_station(list(desk.air.stations)[2], is_up=False)
            door = Door(listener.getsockname()[1])
            server = bench_page.server(desk, door)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                for theme in ("light", "dark"):
                    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)
                    page = context.new_page()
                    page.goto(door.address)
                    page.locator("#press").click(delay=120)
                    boards.wait_until(lambda: "light" in first.steps and first.is_lit, SOON_S)
                    page.locator("#press.lit").wait_for()
                    page.screenshot(path=IMAGES / f"bench-{theme}.png")
                    _await(boards, first)
                    context.close()
                browser.close()
            server.should_exit = True
            desk.hub.close()
            thread.join()


if __name__ == "__main__":
    main()
