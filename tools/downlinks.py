"""`domino button configure` and `downlinks`: what a button is to be told, what it was told, and what it has proven."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

import cloud.downlinks.store as downlinks
import cloud.fleet.store as fleet
from cloud import database
from cloud.downlinks.model import MAX_HOURS, MIN_HOURS, Answer, Configuration, Faulty, NotFound, WrongState
from cloud.fleet.model import format_id
from tools import deeds
from tools.deeds import actor
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, device_id, open_database, print_json

Id = Annotated[int, typer.Argument(parser=device_id, metavar="ID", help="The button's id, 8 hex digits.")]


def configure(
    device: Id,
    hours: Annotated[int, typer.Option(min=MIN_HOURS, max=MAX_HOURS, help="From one `alive` to the next.")],
    reason: Annotated[str, typer.Option(help="Why; shown where downlinks are listed.")] = "from the command line",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Queue a heartbeat period for a button: it is sent with its next `alive`, and takes an open one's place."""
    try:
        with open_database(data_dir, database_url).begin() as conn:
            made = downlinks.configure(conn, device, hours, reason=reason, by=actor(), now=database.now())
            about = {"hours": made.hours, "reason": made.reason, "downlink": made.id}
            deeds.note(conn, "button.configure", f"button {format_id(device)}", **about)
    except (Faulty, NotFound, WrongState) as error:
        raise Failure(str(error)) from None
    _tell(made, as_json)


def command(
    device: Id,
    cancel: Annotated[int | None, typer.Option(metavar="NUMBER", help="Take this one back instead.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """What waits for a button, what it was sent, and what it has proven."""
    engine, now = open_database(data_dir, database_url), database.now()
    if cancel is not None:
        try:
            with engine.begin() as conn:
                cancelled = downlinks.cancel(conn, device, cancel, now)
                deeds.note(conn, "button.cancel-downlink", f"button {format_id(device)}", downlink=cancel)
        except (NotFound, WrongState) as error:
            raise Failure(str(error)) from None
        _tell(cancelled, as_json)
        return
    with database.reading(engine) as conn:
        if fleet.find(conn, device) is None:
            raise Failure(f"button {format_id(device)} is not in the fleet")
        configurations = downlinks.of_button(conn, device)
        answers = downlinks.answers(conn, device)
        hours = downlinks.heartbeat_hours(conn, device)
        _, used = fleet.used_today(conn, device, now)
    if as_json:
        told: dict[str, Any] = {"used_today": used, "heartbeat_hours": hours}
        told["configurations"] = [_fields(one) for one in configurations]
        told["answers"] = [_fields_of_answer(one) for one in answers]
        print_json(told)
        return
    proven = f"an `alive` every {hours} h, proven" if hours else "no heartbeat period proven"
    console.print(f"{format_id(device)}: {used} sent today (UTC); {proven}")
    if not configurations and not answers:
        console.print("nothing was sent to it, and nothing waits")
        return
    table = Table(box=None, header_style="dim")
    for title in ("when", "number", "what", "state", "counter", "why"):
        table.add_column(title)
    rows = [(one.queued_at, _row(one)) for one in configurations] + [(one.at, _row_of_answer(one)) for one in answers]
    for at, row in sorted(rows, key=lambda row: row[0], reverse=True):
        table.add_row(f"{at:%Y-%m-%d %H:%M:%S}", *row)
    console.print(table)


def _row(one: Configuration) -> tuple[str, str, str, str, Text]:
    sendings = f", {one.sendings} times" if one.sendings > 1 else ""
    state = f"{one.at(database.now())}{sendings}"
    if one.proven_at:
        state += f", proven {one.proven_at:%Y-%m-%d %H:%M:%S}"
    counter = "" if one.counter is None else str(one.counter)
    return str(one.id), f"alive every {one.hours} h", state, counter, Text(f"{one.reason} ({one.actor})")


def _row_of_answer(one: Answer) -> tuple[str, str, str, str, Text]:
    order = "" if one.pickup_id is None else f"order {one.pickup_id}"
    return "", f"answer to {one.kind}", "sent", str(one.counter), Text(order)


def _fields(one: Configuration) -> dict[str, object]:
    times = {name: getattr(one, name) for name in ("queued_at", "until", "changed_at", "sent_at", "proven_at")}
    return {
        "id": one.id,
        "button": format_id(one.button_id),
        "state": one.at(database.now()),
        "heartbeat_hours": one.hours,
        "reason": one.reason,
        "actor": one.actor,
        "sendings": one.sendings,
        "key_generation": one.key_generation,
        "counter": one.counter,
        **{name: at.isoformat() if at else None for name, at in times.items()},
    }


def _fields_of_answer(one: Answer) -> dict[str, object]:
    said = {"kind": one.kind, "at": one.at.isoformat(), "counter": one.counter}
    return said | {"key_generation": one.key_generation, "pickup_id": one.pickup_id}


def _tell(one: Configuration, as_json: bool) -> None:
    if as_json:
        print_json(_fields(one))
        return
    state = one.at(database.now())
    console.print(f"{one.id}: {format_id(one.button_id)} is to say alive every {one.hours} h; {state}", markup=False)
