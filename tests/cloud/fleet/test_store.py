from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import cloud.fleet.store as fleet
import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.accounts.store import accounts
from cloud.fleet.claims import ALPHABET, LENGTH, claim_hash, new_claim_code
from cloud.fleet.model import Button, Changed, Exists, KeysUsedUp, State, format_id, parse_id

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CODE = "7K4F-2M9X-11AB"


@pytest.fixture
def conn():
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        for name in ("claire", "paul"):
            values = {"name": name, "display_name": name, "role": "customer", "password_hash": "-", "created_at": NOW}
            conn.execute(sa.insert(accounts).values(values))
        yield conn


def add(conn: sa.Connection, id: int = 0x12AB34, code: str = CODE) -> None:
    fleet.add(conn, id=id, place="35 Rennes", claim_code=code, now=NOW)


@given(st.integers(0, 0xFFFFFFFF))
def test_reading_an_id_undoes_writing_it(device):
    written = format_id(device)
    assert parse_id(written) == parse_id(written.lower().lstrip("0") or "0") == device


@pytest.mark.parametrize("text", ["", "123456789", "0x12", "12 34", "ghij", "-1", "１２"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="8 hex digits"):
        parse_id(text)


def test_a_button_is_added_once(conn):
    add(conn)
    with pytest.raises(Exists, match="0012AB34"):
        add(conn, code=new_claim_code())
    (button,) = fleet.newest(conn, 10)
    assert (button.state, button.owner_id, button.last_counter) == (State.ACTIVE, None, 0)


@pytest.mark.parametrize("typed", [CODE, CODE.lower(), "7k4f 2m9x 11ab", "7K4F2M9XIIAB", " 7K4F-2M9X-11AB\n"])
def test_a_claim_code_is_taken_however_it_is_typed(conn, typed):
    add(conn)
    button = fleet.claim(conn, claim_code=typed, owner_id=1, now=NOW)
    assert button is not None
    assert (button.owner_id, button.claimed_at) == (1, NOW)
    assert [b.id for b in fleet.owned_by(conn, 1)] == [0x12AB34]


def test_a_claim_code_works_once(conn):
    add(conn)
    assert fleet.claim(conn, claim_code=CODE, owner_id=1, now=NOW)
    assert fleet.claim(conn, claim_code=CODE, owner_id=2, now=NOW) is None


def test_a_wrong_claim_code_claims_nothing(conn):
    add(conn)
    assert fleet.claim(conn, claim_code="7K4F-2M9X-11AC", owner_id=1, now=NOW) is None


def test_the_table_holds_no_claim_code(conn):
    add(conn)
    (row,) = conn.execute(sa.select(fleet.buttons)).all()
    assert CODE not in str(row)
    assert row.claim_hash == claim_hash(CODE)


def test_claim_codes_are_fresh_and_easily_typed():
    codes = {new_claim_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert {len(code.replace("-", "")) for code in codes} == {LENGTH}
    assert set("".join(codes)) <= set(ALPHABET) | {"-"}


def heard(counter: int, *, uplinks: int = 1, downlinks: int = 0, battery_mv: int = 3000) -> list[fleet.Heard]:
    return [fleet.Heard(0x12AB34, 0, counter, battery_mv, 20, uplinks, downlinks)]


def test_an_overtaken_uplink_never_turns_the_counter_back(conn):
    add(conn)
    fleet.note(conn, heard(7, battery_mv=2900), NOW)
    fleet.note(conn, heard(5, battery_mv=3100), NOW + timedelta(seconds=9))
    button = fleet.find(conn, 0x12AB34)
    assert button is not None
    assert (button.last_counter, button.battery_mv, button.last_seen_at) == (7, 2900, NOW + timedelta(seconds=9))


def used_on(conn, day: date) -> tuple[int, int]:
    standings = fleet.standings(conn, [0x12AB34, 0x99], day)
    assert set(standings) == {0x12AB34}, "one that is not in the fleet has no standing"
    return standings[0x12AB34].uplinks, standings[0x12AB34].downlinks


def test_a_budget_counts_one_utc_day(conn):
    add(conn)
    fleet.note(conn, heard(1, uplinks=2, downlinks=1), NOW)
    fleet.note(conn, heard(2, uplinks=3, downlinks=1), NOW)
    assert used_on(conn, NOW.date()) == (5, 2)
    assert used_on(conn, date(2026, 11, 23)) == (0, 0)
    fleet.note(conn, heard(3), NOW + timedelta(days=1))
    assert used_on(conn, date(2026, 11, 23)) == (1, 0)


def test_a_button_can_be_revoked(conn):
    add(conn)
    assert fleet.revoke(conn, 0x12AB34)
    assert not fleet.revoke(conn, 0x99)
    button = fleet.find(conn, 0x12AB34)
    assert button is not None
    assert button.state is State.REVOKED


def read(conn: sa.Connection) -> Button:
    button = fleet.find(conn, 0x12AB34)
    assert button is not None
    return button


def test_every_board_is_given_a_key_that_none_had_before_it(conn):
    add(conn)
    given = [fleet.issue_key(conn, read(conn), board=board, ticket=board).key_generation for board in "abcd"]
    assert given == [0, 1, 2, 3]
    with pytest.raises(KeysUsedUp, match="all of its 4 keys"):
        fleet.issue_key(conn, read(conn), board="e", ticket="e")
    assert (read(conn).key_board, read(conn).key_ticket) == ("d", "d")


def test_a_key_that_was_heard_has_been_given_even_if_nobody_noted_to_whom(conn):
    add(conn)
    fleet.note(conn, heard(40), NOW)
    button = fleet.issue_key(conn, read(conn), board="a", ticket="t")
    assert (button.key_generation, button.last_counter) == (1, 0)


def test_a_new_key_is_above_what_the_board_has_had(conn):
    add(conn)
    assert fleet.issue_key(conn, read(conn), board="a", ticket="t", beyond=1).key_generation == 2


def test_of_two_who_give_a_key_at_once_one_is_refused(conn):
    add(conn)
    seen = read(conn)
    fleet.issue_key(conn, seen, board="a", ticket="t")
    with pytest.raises(Changed):
        fleet.issue_key(conn, seen, board="b", ticket="u")
    assert not fleet.note_arrival(conn, seen, "b")
    assert read(conn).key_board == "a"


def test_what_was_heard_under_the_old_key_never_moves_the_new_keys_counter(conn):
    add(conn)
    fleet.issue_key(conn, read(conn), board="a", ticket="t", beyond=0)
    fleet.note(conn, heard(40), NOW)
    assert read(conn).last_counter == 0


def test_a_new_claim_code_takes_the_old_ones_place_until_somebody_owns_the_button(conn):
    add(conn)
    code = new_claim_code()
    assert fleet.renew_claim_code(conn, 0x12AB34, code)
    assert fleet.claim(conn, claim_code=CODE, owner_id=1, now=NOW) is None
    assert fleet.claim(conn, claim_code=code, owner_id=1, now=NOW)
    assert not fleet.renew_claim_code(conn, 0x12AB34, new_claim_code())
