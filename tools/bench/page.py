"""The bench's page, served on loopback until it is told to end."""

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import uvicorn
from rich.markup import escape

from cloud import pages
from cloud.settings import FIRST_SIGN_IN
from simulator.bench.app import Files, create_app
from simulator.bench.desk import Bench
from simulator.bench.door import Door
from simulator.board.vm import FIRMWARE
from tools.bench.stand import Stand
from tools.terminal import Failure, console

LOOPBACK = "127.0.0.1"
END_S = 2  # for answers under way; streams end at once
VERSION = "import sys; print('.'.join(map(str, sys.implementation.version[:3])))"


def server(desk: Bench, door: Door) -> uvicorn.Server:
    """The page; its `run` takes the sockets, and ends by SIGINT or SIGTERM where it runs in the main thread."""
    app = create_app(desk, door, files(), about=about())
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=END_S)
    made = _Server(config)
    made.on_exit = desk.hub.close
    return made


class _Server(uvicorn.Server):
    """It ends the open streams first: uvicorn would wait for them."""

    @staticmethod
    def on_exit() -> None: ...

    def handle_exit(self, sig: int, frame: object) -> None:
        self.on_exit()
        self.should_exit = True  # and the signal is not raised again: what the command has opened is still to be closed


def files() -> Files:
    return Files(pages.STATIC, pages.STATIC / "vendor", Path(pages.__file__).parent / "templates" / "icons.html")


def about() -> dict[str, str]:
    """Which firmware and which MicroPython the boards run: the commit of the firmware where there is git."""
    told = subprocess.run(
        ["git", "-C", str(FIRMWARE), "log", "-1", "--format=%h", "--", "."], capture_output=True, text=True, check=False
    )
    vm = Path(sys.executable).with_name("micropython")
    version = subprocess.run([str(vm), "-c", VERSION], capture_output=True, text=True, check=False)
    return {
        "firmware": told.stdout.strip() or importlib.metadata.version("domino"),
        "micropython": version.stdout.strip() or "?",
    }


def listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise Failure(f"port {port} on {LOOPBACK} cannot be had: {error.strerror}") from None
    listener.listen()
    return listener


def show(stand: Stand, door: Door) -> None:
    console.print(f"bench      [bold]{door.address}[/]", soft_wrap=True)
    console.print(f"console    [bold]{stand.running.http_url}[/]", soft_wrap=True)
    first_sign_in = stand.data_dir / FIRST_SIGN_IN
    if stand.is_own and first_sign_in.exists():
        name, password = first_sign_in.read_text().split()[:2]
        console.print(f"sign-in    [bold]{escape(name)}[/] with [bold]{escape(password)}[/]", soft_wrap=True)
    kept = "thrown away at the end" if stand.is_own else "its buttons 00B0BE01 … stay in the fleet"
    console.print(f"data       {escape(str(stand.data_dir))}   [dim]{kept} · Ctrl-C ends everything[/]", soft_wrap=True)
