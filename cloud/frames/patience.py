"""How long to wait for a word of a quiet button before it is called silent, by what its link loses.

Only buttons that have missed two words already are weighed, once each time they fall quiet: their frames are read by
index, and the number of words is put beside them, where lists and counts find it.
"""

import threading
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.fleet import silence
from cloud.fleet.rhythm import chance_of_loss, patience
from cloud.frames.link import Loss
from cloud.frames.store import link_loss

LOOKED_AT = 100  # a button's newest frames: more than three months of a quiet one
AT_ONCE = 200  # buttons a transaction
LOOK_S = 60.0  # between looks

log = structlog.get_logger(__name__)


def loss_of(conn: sa.Connection, device: int, until: int | None = None) -> Loss:
    """What a verdict on the button rests on; with `until`, by the frames up to that id."""
    return link_loss(conn, device, LOOKED_AT, until=until)


def weigh(engine: sa.Engine, now: datetime) -> int:
    """Weigh the buttons that are due for it, at most AT_ONCE of them; gives how many there were."""
    with database.reading(engine) as conn:
        due = silence.unweighed(conn, now, AT_ONCE)
        losses = {device: loss_of(conn, device) for device in due}
    found = {device: patience(chance_of_loss(loss.missed, loss.expected)) for device, loss in losses.items()}
    if found:
        with engine.begin() as conn:
            silence.note_patience(conn, found, now)
    return len(found)


class Scales:
    """Weighs once a minute until it is stopped. Run `run` in a thread; several processes may, it comes out the same."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tend()
            except DBAPIError as error:
                log.warning("quiet buttons are not weighed now; tried again soon", error=database.why(error))
            except Exception:
                log.exception("weighing quiet buttons met a bug")
            self._stopping.wait(LOOK_S)

    def tend(self) -> None:
        """One round: whoever is due."""
        while weigh(self._engine, database.now()) == AT_ONCE and not self._stopping.is_set():
            pass
