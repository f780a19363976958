"""`domino board`: a board on the desk that the real mpremote flashes and drives."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from cloud.fleet.model import format_id
from cloud.settings import Settings
from simulator.board import control, vm
from simulator.board.supervisor import ModemLine, Supervisor, parse_trace
from simulator.keys import read_keys
from simulator.modem import Fault
from tools import buttons, children, life
from tools.children import InUse, NotStarted, locked
from tools.running import find_running
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json, settings

app = typer.Typer(help="A board on the desk, for mpremote.", no_args_is_help=True)
app.command("life")(life.command)
Folder = Annotated[Path, typer.Argument(help="Where the board keeps its flash, and its port `tty`.")]
Follow = Annotated[bool, typer.Option("--follow", help="Tell the firmware's steps until it sleeps.")]
SURROUNDINGS: dict[str, Any] = {field.name: field.type for field in fields(vm.Surroundings)}


@app.command()
def start(
    folder: Folder,
    button: Annotated[
        int | None,
        typer.Option(
            parser=buttons.device_id, metavar="ID", help="Provision it as this button of the fleet; else as it was."
        ),
    ] = None,
    network_keys: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A Sigfox modem in place of Wi-Fi; the file that `domino serve` has."
        ),
    ] = None,
    modem_scale: Annotated[
        float, typer.Option(min=0, max=10, help="0.1: what takes a modem real time takes a tenth of it.")
    ] = 1.0,
    modem_fault: Annotated[Fault, typer.Option(help="What is wrong with the modem.")] = Fault.NONE,
    mqtt_port: Annotated[
        int | None,
        typer.Option(help="The broker's port; default: the running `domino serve`'s. With --button or a modem."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put a battery into a board and serve it until Ctrl-C."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # its flash holds the key
    try:
        with ExitStack() as parts:
            parts.enter_context(locked(folder))
            chosen = settings(data_dir=data_dir, database_url=database_url)
            port = _broker_port(mqtt_port, chosen) if button is not None or network_keys else 0
            if button is not None:
                engine = open_database(data_dir, database_url)
                buttons.open_board(engine, chosen, button, port, folder=folder, by_modem=bool(network_keys))
            modem = None
            if network_keys:
                child = parts.enter_context(_modem(folder, network_keys, port, modem_scale, modem_fault))
                modem = ModemLine(child.port, child.states)
            supervisor = Supervisor(
                folder, lambda line: None if as_json else console.print(line, style="dim", markup=False), modem
            )
            for ending in (signal.SIGINT, signal.SIGTERM):
                signal.signal(ending, lambda *_: supervisor.stop())
            supervisor.run(lambda: _tell_port(supervisor, as_json))
    except InUse as error:
        raise Failure(str(error).replace("data folder", "board's folder")) from None
    except NotStarted as error:
        raise Failure(str(error)) from None


def _broker_port(mqtt_port: int | None, chosen: Settings) -> int:
    port = mqtt_port or find_running(chosen.data_dir).mqtt_port
    if port is None:
        raise Failure("the running service uses a broker by URL: give its --mqtt-port", 2)
    return port


def _modem(
    folder: Path, network_keys: Path, broker_port: int, scale: float, fault: Fault
) -> AbstractContextManager[children.Modem]:
    """The modem of the button that the board is."""
    board = vm.Board(folder)
    if not board.is_provisioned:
        raise Failure("a modem is one button's: say which by --button", 2)
    device = format_id(board.device_id)
    try:
        keys = read_keys(network_keys)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    if device not in keys:
        raise Failure(f"{network_keys} has no key of {device}: add one, and start `domino serve` with it anew", 2)
    return children.modem(
        f"mqtt://127.0.0.1:{broker_port}",
        device=device,
        keys=network_keys,
        counter=folder / "modem.counter",
        log_file=folder / "modem.log",
        scale=scale,
        fault=fault,
    )


def _tell_port(board: Supervisor, as_json: bool) -> None:
    if as_json:
        print_json({"port": str(board.port), "pid": os.getpid()})
    else:
        console.print(f"port [bold]{board.port}[/]\n[dim]mpremote connect {board.port} fs ls · Ctrl-C ends it[/]")


@app.command()
def press(
    folder: Folder,
    clicks: Annotated[int, typer.Option(min=1, max=7, help="How many parcels.")] = 1,
    cancel: Annotated[bool, typer.Option("--cancel", help="A long press: take the open request back.")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="Clicks, then hold: what became of my request?")] = False,
    hold_ms: Annotated[int | None, typer.Option(min=1, help="Hold the last click for so long.")] = None,
    as_json: AsJson = False,
) -> None:
    """Press the key. A board that sleeps is followed until it sleeps again."""
    held = buttons.HOLD_MS if cancel or ask else hold_ms
    _ask(folder, {"do": "press", "clicks": 2 if ask else clicks, "hold_ms": held}, as_json)


@app.command()
def power(
    folder: Folder,
    to: Annotated[str, typer.Argument(metavar="[off|on|cycle]", help="Battery out, in, or out and in.")] = "cycle",
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Cut the power, with no warning to anybody, or give it back."""
    if to not in ("off", "on", "cycle"):
        raise typer.BadParameter("off, on or cycle")
    _ask(folder, {"do": "power", "to": to, "follow": follow and to != "off"}, as_json)


@app.command()
def reset(folder: Folder, follow: Follow = False, as_json: AsJson = False) -> None:
    """Press the board's own reset key (EN)."""
    _ask(folder, {"do": "reset", "follow": follow}, as_json)


@app.command()
def state(
    folder: Folder,
    switches: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help=f"First change: {', '.join(SURROUNDINGS)}.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What it does and what it has used. With NAME=VALUE, change the world around it from its next start on."""
    if switches:
        _ask(folder, {"do": "set", "surroundings": dict(map(_switch, switches))}, as_json)
    else:
        _ask(folder, {"do": "state"}, as_json)


def _switch(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if name not in SURROUNDINGS:
        raise typer.BadParameter(f"{name}: there is {', '.join(SURROUNDINGS)}")
    readings: list[Any] = [value or None]
    with contextlib.suppress(ValueError):
        readings.insert(0, json.loads(value))
    for reading in readings:
        if isinstance(reading, SURROUNDINGS[name]):
            return name, reading
    raise typer.BadParameter(f"{name}: {value!r} is not {SURROUNDINGS[name]}")


@app.command()
def trace(
    folder: Folder,
    everything: Annotated[bool, typer.Option("--all", help="Since it was started, not since its last reset.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the firmware did to pins, flash, radio and sleep, in ms since the reset. A stopped board's, too."""
    try:
        events = parse_trace((folder / "trace.jsonl").read_text().splitlines())
    except OSError:
        raise Failure(f"there has been no board in {folder}: start one with `domino board start {folder}`") from None
    starts = [at for at, event in enumerate(events) if event["kind"] == "start"]
    for event in events if everything else events[starts[-1] if starts else 0 :]:
        if as_json:
            print_json(event)
            continue
        details = {name: value for name, value in event.items() if name not in ("ms", "kind", "free")}
        told = " ".join(f"{name}={json.dumps(value)}" for name, value in details.items())
        console.print(f"{event['ms']:8} ms  [bold]{event['kind']:12}[/] {escape(told)}", soft_wrap=True)


def _ask(folder: Path, request: dict[str, Any], as_json: bool) -> None:
    steps: dict[str, str] = {}
    answer: dict[str, Any] = {}
    for answer in _answers(folder, request):
        if line := vm.parse_line(answer.get("line", "")):
            steps[line.step] = line.value
            if not as_json:
                console.print(f"[dim]{line.step:10}[/] {escape(line.value)}")
    if "error" in answer:
        raise Failure(answer["error"])
    if as_json:
        print_json(answer | ({"steps": steps} if steps else {}))
        return
    for name, value in answer.items():
        told = ", ".join(f"{part} {mah}" for part, mah in value.items()) if isinstance(value, dict) else str(value)
        console.print(f"[dim]{name:14}[/] {escape(told)}", soft_wrap=True)


def _answers(folder: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        yield from control.ask(folder, request)
    except control.NotRunning as error:
        raise Failure(f"{error}: start one with `domino board start {folder}`") from None
    except TimeoutError:
        raise Failure(f"the board says nothing: `domino board trace {folder}` tells what it does") from None
