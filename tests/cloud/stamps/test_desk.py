"""The desk on real databases: what is read, what is written down of it, and what is no longer heard."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cloud.pickups.store import redeemed
from cloud.stamps import ledger, store
from cloud.stamps.alarms import LEAST, Sign
from cloud.stamps.allowance import Allowance
from cloud.stamps.desk import Desk, Item, Reading
from cloud.stamps.ledger import Form
from cloud.stamps.model import AlreadyUsed, Kind, NotReady, Redeemed, State, TooManyGuesses, WrongState
from tests.cloud.stamps.shelf import HELD, LIVE, NEAR_USED, NOBODYS, PIECE, PLACE, USED, VOID, desk_with
from tests.stock import ALLOWANCE, VAULT, desk

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def typed(desk: Desk, *codes: str, by: str = "token line 1", place: str = PLACE, now: datetime = NOON) -> list[Reading]:
    return desk.read([Item(Form.TEXT, code) for code in codes], by=by, place=place, now=now)


def kinds(desk: Desk, *codes: str) -> list[Kind]:
    return [one.kind for one in typed(desk, *codes)]


def test_each_code_is_read_for_what_it_is(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    assert kinds(desk, LIVE, USED, VOID, HELD, NOBODYS) == [
        Kind.ACCEPTED,
        Kind.ALREADY_USED,
        Kind.ALREADY_USED,
        Kind.UNKNOWN_CLEAR,
        Kind.UNKNOWN_CLEAR,
    ]


def test_of_a_used_stamp_staff_are_told_for_what_and_where(engine: sa.Engine) -> None:
    [read] = typed(desk_with(engine), USED)
    assert read.stamp is not None
    assert (read.stamp.piece, read.stamp.place) == (PIECE, PLACE)


def test_a_code_beside_a_used_one_is_unknown_and_says_which_it_is_near(engine: sa.Engine) -> None:
    """With a budget of one string nothing is corrected, so a used stamp that was altered stands out."""
    [read] = typed(desk_with(engine, live=100_000_000), NEAR_USED)
    assert read.budget == 1
    assert read.kind is Kind.UNKNOWN_CLEAR
    assert read.stamp is not None
    assert read.stamp.code == USED


def test_the_database_decides_where_the_register_is_late(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    with engine.begin() as conn:
        held = store.stamps.c.sealed == VAULT.seal(HELD)
        conn.execute(store.stamps.update().where(held).values(state=State.LIVE))
        store.redeem(conn, VAULT, LIVE, piece="another", place=PLACE, by="staff", at=NOON)
    assert kinds(desk, HELD, LIVE) == [Kind.ACCEPTED, Kind.ALREADY_USED]


def test_every_reading_is_written_down_and_no_code_with_it(engine: sa.Engine) -> None:
    typed(desk_with(engine), LIVE, USED, NOBODYS)
    with engine.begin() as conn:
        rows = conn.execute(sa.select(ledger.readings).order_by(ledger.readings.c.id)).all()
    assert [(row.kind, row.place, row.actor, row.form) for row in rows] == [
        ("accepted", PLACE, "token line 1", "text"),
        ("already used", PLACE, "token line 1", "text"),
        ("unknown clear", PLACE, "token line 1", "text"),
    ]
    assert [row.sealed and VAULT.open(row.sealed) for row in rows] == [LIVE, USED, None]
    assert not any(code in str(rows) for code in (LIVE, USED, NOBODYS))


def test_without_a_register_nothing_is_read_and_redeeming_goes_on(engine: sa.Engine) -> None:
    desk_with(engine)
    bare = desk(engine)
    with pytest.raises(NotReady):
        typed(bare, LIVE)
    assert isinstance(bare.redeem(LIVE, piece=PIECE, place=PLACE, by="token", now=NOON), Redeemed)


def test_who_guesses_is_heard_no_more_and_later_again(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    for _ in range(ALLOWANCE.burst + 1):
        [read] = typed(desk, NOBODYS)
        assert read.listed == read.budget
    with pytest.raises(TooManyGuesses) as refused:
        typed(desk, LIVE)
    with pytest.raises(TooManyGuesses):
        desk.redeem(LIVE, piece=PIECE, place="another place", by="token line 1", now=NOON)
    with pytest.raises(TooManyGuesses):
        typed(desk, LIVE, by="token line 2")  # the place has had its share too
    assert typed(desk, LIVE, by="token line 2", place="another place")[0].kind is Kind.ACCEPTED
    assert typed(desk, LIVE, now=refused.value.again_at)[0].kind is Kind.ACCEPTED


def test_what_is_accepted_costs_nothing(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    for _ in range(3):
        typed(desk, *[LIVE] * 400)
    assert typed(desk, LIVE)[0].kind is Kind.ACCEPTED


def test_redeeming_and_looking_up_are_guesses_too(engine: sa.Engine) -> None:
    desk_with(engine)
    allowance = Allowance(burst=4, per_hour=1)
    desk = Desk(engine, VAULT, lambda: None, lambda: 100_000_000, alpha=1e-4, allowance=allowance, paid=redeemed)
    for by in ("token", "another"):
        desk.redeem("WWWW0000", piece=PIECE, place=PLACE, by=by, now=NOON)
        desk.look_up("WWWW1111", by=by, place=PLACE, now=NOON)
    desk.look_up("WWWW2222", by="another", place=PLACE, now=NOON)
    with pytest.raises(TooManyGuesses):
        desk.redeem(LIVE, piece=PIECE, place=PLACE, by="a third", now=NOON)
    with pytest.raises(TooManyGuesses):
        desk.look_up(LIVE, by="a third", place=PLACE, now=NOON)


def test_a_second_piece_is_told_of_the_first(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    first = desk.redeem(LIVE, piece="A", place=PLACE, by="token", now=NOON)
    again = desk.redeem(LIVE, piece="A", place="elsewhere", by="token", now=NOON + timedelta(days=1))
    other = desk.redeem(LIVE, piece="B", place=PLACE, by="token", now=NOON)
    assert isinstance(first, Redeemed)
    assert first == again
    assert isinstance(other, AlreadyUsed)
    assert other.stamp.piece == "A"


def test_only_what_is_not_spent_becomes_void(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    assert desk.void(LIVE, by="staff", place=PLACE, now=NOON).state is State.VOID
    with pytest.raises(WrongState):
        desk.void(LIVE, by="staff", place=PLACE, now=NOON)
    assert kinds(desk, LIVE) == [Kind.ALREADY_USED]


def test_a_day_of_invented_codes_is_an_alarm_at_its_place_and_over_all(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    typed(desk, *[NOBODYS] * 3 * LEAST, place="75 Paris")
    typed(desk, *[LIVE] * 30)
    with engine.begin() as conn:
        places = ledger.today(conn, NOON.date())
    assert [one.place for one in places] == [None, "75 Paris", PLACE]
    assert [[alarm.sign for alarm in one.alarms] for one in places] == [[Sign.UNKNOWN_CLEAR], [Sign.UNKNOWN_CLEAR], []]


def test_refusals_are_listed_newest_first_with_the_stamp_they_met(engine: sa.Engine) -> None:
    desk = desk_with(engine, live=100_000_000)
    typed(desk, LIVE, USED, NEAR_USED, NOBODYS)
    with engine.begin() as conn:
        found = ledger.refusals(conn, limit=10)
    assert [(one.kind, one.state, one.piece, one.is_near_spent) for one in found] == [
        (Kind.UNKNOWN_CLEAR, None, None, False),
        (Kind.UNKNOWN_CLEAR, State.REDEEMED, PIECE, True),
        (Kind.ALREADY_USED, State.REDEEMED, PIECE, False),
    ]


def test_single_readings_are_forgotten_and_counts_are_not(engine: sa.Engine) -> None:
    desk = desk_with(engine)
    typed(desk, LIVE, NOBODYS)
    with engine.begin() as conn:
        assert ledger.forget(conn, NOON + ledger.KEPT, 10) == 0
        assert ledger.forget(conn, NOON + ledger.KEPT + timedelta(seconds=1), 10) == 2
        assert conn.execute(sa.select(ledger.counts)).one().readings == 2
        assert conn.execute(sa.select(ledger.guesses)).all() == []
