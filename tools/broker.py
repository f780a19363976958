"""`domino broker`: who may do what at a shared broker, as files for Mosquitto or nats-server.

A button is the user of its eight digits, may publish on its own topics and read its own answers, and nothing else. Its
password follows from the master key, so it is kept nowhere; the services' passwords likewise. For Mosquitto the rights
of all buttons are four lines, and one line a button is its password's hash.
"""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet.model import format_id
from cloud.ingest.keys import Keys
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json, settings

ITERATIONS = 101  # mosquitto_passwd's own; what is hashed are 128 random bits, which no guessing finds
SALT_BYTES, HASH_BYTES = 12, 64  # as mosquitto_passwd makes them

# What each service may read and write, in MQTT's words; a button's own stand in BUTTON.
SERVICES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (("sigfox/+/up", "domino/probe/+", "$SYS/broker/#"), ("sigfox/+/down", "domino/probe/+")),
    "radio": (
        ("air/+/up", "air/+/frame/up", "sigfox/+/down"),
        ("air/+/down", "air/+/frame/down", "sigfox/+/up"),
    ),
}
BUTTON = (("air/{id}/down", "air/{id}/frame/down"), ("air/{id}/up", "air/{id}/frame/up"))

app = typer.Typer(help="Accounts and rights at a shared MQTT broker.", no_args_is_help=True)


class Kind(StrEnum):
    MOSQUITTO = "mosquitto"
    NATS = "nats"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the broker; `generation` is that of a button's key, 0 for a service."""

    name: str
    generation: int = 0
    key_master: int | None = None  # the newest


@app.command()
def accounts(
    out: Annotated[Path, typer.Option(help="The folder for the files; they get its owner.")],
    kind: Annotated[Kind, typer.Option("--for", help="Which broker reads them.")] = Kind.MOSQUITTO,
    pid_file: Annotated[
        Path | None, typer.Option(help="The broker's, e.g. /run/mosquitto/mosquitto.pid: told to read changed files.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write the accounts of all buttons and services. Run it again whenever the fleet has changed."""
    keys = settings(data_dir=data_dir, database_url=database_url).keys()
    engine = open_database(data_dir, database_url)
    with database.reading(engine) as conn:
        buttons = [Account(format_id(id), *key) for id, *key in fleet.generations(conn)]
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    services = [Account(name) for name in SERVICES]
    files = {f"{one.name}.password": keys.broker_password(one.name) + "\n" for one in services}
    files |= (mosquitto if kind is Kind.MOSQUITTO else nats)([*services, *buttons], keys)
    changed = [name for name, text in files.items() if _replace(out / name, text)]
    is_told = bool(changed and pid_file and _tell(pid_file))
    if changed:  # a timer runs this every few minutes, and mostly there is nothing
        deeds.note_done(engine, "broker.accounts", "the broker", count=len(buttons))
    if as_json:
        print_json({"buttons": len(buttons), "changed": changed, "broker_told": is_told})
        return
    console.print(f"{len(buttons)} buttons, {len(services)} services; changed: {', '.join(changed) or 'nothing'}")
    if changed and not is_told:
        console.print("[dim]have the broker read them: systemctl reload mosquitto, or nats-server --signal reload[/]")


def mosquitto(users: Iterable[Account], keys: Keys) -> dict[str, str]:
    """The files of `password_file` and `acl_file`."""
    lines = [f"{one.name}:{_hashed(keys, one)}\n" for one in users]
    rights = ["# Made by `domino broker accounts`. %u is whoever has signed in: a button has its own topics alone.\n"]
    for word, topics in zip(("read", "write"), BUTTON, strict=True):
        rights += [f"pattern {word} {topic.format(id='%u')}\n" for topic in topics]
    for name, (reads, writes) in SERVICES.items():
        rights += [f"\nuser {name}\n"]
        rights += [f"topic read {topic}\n" for topic in reads] + [f"topic write {topic}\n" for topic in writes]
    return {"passwords": "".join(lines), "acl": "".join(rights)}


def _hashed(keys: Keys, user: Account) -> str:
    """PBKDF2 with SHA-512, as `mosquitto_passwd` writes it."""
    salt = keys.broker_salt(user.name, user.generation, SALT_BYTES)
    password = keys.broker_password(user.name, user.generation, user.key_master).encode()
    hashed = hashlib.pbkdf2_hmac("sha512", password, salt, ITERATIONS, HASH_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}"


def nats(users: Iterable[Account], keys: Keys) -> dict[str, str]:
    """What goes into `authorization`, for an `include`. nats-server takes bcrypt or the password itself: this is that,
    so the file is a secret."""
    lines = ["# Made by `domino broker accounts --for nats`: include it within authorization { … }.\n", "users = [\n"]
    for one in users:
        reads, writes = SERVICES.get(one.name) or tuple(tuple(t.format(id=one.name) for t in half) for half in BUTTON)
        # A subscription at QoS 1 is kept by a consumer, whose messages come on a subject of the session's own.
        more = ["$MQTT.sub.>"] if one.name in SERVICES else []
        may = {
            "publish": {"allow": [_subject(topic) for topic in writes]},
            "subscribe": {"allow": [_subject(topic) for topic in reads] + more},
        }
        user = {
            "user": one.name,
            "password": keys.broker_password(one.name, one.generation, one.key_master),
            "permissions": may,
        }
        lines.append(json.dumps(user | {"allowed_connection_types": ["MQTT"]}) + "\n")
    return {"accounts.conf": "".join([*lines, "]\n"])}


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*").replace("#", ">")


def _replace(path: Path, text: str) -> bool:
    """Put `text` in place of the file at once, readable to the folder's owner alone; False where it stands there."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return False
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    folder = path.parent.stat()
    if os.geteuid() == 0:
        shutil.chown(new, folder.st_uid, folder.st_gid)
    new.replace(path)
    return True


def _tell(pid_file: Path) -> bool:
    """SIGHUP to the broker, upon which it reads its files anew."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
    except (OSError, ValueError) as error:
        raise Failure(f"the files are written, but the broker in {pid_file} could not be told: {error}") from None
    return True
