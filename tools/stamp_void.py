"""`domino stamp void`: make a stamp worthless."""

import cloud.stamps.store as stamps
from cloud import database
from cloud.stamps.desk import subject_of
from cloud.stamps.model import NotFound, WrongState, format_pairs
from tools import deeds
from tools.deeds import actor
from tools.stamp_show import Code, fields_of, parsed, tell
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, open_stamps


def command(code: Code, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Make a reserved or live stamp void, for good. Its order stays; to take that back too, cancel it."""
    code = parsed(code)
    engine, vault = open_stamps(data_dir, database_url)
    try:
        with engine.begin() as conn:
            stamp = stamps.void_code(conn, vault, code, by=actor(), at=database.now())
            deeds.note(conn, "stamp.void", subject_of(stamp))
    except (NotFound, WrongState) as error:
        raise Failure(f"{format_pairs(code)}: {error}") from None
    tell(fields_of(stamp), as_json)
