"""The certificate of a flashed board, which is kept: what it is, what is on it, how its tests ended.

It has the key's fingerprint and never the key; nor the claim code, for it makes an owner of whoever reads it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cloud import database
from cloud.fleet.model import format_id
from tools.flash.checks import Check
from tools.flash.firmware import Changes, Firmware


def certify(
    report: Mapping[str, Any], firmware: Firmware, changes: Changes, checks: Sequence[Check], *, written: str
) -> dict[str, Any]:
    """`report` is what the board said last, `written` what became of its identity."""
    settings = report["settings"]
    return {
        "button": None if report["fingerprint"] is None else format_id(report["id"]),
        "key_generation": report["generation"],
        "key_fingerprint": report["fingerprint"],
        "counter": report["counter"],
        "identity": written,
        "board": report["board"],
        "machine": report["machine"],
        "micropython": report["version"],
        "firmware": firmware.hash,
        "files": firmware.hashes,
        "copied": list(changes.copy),
        "removed": list(changes.remove),
        "link": settings["link"] or "mqtt",
        "wifi": settings["ssid"],
        "broker": None if settings["host"] is None else f"{settings['host']}:{settings['port']}",
        "ca_sha256": report["ca"] if settings["ca_size"] else None,
        "heartbeat_hours": settings["hours"] or 24,
        "tests": [asdict(check) for check in checks],
        "passed": all(check.passed is not False for check in checks),
        "at": database.now().isoformat(timespec="seconds"),
    }


def show(told: Mapping[str, Any], console: Console) -> None:
    def line(name: str, value: object) -> None:
        console.print(f"[dim]{name:12}[/] {escape(str(value))}", soft_wrap=True)

    line("button", f"{told['button']}, key generation {told['key_generation']}" if told["button"] else "none")
    line("identity", told["identity"])
    line("key", f"fingerprint {told['key_fingerprint']}" if told["key_fingerprint"] else "none")
    line("board", f"{told['board']}, {told['machine']}")
    line("MicroPython", told["micropython"])
    copied = f"{len(told['copied'])} of {len(told['files'])} files copied" if told["copied"] else "unchanged"
    line("firmware", f"{told['firmware'][:16]}  {copied}, all read back")
    radio = f"Wi-Fi {told['wifi']}, broker {told['broker']}, {'TLS' if told['ca_sha256'] else 'no TLS'}"
    line("link", "Sigfox modem" if told["link"] == "wisol" else radio)
    for test in told["tests"]:
        mark = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[dim]left out[/]"}[test["passed"]]
        said = "" if test["passed"] is None else escape(test["said"])
        console.print(f"[dim]{'test ' + test['name']:12}[/] {mark}  {said}", soft_wrap=True)


def write_private(path: Path, data: bytes) -> None:
    """For its owner alone, from its first byte on; over an older one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(data)
