"""`domino demo`: one press, followed from the click to the light, on real parts."""

import secrets
import shlex
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import sqlalchemy as sa
import typer
from rich.markup import escape

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
from cloud import database
from cloud.accounts.model import Right, Role
from cloud.fleet.claims import new_claim_code
from cloud.fleet.model import format_id
from cloud.secret import write_secret
from cloud.settings import FIRST_SIGN_IN
from cloud.stamps.model import format_pairs
from tools import deeds
from tools.buttons import open_board, press_board
from tools.children import NotStarted, started
from tools.deeds import actor
from tools.running import Running, find_running
from tools.serve import HttpPort, MqttPort
from tools.terminal import AsJson, DataDir, Failure, console, print_json, settings

BUTTON = 0x00D1F3A7
PLACE = "35 Rennes"
CUSTOMER = "claire.morvan@example.org"
CUSTOMER_SIGN_IN = "demo-customer.txt"  # in the data folder, mode 0600
FRAME_S = 15  # from radiated to seen in the log
STAMP_S = 120  # to the stamp; the first start on a machine compiles what mints it
LIGHTS = {
    "accepted": "green: the request was taken",
    "unclaimed": "no customer has claimed this button",
    "sent-not-confirmed": "sent, not confirmed: no answer came",
    "not-sent": "not sent: no link",
}


@dataclass(frozen=True, slots=True)
class Service:
    """The service that the demo started, and how it looks into it."""

    running: Running
    data_dir: Path
    engine: sa.Engine
    api: httpx2.Client


def command(
    once: Annotated[bool, typer.Option("--once", help="One press, then end.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
) -> None:
    """Start everything, press a button and show each step; Enter presses again."""
    with ExitStack() as stack:
        if data_dir is None:
            kept = Path("build/demo")
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="domino-"))) if once else kept
        service = stack.enter_context(_service(data_dir, http_port, mqtt_port, quiet=as_json))
        _provision(service.engine, data_dir)
        if as_json:
            print_json(_press(service, lambda *_: None))
        else:
            _press(service, _show)
        if once:
            return
        _show_addresses(service)
        _press_on_enter(service)


def _press_on_enter(service: Service) -> None:
    try:
        while True:
            console.print("\n[bold]Enter[/] presses again, [bold]Ctrl-C[/] ends.", end=" ")
            if not sys.stdin.readline():
                console.print("\nNo keyboard here: serving until stopped.")
                while True:
                    time.sleep(3600)
            _press(service, _show)
    except KeyboardInterrupt:
        console.print("\nended")


@contextmanager
def _service(data_dir: Path, http_port: int | None, mqtt_port: int | None, *, quiet: bool) -> Iterator[Service]:
    """`domino serve` as a child, ready to be used; where a port is not given and taken, a free one is found."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = settings(data_dir=data_dir)
    ports = {
        "--http-port": _usable(chosen.http_port) if http_port is None else http_port,
        "--mqtt-port": _usable(chosen.mqtt_port) if mqtt_port is None else mqtt_port,
    }
    if not quiet:
        console.print(
            f"[dim]starting broker, radio model, ingest and web in {escape(str(data_dir))} …[/]", soft_wrap=True
        )
    command = [sys.executable, "-m", "tools.main", "serve", "--json", "--data-dir", str(data_dir.resolve())]
    command += [str(word) for option in ports.items() for word in option]
    try:
        with started("domino serve", command, data_dir / "serve.log", _is_announced):
            engine = database.connect(chosen.database)
            with engine.begin() as conn:
                now = database.now()
                rights = (Right.SEE, Right.READ_STAMPS)
                token = accounts.create_token(
                    conn,
                    name="domino demo",
                    role=Role.SUPPORT,
                    now=now,
                    expires_at=now + timedelta(days=1),
                    scopes=rights,
                    made_by=actor(),
                )
                deeds.note(conn, "token.create", "token domino demo", role=Role.SUPPORT, rights=sorted(rights))
            where = find_running(data_dir)
            headers = {"Authorization": f"Bearer {token}"}
            with httpx2.Client(base_url=where.http_url, headers=headers, timeout=FRAME_S) as api:
                yield Service(where, data_dir, engine, api)
            engine.dispose()
    except NotStarted as error:
        raise Failure(str(error)) from None
    except httpx2.TransportError as error:
        raise Failure(f"the service answers no more: {error}; see {data_dir / 'serve.log'}") from None


def _is_announced(log: str) -> bool:
    return '{"pid"' in log


def _usable(port: int) -> int:
    """`port` if nobody listens there, else 0, which means a free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _provision(engine: sa.Engine, data_dir: Path) -> None:
    """One button of one customer; on a second start they are there already."""
    with engine.begin() as conn:
        if fleet.find(conn, BUTTON):
            return
        password = secrets.token_urlsafe(9)
        write_secret(data_dir / CUSTOMER_SIGN_IN, f"{CUSTOMER}\n{password}\n")
        now = database.now()
        customer = accounts.add(
            conn, name=CUSTOMER, display_name="Claire Morvan", role=Role.CUSTOMER, password=password, now=now
        )
        code = new_claim_code()
        fleet.add(conn, id=BUTTON, place=PLACE, claim_code=code, now=now)
        fleet.claim(conn, claim_code=code, owner_id=customer.id, now=now)
        deeds.note(conn, "account.add", customer.subject, role=customer.role)
        deeds.note(conn, "button.add", f"button {format_id(BUTTON)}")


def _press(service: Service, show: Any) -> dict[str, Any]:
    """One press, told step by step to `show(step, value, remark)` as it happens; gives every step's value."""
    started = time.monotonic()
    board = open_board(service.engine, settings(data_dir=service.data_dir), BUTTON, service.running.mqtt_port or 1883)
    seen = service.api.get("/api/frames", params={"limit": 1}).raise_for_status().json()["frames"]
    after = seen[0]["id"] if seen else 0
    said: dict[str, Any] = {"button": format_id(BUTTON)}
    downlink = ""
    for line in press_board(board):
        step, value = line.step, line.value
        if step == "gesture":
            said["gesture"] = value
            show("gesture", value, "one click is one parcel")
        elif step == "counter":
            said["counter"] = int(value)
            show("counter", value, "kept in NVS before anything is radiated")
        elif step == "uplink":
            said["uplink"] = value
            show("12 bytes", _spaced(value), "sealed with AES-CCM by the button")
        elif step == "link" and value != "radiated":
            raise Failure(f"the press was not radiated: {value}; see {service.data_dir / 'serve.log'}")
        elif step == "link":
            said |= _follow(service, said["uplink"], after, show)
        elif step == "downlink" and value != "none":
            downlink = value
        elif step == "answer" and value == "none":
            said["downlink"] = None
            show("downlink", "none", said["note"] or "no answer came in time")
        elif step == "answer":
            status, _, argument = value.partition(" ")
            said["downlink"] = {"bytes": downlink, "status": status, "argument": int(argument or 0)}
            show("downlink", _spaced(downlink), f"opens to “{status}” on the button")
        elif step == "light":
            said["light"] = value
            show("light", value, LIGHTS.get(value, ""))
    said["seconds"] = round(time.monotonic() - started, 2)
    if "light" not in said:
        raise Failure("the board fell asleep without a light: this is a bug")
    return said


def _follow(service: Service, uplink: str, after: int, show: Any) -> dict[str, Any]:
    """What the cloud made of `uplink`: the stations, the order, the stamp."""
    frame = _frame(service, uplink, after)
    copies = frame["copies"]
    heard = ", ".join(f"{c['station']} {c['rssi']:.0f} dBm ×{c['replicas']}" for c in copies)
    show("stations", str(len(copies)), heard)
    if frame["result"] != "accepted" or frame["pickup_id"] is None:
        show("result", frame["result"], frame["reason"])
        return {"stations": copies, "result": frame["result"], "note": frame["reason"], "order": None, "stamp": None}
    order = _stamped_order(service, frame["pickup_id"])
    stamp = order["stamp"]
    parcels = f"{order['parcels']} parcel{'s' if order['parcels'] > 1 else ''}"
    joined = "" if order["parcels"] == frame["parcels"] else ": joined the open request"
    show(
        "order",
        str(order["id"]),
        f"{order['state']}, {parcels}{joined}",
    )
    show("stamp", format_pairs(stamp["code"]), f"{stamp['state']}; live once the customer confirms the addressee")
    return {
        "stations": copies,
        "result": frame["result"],
        "note": frame["reason"],
        "order": {"id": order["id"], "state": order["state"], "parcels": order["parcels"]},
        "stamp": {"code": stamp["code"], "pairs": format_pairs(stamp["code"]), "state": stamp["state"]},
    }


def _stamped_order(service: Service, pickup_id: int) -> dict[str, Any]:
    """The order once it has its stamp: the very first of a new folder waits for the mint to start."""
    deadline = time.monotonic() + STAMP_S
    while time.monotonic() < deadline:
        order = service.api.get(f"/api/pickups/{pickup_id}").raise_for_status().json()
        if order["stamp"]:
            return order
        time.sleep(0.1)
    raise Failure(f"order {pickup_id} has no stamp after {STAMP_S} s: {service.data_dir / 'serve.log'} says why")


def _frame(service: Service, uplink: str, after: int) -> dict[str, Any]:
    deadline = time.monotonic() + FRAME_S
    while time.monotonic() < deadline:
        answer = service.api.get("/api/frames", params={"device": format_id(BUTTON), "after": after})
        for frame in answer.raise_for_status().json()["frames"]:
            if frame["data"] == uplink:
                return frame
        time.sleep(0.03)
    raise Failure(f"the press was radiated but is not in the log after {FRAME_S} s: see {service.data_dir}")


def _spaced(data: str) -> str:
    return bytes.fromhex(data).hex(" ")


def _show(step: str, value: str, remark: str) -> None:
    console.print(f"  [dim]{step:9}[/] [bold]{value}[/]  [dim]{remark}[/]", soft_wrap=True)


def _show_addresses(service: Service) -> None:
    url = service.running.http_url
    admin = (service.data_dir / FIRST_SIGN_IN).read_text().split()
    customer = (service.data_dir / CUSTOMER_SIGN_IN).read_text().split()
    console.print(
        f"\n  live page  [bold]{url}/[/]   sign in as [bold]{admin[0]}[/] with [bold]{admin[1]}[/]", soft_wrap=True
    )
    console.print(
        f"  customer   [bold]{url}/my[/]   sign in as [bold]{customer[0]}[/] with [bold]{customer[1]}[/]",
        soft_wrap=True,
    )
    console.print(
        "  console    /live the stream and its replay · /buttons the fleet · /silent · /pickups the orders · /alerts · "
        "/decode any bytes",
        soft_wrap=True,
    )
    bench = escape(f"domino bench --data-dir {shlex.quote(str(service.data_dir))}")
    console.print(
        f"  bench      [bold]{bench}[/] in another terminal: drawn buttons to press, and a radio to spoil",
        soft_wrap=True,
    )
