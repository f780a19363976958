"""`domino ingest`: any number of workers that share the broker's messages, on this machine and on others."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from cloud.ingest.keys import sign_in
from cloud.settings import Settings
from tools.children import InUse, NotStarted, locked
from tools.overview import Listener
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, print_json, settings
from tools.workers import NOTE, Workers

LOCK = "ingest.lock"  # of its own, so that the pages may run on the same folder


def command(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many run on this machine.")] = 1,
    retire: Annotated[
        bool, typer.Option("--retire", help="Take this machine's workers out for good: each ends when it has all.")
    ] = False,
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="The address of health and metrics.")] = None,
    ingest_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port of health and metrics; worker N's is this + N; 0: free ones."),
    ] = None,
    database_url: DatabaseUrl = None,
    broker_url: Annotated[str | None, typer.Option(help="The MQTT broker that all share, mqtt://host:1883.")] = None,
    master_key_file: Annotated[Path | None, typer.Option(help="64 hex digits, mode 0600.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run workers of the ingest until Ctrl-C, beside `domino web` on the same database."""
    chosen = settings(
        data_dir=data_dir,
        host=host,
        ingest_port=ingest_port,
        database_url=database_url,
        broker_url=broker_url,
        master_key_file=master_key_file,
    )
    if chosen.broker_url is None:
        raise Failure("workers share a broker that runs by itself: --broker-url, or DOMINO_BROKER_URL")
    _check_sharing(sign_in(chosen.broker_url.get_secret_value(), chosen.keys), workers)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        with locked(chosen.data_dir, LOCK):
            all_workers = Workers(workers, chosen.worker_name, chosen.data_dir / NOTE, environment_of(chosen))
            if retire:
                count = len(all_workers.wanted) + len(all_workers.retiring)
                all_workers.retire()
                if as_json:
                    print_json({"retired": count})
                else:
                    console.print(f"retired: {count} workers, for whom the broker keeps nothing any more")
            else:
                _run(all_workers, chosen, as_json)
    except (InUse, NotStarted) as error:
        raise Failure(str(error)) from None


def _run(workers: Workers, chosen: Settings, as_json: bool) -> None:
    try:
        listener = Listener(chosen.host, chosen.ingest_port)
    except OSError as error:
        raise Failure(f"health and metrics cannot be told on {chosen.host}:{chosen.ingest_port}: {error}") from None

    def announce() -> None:
        if as_json:
            each = [{"worker": w.number, "pid": w.pid, "http_url": w.http_url} for w in workers.wanted]
            print_json({"pid": os.getpid(), "http_url": listener.url, "workers": each})
        else:
            console.print(f"{len(workers.wanted)} workers of {chosen.worker_name} take messages; {listener.url}/health")

    with listener.telling(workers.wanted):
        workers.run(announce)


def _check_sharing(broker_url: str, workers: int) -> None:
    # Here, because the composition root costs what no other command need pay.
    from cloud.__main__ import NOT_SHARED
    from cloud.ingest.inlet import is_shared
    from cloud.ingest.mqtt import Unreachable

    try:
        if workers > 1 and not is_shared(broker_url):
            raise Failure(NOT_SHARED)
    except Unreachable as error:
        raise Failure(str(error)) from None


def environment_of(chosen: Settings) -> dict[str, str]:
    """What the command line said, for the workers: their command lines are public, their environment is not."""
    said = {
        "DATA_DIR": chosen.data_dir.resolve(),
        "HOST": chosen.host,
        "INGEST_PORT": chosen.ingest_port,
        "DATABASE_URL": chosen.database_url and chosen.database_url.get_secret_value(),
        "BROKER_URL": chosen.broker_url and chosen.broker_url.get_secret_value(),
        "MASTER_KEY": chosen.master_keys and chosen.master_keys.get_secret_value(),  # which no other child is told
        "MASTER_KEY_FILE": chosen.master_key_file and chosen.master_key_file.resolve(),
    }
    return {f"DOMINO_{name}": str(value) for name, value in said.items() if value is not None}


def _end(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough: all are ended on the way out
    sys.exit(0)
