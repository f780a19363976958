"""`domino stamp redeem`: pay for a mail piece with a stamp, once."""

from typing import Annotated

import typer

import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.stamps.desk import OUTCOMES, subject_of
from cloud.stamps.model import AlreadyUsed, NotLive, Redeemed, Unknown, format_pairs
from tools import deeds
from tools.deeds import actor
from tools.stamp_show import Code, fields_of, parsed, tell
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, open_stamps


def command(
    code: Code,
    piece: Annotated[str, typer.Option(help="The mail piece it is written on, e.g. its S10 number.")],
    place: Annotated[str, typer.Option(help="Where that is, e.g. 35 Rennes.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Redeem a live stamp for a mail piece. The same piece again gets the same answer, any other is refused."""
    code = parsed(code)
    if not (piece.strip() and place.strip()):
        raise typer.BadParameter("piece and place must say something: they are what a second one is told")
    engine, vault = open_stamps(data_dir, database_url)
    now = database.now()
    with engine.begin() as conn:
        answer = stamps.redeem(conn, vault, code, piece=piece.strip(), place=place.strip(), by=actor(), at=now)
        if isinstance(answer, Redeemed):
            pickups.redeemed(conn, answer.stamp, None, now)
        stamp = None if isinstance(answer, Unknown) else answer.stamp
        about = {"outcome": OUTCOMES[type(answer).__name__], "piece": piece.strip(), "place": place.strip()}
        deeds.note(conn, "stamp.redeem", subject_of(stamp), **about)
    match answer:
        case Unknown():
            raise Failure(f"no stamp {format_pairs(code)}: read it again; if it stands there so, it was made up")
        case NotLive(stamp):
            raise Failure(f"stamp {format_pairs(code)} is {stamp.state} since {stamp.changed_at:%Y-%m-%d %H:%M} UTC")
        case AlreadyUsed(stamp):
            used = f"{stamp.changed_at:%Y-%m-%d %H:%M} UTC at {stamp.place}, for {stamp.piece}"
            raise Failure(f"stamp {format_pairs(code)} was used already: {used}")
    tell(fields_of(answer.stamp), as_json)
