"""A configuration on its way: queued, sealed under an uplink that listens, proven by an early `alive`."""

import re
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import event

import cloud.downlinks.store as downlinks
import cloud.fleet.store as fleet
from cloud import database
from cloud.downlinks.model import LASTS, MOST_SENDINGS, Configuration, Faulty, NotFound, State, WrongState
from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.receive import Message, Outcome
from tests.cloud.ingest.test_receive import DEVICE, KEYS, NOW, OTHER, engine, message, take
from tests.sealing import callback, seal

__all__ = ["engine"]  # the fixture: SQLite and PostgreSQL

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def say(
    counter: int, at: datetime, kind: str = "alive", *, ack: bool = True, device: int = DEVICE, generation: int = 0
) -> Message:
    """A message that the network heard at `at`."""
    key = KEYS.device_key(device, generation)
    data = seal(device=device, key=key, counter=counter, kind=kind, generation=generation)
    heard = callback(device, data, ack=ack, seq=counter & 0xFFF, time=int(at.timestamp()))
    return message(device, heard)


def hear(engine: sa.Engine, counter: int, at: datetime, kind: str = "alive", **said) -> Outcome:
    return take(engine, say(counter, at, kind, **said), now=at)[0]


def configure(engine: sa.Engine, hours: int = 48, at: datetime = NOW, device: int = DEVICE) -> Configuration:
    with engine.begin() as conn:
        return downlinks.configure(conn, device, hours, reason="battery is low", by="staff anne", now=at)


def found(engine: sa.Engine, id: int) -> Configuration:
    with database.reading(engine) as conn:
        return downlinks.find(conn, id)


def sealed(outcome: Outcome, hours: int) -> bytes:
    assert outcome.uplink
    key = KEYS.device_key(outcome.uplink.device, outcome.uplink.key_generation)
    return seal_downlink(Status.CONFIGURE, hours, answers=outcome.uplink, key=key)


def test_a_configuration_answers_the_next_alive_and_is_proven_by_the_early_one_after_it(engine):
    queued = configure(engine)
    told = hear(engine, 1, NOW + DAY)
    assert told.downlink == sealed(told, 48)
    assert told.reason == "told to say alive every 48 h"
    sent = found(engine, queued.id)
    assert (sent.state, sent.counter, sent.sendings, sent.sent_at) == (State.SENT, 1, 1, NOW + DAY)
    early = NOW + DAY + MINUTE
    assert hear(engine, 2, early, ack=False).downlink is None
    proven = found(engine, queued.id)
    assert (proven.state, proven.proven_at, proven.sendings) == (State.PROVEN, early, 1)
    with database.reading(engine) as conn:
        assert downlinks.heartbeat_hours(conn, DEVICE) == 48


def test_an_alive_in_its_own_time_proves_nothing_and_is_told_again(engine):
    queued = configure(engine)
    first, second = hear(engine, 1, NOW + DAY), hear(engine, 2, NOW + 2 * DAY)
    assert (first.downlink, second.downlink) == (sealed(first, 48), sealed(second, 48))
    sent = found(engine, queued.id)
    assert (sent.state, sent.sendings, sent.counter, sent.proven_at) == (State.SENT, 2, 2, None)


@pytest.mark.parametrize("kind", ["pickup", "cancel", "ask", "boot"])
def test_nothing_but_an_alive_proves_a_configuration(engine, kind):
    queued = configure(engine)
    hear(engine, 1, NOW + DAY)
    hear(engine, 2, NOW + DAY + MINUTE, kind)
    assert found(engine, queued.id).state is State.SENT


def test_two_alives_of_different_days_that_come_at_once_out_of_a_backlog_prove_nothing(engine):
    queued = configure(engine)
    now = NOW + 3 * DAY
    outcomes = take(engine, say(1, NOW + DAY), say(2, NOW + 2 * DAY), now=now)
    outcomes += take(engine, say(3, now - timedelta(seconds=5)), now=now)
    assert [outcome.downlink is not None for outcome in outcomes] == [False, False, True]
    assert found(engine, queued.id).state is State.SENT


def test_a_button_that_listens_no_more_is_sent_nothing(engine):
    queued = configure(engine)
    assert take(engine, say(1, NOW + DAY), now=NOW + DAY + 3 * MINUTE)[0].downlink is None
    assert hear(engine, 2, NOW + 2 * DAY, ack=False).downlink is None
    assert found(engine, queued.id).state is State.QUEUED


@pytest.mark.parametrize(
    ("kind", "status"), [("pickup", Status.ACCEPTED), ("cancel", Status.CANCELLED), ("ask", Status.STATE)]
)
def test_somebody_who_waits_for_a_light_gets_their_own_answer(engine, kind, status):
    queued = configure(engine)
    outcome = hear(engine, 1, NOW, kind)
    assert outcome.uplink
    expected = seal_downlink(status, 0, answers=outcome.uplink, key=KEYS.device_key(DEVICE, 0))
    assert outcome.downlink == expected
    assert found(engine, queued.id).state is State.QUEUED


def test_the_last_downlink_of_the_day_is_kept_for_a_press(engine):
    for counter in (1, 2, 3):
        hear(engine, counter, NOW, "ask")
    queued = configure(engine)
    assert hear(engine, 4, NOW).downlink is None
    assert found(engine, queued.id).state is State.QUEUED
    assert hear(engine, 5, NOW, "pickup").downlink is not None
    assert hear(engine, 6, NOW + DAY).downlink is not None


def test_what_the_batch_itself_answers_is_counted_before_a_configuration(engine):
    queued = configure(engine)
    batch = [say(1, NOW), *(say(counter, NOW, "ask") for counter in (2, 3, 4))]
    outcomes = take(engine, *batch, now=NOW)
    assert [outcome.downlink is not None for outcome in outcomes] == [False, True, True, True]
    assert found(engine, queued.id).state is State.QUEUED


def test_a_repeated_uplink_gets_the_same_bytes_though_the_configuration_was_cancelled(engine):
    queued = configure(engine)
    first = hear(engine, 1, NOW)
    with engine.begin() as conn:
        cancelled = downlinks.cancel(conn, DEVICE, queued.id, NOW)
    assert (cancelled.state, cancelled.sendings) == (State.CANCELLED, 1)
    again = take(engine, say(1, NOW), now=NOW + timedelta(seconds=20))[0]
    assert (again.result, again.downlink) == (Result.DUPLICATE, first.downlink)
    assert found(engine, queued.id).sendings == 1
    # It was sent before it was cancelled, and the button proves that it has it.
    hear(engine, 2, NOW + MINUTE)
    assert (found(engine, queued.id).state, found(engine, queued.id).proven_at) == (State.CANCELLED, NOW + MINUTE)
    with database.reading(engine) as conn:
        assert downlinks.heartbeat_hours(conn, DEVICE) == 48


def test_one_that_was_cancelled_in_time_is_never_sent(engine):
    queued = configure(engine)
    with engine.begin() as conn:
        downlinks.cancel(conn, DEVICE, queued.id, NOW)
        with pytest.raises(WrongState, match="is cancelled"):
            downlinks.cancel(conn, DEVICE, queued.id, NOW)
    assert hear(engine, 1, NOW).downlink is None


def test_a_newer_one_takes_an_open_ones_place(engine):
    first, second = configure(engine, 48), configure(engine, 12)
    assert (found(engine, first.id).state, second.state) == (State.SUPERSEDED, State.QUEUED)
    told = hear(engine, 1, NOW)
    assert told.downlink == sealed(told, 12)
    with database.reading(engine) as conn:
        assert [one.id for one in downlinks.of_button(conn, DEVICE)] == [second.id, first.id]


def test_a_button_has_one_open_configuration_whoever_comes_at_once(engine):
    configure(engine)
    row = {"button_id": DEVICE, "hours": 1, "reason": "-", "actor": "-", "state": State.QUEUED}
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as conn:  # pyright: ignore[reportAttributeAccessIssue]
        conn.execute(downlinks.downlinks.insert().values(**row, queued_at=NOW, until=NOW, changed_at=NOW))


def test_it_expires_when_the_button_never_listens(engine):
    queued = configure(engine)
    late = NOW + LASTS
    assert (queued.at(late - MINUTE), queued.at(late)) == (State.QUEUED, State.EXPIRED)
    assert hear(engine, 1, late).downlink is None
    with engine.begin() as conn, pytest.raises(WrongState, match="is expired"):
        downlinks.cancel(conn, DEVICE, queued.id, late)
    configure(engine, 12, late)
    assert found(engine, queued.id).state is State.EXPIRED


def test_it_is_given_up_after_so_many_sendings_without_a_proof(engine):
    queued = configure(engine)
    outcomes = [hear(engine, day, NOW + day * DAY) for day in range(1, MOST_SENDINGS + 2)]
    assert [outcome.downlink is not None for outcome in outcomes] == [True] * MOST_SENDINGS + [False]
    assert found(engine, queued.id).at(NOW + 6 * DAY) is State.EXPIRED


def test_the_proof_of_the_last_sending_still_counts(engine):
    queued = configure(engine)
    for day in range(1, MOST_SENDINGS + 1):
        hear(engine, day, NOW + day * DAY)
    hear(engine, MOST_SENDINGS + 1, NOW + MOST_SENDINGS * DAY + MINUTE)
    assert found(engine, queued.id).state is State.PROVEN


def test_another_buttons_alive_proves_nothing(engine):
    queued = configure(engine)
    hear(engine, 1, NOW)
    hear(engine, 1, NOW + MINUTE, device=OTHER)
    assert found(engine, queued.id).state is State.SENT


def test_an_alive_under_a_new_key_proves_nothing_of_what_the_old_one_was_told(engine):
    queued = configure(engine)
    hear(engine, 1, NOW)
    with engine.begin() as conn:
        button = fleet.find(conn, DEVICE)
        assert button
        fleet.issue_key(conn, button, board="a", ticket="t")
    hear(engine, 1, NOW + MINUTE, ack=False, generation=1)
    assert found(engine, queued.id).state is State.SENT


@pytest.mark.parametrize(("hours", "reason"), [(0, "x"), (169, "x"), (24, " "), (24, "x" * 201), (24, "\x1b[31m")])
def test_a_period_that_no_button_has_or_no_reason_is_refused(engine, hours, reason):
    with engine.begin() as conn, pytest.raises(Faulty):
        downlinks.configure(conn, DEVICE, hours, reason=reason, by="staff anne", now=NOW)


def test_what_is_not_there_is_not_found(engine):
    queued = configure(engine)
    with engine.begin() as conn:
        with pytest.raises(NotFound):
            downlinks.configure(conn, 0x99, 24, reason="x", by="staff anne", now=NOW)
        with pytest.raises(NotFound):
            downlinks.cancel(conn, OTHER, queued.id, NOW)
        with pytest.raises(NotFound):
            downlinks.cancel(conn, DEVICE, queued.id + 1, NOW)


def test_a_batch_without_an_alive_asks_the_queue_nothing_and_one_with_asks_once(engine):
    asked: list[str] = []

    def note(*said: object) -> None:
        if re.search(r"\b(FROM|JOIN|UPDATE) downlinks\b", str(said[2])):
            asked.append(str(said[2]))

    event.listen(engine, "before_cursor_execute", note)
    hear(engine, 1, NOW, "pickup")
    assert asked == []
    hear(engine, 2, NOW)
    assert len(asked) == 1
