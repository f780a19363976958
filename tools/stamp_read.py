"""`domino stamp read`: a picture of a written code, read, and asked of the stamps that this data folder has."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import cloud.stamps.store as stamps
from cloud import database
from cloud.stamps.desk import subject_of
from cloud.stamps.keeper import note
from cloud.stamps.model import Stamp, format_pairs
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_stamps, print_json, settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cloud.stamps.reading import Verdict

STRINGS = 5  # of the likeliest, printed


def read(
    picture: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.", exists=True, dir_okay=False)],
    annotated: Annotated[
        Path | None, typer.Option(help="Write the picture with boxes and guesses here, as PNG.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read a code from a photo or scan. Nothing is redeemed by it. Exit status 1 where it is not legible."""
    from cloud.stamps.reader import picture as pictures  # numpy and OpenCV take half a second
    from cloud.stamps.reader import read as reader

    try:
        seen = reader.read_picture(picture.read_bytes())
    except pictures.Unreadable as error:
        raise Failure(f"{picture}: {error}", 2) from None
    if annotated is not None:
        annotated.write_bytes(reader.annotate(seen))
    strings = [] if seen.lattice is None else reader.likeliest(seen.lattice, STRINGS)
    found = None if seen.lattice is None else _look_up(seen.lattice, data_dir, database_url)
    if as_json:
        print_json(
            {
                "verdict": _fields(found),
                "legible": seen.lattice is not None,
                "why": seen.why,
                "quality": round(seen.quality, 4),
                "strings": [{"code": code, "probability": round(p, 6)} for code, p in strings],
                "places": [
                    {"corners": corners, "guesses": dict(seen.guesses[at]) if seen.guesses else {}}
                    for at, corners in enumerate(seen.boxes)
                ],
            }
        )
    elif seen.lattice is None:
        console.print(f"illegible: {seen.why}")
    else:
        console.print(_told(found))
        for code, probability in strings:
            console.print(f"{format_pairs(code)}  [dim]{probability:7.2%}[/]")
    if seen.lattice is None:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Found:
    verdict: "Verdict"
    stamp: Stamp | None  # of the code that was read


def _look_up(lattice: "NDArray[np.float32]", data_dir: Path | None, database_url: str | None) -> Found | None:
    """What the stamps say of it; None where there is no master key, and so no stamps."""
    from cloud.stamps import reading
    from cloud.stamps.register import Keeping, Register

    chosen = settings(data_dir=data_dir, database_url=database_url)
    if chosen.master_keys is None and not chosen.master_key.exists():
        return None
    engine, vault = open_stamps(data_dir, database_url)
    register = Register()
    with database.reading(engine) as conn:
        for _, blocks in stamps.kept(conn):
            note(register, vault, blocks)
        budget = reading.budget(chosen.stamp_false_accepts, register.count(Keeping.LIVE))
        verdict = reading.read_one(lattice, register, budget)
        found = Found(verdict, None if verdict.code is None else stamps.find(conn, vault, verdict.code))
    said = "no stamp" if found.stamp is None else found.stamp.state.value
    deeds.note_done(engine, "stamp.look-up", subject_of(found.stamp), found=said)
    return found


def _told(found: Found | None) -> str:
    if found is None:
        return "not looked up: there are no stamps in this data folder; the likeliest strings are"
    verdict, stamp = found.verdict, found.stamp
    said = f"[bold]{_word(verdict)}[/]"
    if stamp is not None:
        said += f" {format_pairs(stamp.code)}, order {stamp.pickup_id}, {stamp.state}"
        said += f" {stamp.changed_at:%Y-%m-%d %H:%M} UTC" + (f" at {stamp.place}" if stamp.place else "")
    elif verdict.candidates:
        said += " " + ", ".join(map(format_pairs, verdict.candidates))
    return f"{said}  [dim]{verdict.listed} of {verdict.budget} strings tried[/]"


def _fields(found: Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    verdict, stamp = found.verdict, found.stamp
    return {
        "kind": _word(verdict),
        "code": verdict.code,
        "candidates": verdict.candidates,
        "listed": verdict.listed,
        "budget": verdict.budget,
        "posterior": round(verdict.posterior, 6),
        "state": stamp and stamp.state,
        "pickup_id": stamp and stamp.pickup_id,
        "changed_at": stamp and stamp.changed_at.isoformat(),
        "place": stamp and stamp.place,
    }


def _word(verdict: "Verdict") -> str:
    return verdict.kind.name.lower().replace("_", " ")
