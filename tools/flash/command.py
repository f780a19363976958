"""`domino flash`: a board becomes a button. The steps of `flash` are the order in which nothing can go wrong for long.

Files, then the self-test, then the identity: a board that fails costs no key. The giver of the key notes where it goes
before it goes there, so that a cable pulled in between leaves a button that is silent until the same command is run
again, and never two that speak under one key.
"""

import contextlib
import json
import secrets
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cloud import database
from cloud.fleet.model import format_id
from tools.flash import cable, certificate, checks, firmware
from tools.flash import settings as settings_of_board
from tools.flash.cable import Cable
from tools.flash.identity import Found, Giver, Registry, Slip, Step, Wanted, decide
from tools.terminal import (
    AsJson,
    DatabaseUrl,
    DataDir,
    Failure,
    console,
    device_id,
    open_database,
    place_name,
    print_json,
    settings,
)

KINDS = ("pickup", "cancel", "alive", "boot", "ask")  # as docs/wire-format.md numbers them
KEPT_HEAD, KEPT_LETTER = ">H", ">BBBII12s"  # of `kept`, as firmware/lib/domino/outbox.py lays it out
CARDS = ".svg", ".png"
FAILED_TEST = 4  # exit code


@dataclass(frozen=True, slots=True)
class Order:
    """What to make of a board. Without a giver it stays who it is."""

    giver: Giver | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the Wi-Fi's password is among them
    may_replace: bool = False
    skip: tuple[str, ...] = ()
    has_finger: bool = True
    finger_s: int = 20
    new_code: bool | None = None
    has_account: bool | None = None  # at the broker; None: as the board has one or not

    def settings_for(self, wanted: Wanted | None, has_account: bool) -> dict[str, Any]:
        """What to write for this button; the password at the broker goes with its key's generation."""
        wants_account = has_account if self.has_account is None else self.has_account
        if self.has_account is False:
            return {**self.settings, "pass": None}
        if self.has_account and (wanted is None or wanted.broker_password is None):
            raise Failure("the slip has no password for the broker: export another", 2)
        if wanted is None or not wants_account or wanted.broker_password is None:
            return dict(self.settings)
        return {**self.settings, "pass": wanted.broker_password}


@dataclass(frozen=True, slots=True)
class Done:
    certificate: dict[str, Any]
    claim_code: str | None = field(repr=False)


def flash(
    board: Cable,
    order: Order,
    *,
    tell: Callable[[str], object],
    progress: Callable[[str, int, int], object],
) -> Done:
    """Files, self-test, identity, settings; each is read back. Raises `Failure`, and then says what was not done."""
    report, found_files = board.call("report"), board.call("files")
    built = firmware.build()
    firmware.check_fit(built, report, board.port)
    if found_files["foreign_main"]:
        raise Failure(
            f"the board's main.py is not ours, and was left alone: keep a copy, then "
            f"`mpremote connect {board.port} fs rm :main.py`, and flash again"
        )
    found = Found.of(report)
    wanted = order.giver.wanted() if order.giver else None
    step = decide(found, wanted, may_replace=order.may_replace) if wanted else Step.KEEP
    is_new = step is not Step.KEEP
    if (wanted or found.is_button) and (lacking := settings_of_board.missing(order.settings, report["settings"])):
        raise Failure(f"the board does not know where to send: give {' and '.join(lacking)}", 2)
    firmware.check_room(built, found_files["files"], report["free"])
    if is_new and (waiting := len(read_kept(report["kept"]))):
        tell(f"{waiting} presses wait on the board under its old key, and end with it.")

    has_account = report["has_account"]
    to_write = order.settings_for(wanted, has_account)

    changes = firmware.install(board, built, found_files["files"], progress)
    results = checks.run(
        board,
        id=wanted.id if wanted else found.id or 0,
        link=order.settings.get("link") or report["settings"]["link"] or "mqtt",
        settings=to_write,
        skip=(*order.skip, *(() if wanted or found.is_button else ("radio",))),
        has_finger=order.has_finger,
        finger_s=order.finger_s,
        tell=tell,
    )
    passed = all(result.passed is not False for result in results)
    if passed and is_new and wanted:
        _give(board, order, step, wanted, found, has_account)
    elif passed and to_write:
        board.call("set_up", to_write)
    written = _name(step, wanted, found) if passed or not is_new else "not written: a test failed"
    told = certificate.certify(board.call("report"), built, changes, results, written=written)
    code = None
    if passed:  # else it waits at its prompt for the next try
        code = order.giver.conclude(found.board, new_code=order.new_code) if order.giver else None
        if order.giver:
            order.giver.note_board(firmware=built.name, heartbeat_hours=told["heartbeat_hours"])
        with contextlib.suppress(cable.Gone):  # all is done, and a code is there to be shown
            board.restart()
    return Done(told, code)


def _name(step: Step, wanted: Wanted | None, found: Found) -> str:
    if wanted is None:
        return "left as it was" if found.is_button else "none: no button yet (--button, --new or --from)"
    return {Step.KEEP: "left as it was", Step.RESUME: "written, after a first try", Step.ISSUE: "written"}[step]


def _give(board: Cable, order: Order, step: Step, wanted: Wanted, found: Found, has_account: bool) -> None:
    """The key, to this board and no other: the ticket on the board, the giver's note, the key on the board."""
    assert order.giver
    again = f"--button {wanted.name}" if isinstance(order.giver, Registry) else "the same file"
    try:
        if step is Step.ISSUE:
            ticket = secrets.token_hex(8)
            board.call("draw", ticket)
            wanted = order.giver.issue(found, ticket)
        fingerprint = _write(board, order.settings_for(wanted, has_account), wanted, again)
    except cable.Refused as refused:
        raise Failure(
            f"the board's NVS does not take the button ({refused.what}): domino flash --erase, then {again}; if it "
            "stays so, esptool erase-flash and MicroPython anew"
        ) from None
    if fingerprint != wanted.fingerprint:
        raise Failure(f"read back, the key is not what was written: flash again, with {again}")


def _write(board: Cable, settings: Mapping[str, Any], wanted: Wanted, again: str) -> str:
    """The fingerprint that the board then tells."""
    try:
        return board.call("become", wanted.id, wanted.generation, wanted.key.hex(), settings)
    except cable.Gone:
        raise cable.Gone(
            f"the board on {board.port} fell silent while it got its key. Until it has it, button {wanted.name} is not "
            f"understood: look at cable and power, and flash again at once, with {again} "
            "(and --reprovision, if you gave it)"
        ) from None


def read_kept(kept: str) -> list[dict[str, Any]]:
    """The presses that wait on a board, oldest first, from its `kept` in hex."""
    data, at = bytes.fromhex(kept), struct.calcsize(KEPT_HEAD)
    size = struct.calcsize(KEPT_LETTER)
    letters = []
    for start in range(at, len(data) - size + 1, size):
        kind, parcels, may_be_heard, _, counter, message = struct.unpack_from(KEPT_LETTER, data, start)
        told = {"kind": KINDS[kind] if kind < len(KINDS) else str(kind), "parcels": parcels, "counter": counter}
        letters.append(told | {"may_be_heard": bool(may_be_heard), "message": message.hex()})
    return letters


def export(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the board holds, but for its key and the Wi-Fi's password."""
    settings = {name: value for name, value in report["settings"].items() if name != "ca_size"}
    names = {"ssid": "wifi", "hours": "heartbeat_hours"}
    return {
        "button": None if report["id"] is None else format_id(report["id"]),
        "key_generation": report["generation"],
        "key_fingerprint": report["fingerprint"],
        "counter": report["counter"],
        "board": report["board"],
        "micropython": report["version"],
        "settings": {names.get(name, name): value for name, value in settings.items()} | {"ca_sha256": report["ca"]},
        "waiting": read_kept(report["kept"]),
        "at": database.now().isoformat(timespec="seconds"),
    }


def command(
    port: Annotated[str | None, typer.Option(help="Its serial port; default: the only board on USB.")] = None,
    button: Annotated[
        int | None, typer.Option(parser=device_id, metavar="ID", help="Make it this button of the fleet.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Take a new button into the fleet; --button names its id.")
    ] = False,
    place: Annotated[
        str | None, typer.Option(parser=place_name, help='With --new: where it will hang, e.g. "35 Rennes".')
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Make it the button on this slip of `domino button export`.")
    ] = None,
    reprovision: Annotated[
        bool, typer.Option("--reprovision", help="Though the board, or the button's key, is in use.")
    ] = False,
    link: Annotated[str | None, typer.Option(help="mqtt (over Wi-Fi) or wisol (a Sigfox modem).")] = None,
    wifi: Annotated[str | None, typer.Option(help="The Wi-Fi's name. Its password is asked for.")] = None,
    wifi_password_file: Annotated[
        Path | None, typer.Option(help="Its password, instead (else DOMINO_WIFI_PASSWORD).")
    ] = None,
    broker: Annotated[str | None, typer.Option(help="HOST[:PORT] of the broker, as the board reaches it.")] = None,
    ca: Annotated[Path | None, typer.Option(help="TLS: the one CA to trust, PEM or DER.")] = None,
    no_ca: Annotated[bool, typer.Option("--no-ca", help="No TLS, where there was.")] = False,
    broker_account: Annotated[
        bool | None,
        typer.Option(
            "--broker-account/--no-broker-account", help="Sign in at the broker; default: as before (domino broker)."
        ),
    ] = None,
    heartbeat: Annotated[int | None, typer.Option(min=1, max=168, help="Hours from one `alive` to the next.")] = None,
    no_finger: Annotated[bool, typer.Option("--no-finger", help="Nobody is there to press it and to look.")] = False,
    finger_s: Annotated[int, typer.Option(min=1, max=600, help="How long to wait for the press.")] = 20,
    skip: Annotated[list[str] | None, typer.Option(help=f"Leave out a test: {', '.join(checks.NAMES)}.")] = None,
    claim_code: Annotated[
        bool | None,
        typer.Option("--claim-code/--no-claim-code", help="A new claim code; default: with a new key only."),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Draw the card for the box: .svg or .png.")] = None,
    certificate_file: Annotated[
        Path | None, typer.Option("--certificate", help="Where it is kept; default: certificates/ in the data folder.")
    ] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Take everything of ours off the board.")] = False,
    export_file: Annotated[
        Path | None, typer.Option("--export", help="Write what the board holds, but for its key and passwords.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a board a button over USB, bring it up to date, or take it back.

    Only what changed is copied. Without --button, --new or --from the board stays who it is.
    """
    told_of = sum((button is not None or new, from_ is not None, erase or export_file is not None))
    if told_of > 1:
        raise Failure("give one of --button/--new, --from, --erase/--export", 2)
    if unknown := set(skip or ()) - set(checks.NAMES):
        raise Failure(f"there is no test {', '.join(sorted(unknown))}: there is {', '.join(checks.NAMES)}", 2)
    if claim_code and button is None:
        raise Failure("--claim-code needs --button", 2)
    if card and card.suffix.lower() not in CARDS:
        raise Failure(f"{card}: a card is {' or '.join(CARDS)}", 2)
    where = port or cable.find_port()
    tell = (lambda text: print(text, file=sys.stderr, flush=True)) if as_json else console.print
    if erase or export_file:
        _take_back(where, tell, export_file, erase=erase, yes=yes, as_json=as_json)
        return

    chosen = settings(data_dir=data_dir, database_url=database_url)
    giver: Giver | None = None
    slip = Slip(from_) if from_ else None
    if slip:
        giver = slip
    elif button is not None or new:
        keys = chosen.keys(make=True)
        engine = open_database(data_dir, database_url)
        giver = Registry(engine, keys, button, is_new=new, place=place)
    to_be = settings_of_board.gather(
        link=link,
        wifi=wifi,
        password_file=wifi_password_file,
        broker=broker,
        ca=ca,
        no_ca=no_ca,
        heartbeat_hours=heartbeat,
        slip=slip.settings if slip else {},
    )
    if broker_account and giver is None:
        raise Failure("--broker-account needs --button or --from: the password is that button's", 2)
    order = Order(giver, to_be, reprovision, tuple(skip or ()), not no_finger, finger_s, claim_code, broker_account)
    base_url = chosen.public_url or (slip.settings.get("claim_url") if slip else None)
    with cable.connect(where, tell) as board, _progress(as_json) as progress:
        done = flash(board, order, tell=tell, progress=progress)
    # Here, because drawing costs a tenth of a second that no other command need pay.
    from tools.flash import card as drawing

    told = done.certificate
    at = told["at"].replace(":", "").replace("-", "")[:15]
    kept = certificate_file or chosen.data_dir / "certificates" / f"{told['button'] or told['board']}-{at}.json"
    certificate.write_private(kept, json.dumps(told, indent=2).encode() + b"\n")
    if card and done.claim_code:
        drawing.write_card(card, told["button"], done.claim_code, base_url)
    if as_json:
        claim = done.claim_code and drawing.claim_text(done.claim_code, base_url)
        print_json(told | {"claim_code": done.claim_code, "claim": claim, "kept_in": str(kept)})
    else:
        certificate.show(told, console)
        if done.claim_code:
            drawing.show_claim(done.claim_code, base_url, console)
        elif card and told["passed"]:
            tell("No card was drawn: there is no new claim code. --claim-code makes one, if nobody owns the button.")
        console.print(f"[dim]certificate  {kept}[/]", soft_wrap=True)
    if not told["passed"]:
        failed = ", ".join(test["name"] for test in told["tests"] if test["passed"] is False)
        raise Failure(
            f"failed: {failed}. The files are on the board; identity and settings were not written. Mend it and run "
            "the same command again (--skip NAME leaves a test out)",
            FAILED_TEST,
        )


def _take_back(
    port: str, tell: Callable[[str], object], file: Path | None, *, erase: bool, yes: bool, as_json: bool
) -> None:
    with cable.connect(port, tell) as board:
        held = export(board.call("report"))
        if file:
            certificate.write_private(file, json.dumps(held, indent=2).encode() + b"\n")
        if erase:
            if not yes:
                _ask_to_erase(held)
            board.call("wipe")
            board.call("remove_firmware")
        else:
            board.restart()
    if as_json:
        print_json(held | {"erased": erase})
        return
    button = held["button"] or "no button"
    if file:
        console.print(f"{button}: {len(held['waiting'])} presses wait; written to {file}", soft_wrap=True)
    if erase:
        console.print(f"{button} is erased: the board has nothing of ours any more")


def _ask_to_erase(held: Mapping[str, Any]) -> None:
    waiting = f", and {len(held['waiting'])} presses that wait" if held["waiting"] else ""
    if not sys.stdin.isatty():
        raise Failure("--erase needs --yes where nobody can be asked. Nothing was erased", 2)
    if not typer.confirm(f"Erase button {held['button'] or '(none)'}{waiting}? Its key is gone for good.", err=True):
        raise Failure("nothing was erased")


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[str, int, int], object]]:
    """A bar for each file as it is copied."""
    if as_json:
        yield lambda *_: None
        return
    columns = TextColumn("{task.description:28}"), BarColumn(), TextColumn("{task.total} B")
    # To this very stream: `sys.stdout` is another one while the transport speaks.
    with Progress(*columns, console=Console(file=sys.stdout), redirect_stdout=False) as bars:
        tasks: dict[str, Any] = {}

        def show(path: str, there: int, size: int) -> None:
            if path not in tasks:
                tasks[path] = bars.add_task(path, total=size)
            bars.update(tasks[path], completed=there)

        yield show
