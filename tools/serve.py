"""`domino serve`: broker, radio model, ingest and web from one command, on one machine."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import cloud.__main__ as cloud  # the composition root
from cloud.ingest.keys import KeyFileError
from cloud.settings import Settings
from tools.children import InUse, NotStarted, broker, locked, radio
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json, settings

RUNNING = "running.json"  # in the data folder while the service runs: where it is reached

HttpPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The web pages' port; 0: a free one.")]
MqttPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The broker's port; 0: a free one.")]


@dataclass(frozen=True, slots=True)
class Running:
    """Where a running service is reached."""

    pid: int
    http_url: str
    mqtt_port: int | None  # None: another broker, by URL


def command(
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    host: Annotated[str | None, typer.Option(help="The address the web pages listen on.")] = None,
    database_url: DatabaseUrl = None,
    broker_url: Annotated[
        str | None, typer.Option(help="An MQTT broker that runs already, mqtt://host:1883; default: one started here.")
    ] = None,
    master_key_file: Annotated[Path | None, typer.Option(help="64 hex digits, mode 0600.")] = None,
    with_radio: Annotated[
        bool, typer.Option("--radio/--no-radio", help="The radio model between air/ and sigfox/.")
    ] = True,
    stations: Annotated[int, typer.Option(min=1, help="Base stations of the radio model.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the radio model.")] = 1,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Chance that a station misses a replica.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Run the whole service until Ctrl-C. Without URLs everything it needs is started here."""
    chosen = settings(
        data_dir=data_dir,
        http_port=http_port,
        mqtt_port=mqtt_port,
        host=host,
        database_url=database_url,
        broker_url=broker_url,
        master_key_file=master_key_file,
    )
    try:
        with ExitStack() as parts:
            parts.enter_context(locked(chosen.data_dir))
            beside: dict[str, Callable[[], bool]] = {}
            own_port = None
            if chosen.broker_url:
                url = chosen.broker_url.get_secret_value()
            else:
                own = parts.enter_context(broker(chosen.data_dir, chosen.mqtt_port, chosen.data_dir / "nats.log"))
                url, own_port = own.url, own.port
            if with_radio:
                log = chosen.data_dir / "radio.log"
                beside["radio"] = parts.enter_context(
                    radio(url, log_file=log, stations=stations, seed=seed, loss=loss)
                ).is_running
            announce = parts.enter_context(_announcing(chosen, own_port, as_json))
            cloud.run(chosen, url, announce, beside)
    except (InUse, NotStarted, cloud.CannotStart, KeyFileError) as error:
        raise Failure(str(error)) from None


@contextmanager
def _announcing(chosen: Settings, mqtt_port: int | None, as_json: bool) -> Iterator[cloud.Announce]:
    """Gives what tells people and scripts that all parts answer; forgets it at the end."""
    path = chosen.data_dir / RUNNING

    def announce(ready: cloud.Ready) -> None:
        said = {"pid": os.getpid(), "http_url": ready.http_url, "mqtt_port": mqtt_port}
        path.write_text(json.dumps(said))
        if as_json:
            print_json(said | {"data_dir": str(chosen.data_dir)})
            sys.stdout.flush()
            return
        console.print(f"pages      [bold]{ready.http_url}[/]")
        if ready.first_sign_in:
            console.print(f"sign-in    name and password stand in {ready.first_sign_in}", soft_wrap=True)
        console.print(f"broker     {f'mqtt://127.0.0.1:{mqtt_port}' if mqtt_port else 'by URL'}")
        console.print(f"data       {chosen.data_dir}   [dim]Ctrl-C ends everything[/]", soft_wrap=True)

    try:
        yield announce
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def running(data_dir: Path) -> Running:
    """Where the service on `data_dir` is reached; a `Failure` where none runs."""
    try:
        found = Running(**json.loads((data_dir / RUNNING).read_text()))
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError):
        raise Failure(f"no service runs on {data_dir}: start one with `domino serve --data-dir {data_dir}`") from None
    return found


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database up to date; does nothing where it is."""
    engine = open_database(data_dir, database_url)
    console.print(f"up to date: {engine.url.render_as_string(hide_password=True)}", soft_wrap=True)
    engine.dispose()
