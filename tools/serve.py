"""`domino serve`: broker, radio model, ingest and web from one command, on one machine."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cloud.ingest.keys import sign_in
from cloud.settings import FIRST_SIGN_IN
from tools.children import InUse, NotStarted, broker, locked, radio
from tools.running import Running, noted
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json, settings

HttpPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The web pages' port; 0: a free one.")]
MqttPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The broker's port; 0: a free one.")]


def command(
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    host: Annotated[str | None, typer.Option(help="The address the web pages listen on.")] = None,
    database_url: DatabaseUrl = None,
    broker_url: Annotated[
        str | None,
        typer.Option(help="A broker that runs already, mqtt://… or nats://…; default: one started here."),
    ] = None,
    master_key_file: Annotated[Path | None, typer.Option(help="64 hex digits, mode 0600.")] = None,
    with_radio: Annotated[
        bool, typer.Option("--radio/--no-radio", help="The radio model between air/ and sigfox/.")
    ] = True,
    stations: Annotated[int, typer.Option(min=1, help="Base stations of the radio model.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the radio model.")] = 1,
    loss: Annotated[float, typer.Option(min=0, max=1, help="Chance that a station misses a replica.")] = 0.0,
    network_keys: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON of device id to Sigfox key: who radiates real frames."),
    ] = None,
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
    # Here, because the web application costs half a second that no other command need pay.
    from cloud.__main__ import CannotStart, PartEnded, Ready, run

    network: dict[str, object] = {"stations": stations, "seed": seed, "loss": loss}
    if network_keys:
        network["keys"] = network_keys
    try:
        with ExitStack() as parts:
            parts.enter_context(locked(chosen.data_dir))
            own_port: int | None = None
            children: dict[str, Callable[[], bool]] = {}
            if chosen.broker_url:
                url = sign_in(chosen.broker_url.get_secret_value(), lambda: chosen.keys(make=True))
                if with_radio and url.startswith(("nats://", "tls://")):
                    raise Failure("the radio model speaks MQTT: run it beside, or not at all, with --no-radio")
            else:
                own = parts.enter_context(broker(chosen.data_dir, chosen.mqtt_port, chosen.data_dir / "nats.log"))
                url, own_port = own.url, own.port
                children["nats-server"] = own.is_running

            def start_radio() -> dict[str, Callable[[], bool]]:
                if with_radio:
                    log = chosen.data_dir / "radio.log"
                    children["radio"] = parts.enter_context(radio(url, log_file=log, **network)).is_running
                return children

            def announce(ready: Ready) -> None:
                running = Running(os.getpid(), ready.http_url, own_port)
                parts.enter_context(noted(chosen.data_dir, running))
                if as_json:
                    print_json(asdict(running))
                else:
                    _show(running, chosen.data_dir)

            run(chosen, url, announce, start_radio)
    except PartEnded as error:
        raise Failure(f"{error}: its log is in {chosen.data_dir}") from None
    except (InUse, NotStarted, CannotStart) as error:
        raise Failure(str(error)) from None


def _show(running: Running, data_dir: Path) -> None:
    first_sign_in = data_dir / FIRST_SIGN_IN
    console.print(f"pages      [bold]{running.http_url}[/]")
    if first_sign_in.exists():
        console.print(f"sign-in    name and password stand in {escape(str(first_sign_in))}", soft_wrap=True)
    console.print(f"broker     {f'mqtt://127.0.0.1:{running.mqtt_port}' if running.mqtt_port else 'by URL'}")
    console.print(f"data       {escape(str(data_dir))}   [dim]Ctrl-C ends everything[/]", soft_wrap=True)


def web(
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    host: Annotated[str | None, typer.Option(help="The address the web pages listen on.")] = None,
    database_url: DatabaseUrl = None,
    master_key_file: Annotated[Path | None, typer.Option(help="64 hex digits, mode 0600.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the pages alone until Ctrl-C, beside `domino ingest` on the same database."""
    chosen = settings(
        data_dir=data_dir, http_port=http_port, host=host, database_url=database_url, master_key_file=master_key_file
    )
    from cloud.__main__ import CannotStart, Ready, run_web

    try:
        with ExitStack() as parts:
            parts.enter_context(locked(chosen.data_dir))

            def announce(ready: Ready) -> None:
                running = Running(os.getpid(), ready.http_url, None)
                parts.enter_context(noted(chosen.data_dir, running))
                if as_json:
                    print_json(asdict(running))
                else:
                    _show(running, chosen.data_dir)

            run_web(chosen, announce)
    except (InUse, CannotStart) as error:
        raise Failure(str(error)) from None


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database up to date; does nothing where it is."""
    engine = open_database(data_dir, database_url)
    console.print(f"up to date: {engine.url.render_as_string(hide_password=True)}", soft_wrap=True)
    engine.dispose()
