"""Who a board may become, and that no key ever goes to two."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.fleet.claims import claim_hash, new_claim_code
from cloud.fleet.model import format_id
from cloud.ingest.keys import Keys
from tools.flash.identity import ON_A_SLIP, Found, Registry, Slip, Step, Wanted, decide, export_slip, fingerprint
from tools.terminal import Failure

ID, KEYS = 0x12AB34, Keys(bytes(range(32)))
KEY = KEYS.device_key(ID, 0)
BLANK = Found("board-a", None, None, None, None, None)
THERE = Found("board-a", ID, 0, 16, fingerprint(ID, 0, KEY), None)


def wanted(board: str | None = None, ticket: str | None = None, heard: int = 0) -> Wanted:
    return Wanted(ID, 0, KEY, board, ticket, heard)


@pytest.mark.parametrize(
    ("found", "want", "step"),
    [
        (BLANK, wanted(), Step.ISSUE),
        (BLANK, wanted("board-a", "t"), Step.ISSUE),  # erased, or its flash was lost: any counter may have been used
        (Found("board-a", None, None, None, None, "t"), wanted("board-a", "t"), Step.RESUME),
        (Found("board-a", ID, 0, 0, None, "t"), wanted("board-a", "t"), Step.RESUME),
        (Found("board-a", ID, 0, 0, None, None), wanted("board-a", "t"), Step.ISSUE),
        (Found("board-a", None, None, None, None, "u"), wanted("board-a", "t"), Step.ISSUE),
        (Found("board-a", ID, 0, None, THERE.fingerprint, None), wanted("board-a"), Step.ISSUE),  # counter lost
        (THERE, wanted(), Step.KEEP),
        (THERE, wanted("board-a", "t", heard=16), Step.KEEP),
        (THERE, wanted(ON_A_SLIP, "t"), Step.KEEP),
        (Found("board-a", ID, 0, 0, THERE.fingerprint, "t"), wanted("board-a", "t"), Step.KEEP),
    ],
)
def test_a_board_becomes_what_it_may_become(found, want, step):
    assert decide(found, want, may_replace=False) is step


@pytest.mark.parametrize(
    ("found", "want", "why"),
    [
        (Found("board-a", 1, 0, 16, "00", None), wanted(), "is button 00000001"),
        (Found("board-a", ID, 1, 16, "00", None), wanted(), "key generation 1 already"),
        (Found("board-a", ID, 0, 16, "00", None), wanted(), "already"),
        (BLANK, wanted("board-b"), "on another board, board-b"),
        (BLANK, wanted(ON_A_SLIP), "on a slip"),
        (THERE, wanted("board-b"), "on board board-b too"),
        (THERE, wanted("board-a", heard=17), "would use counters again"),
    ],
)
def test_nothing_is_taken_from_anybody_without_being_told_so(found, want, why):
    with pytest.raises(Failure, match=why) as refused:
        decide(found, want, may_replace=False)
    assert "--reprovision" in str(refused.value)
    assert decide(found, want, may_replace=True) is Step.ISSUE


def test_the_fingerprint_tells_button_generation_and_key_apart_and_gives_nothing_away():
    told = {
        fingerprint(ID, 0, KEY),
        fingerprint(ID, 1, KEY),
        fingerprint(ID + 1, 0, KEY),
        fingerprint(ID, 0, bytes(16)),
    }
    assert len(told) == 4
    assert KEY.hex()[:16] not in told
    assert KEY.hex() not in repr(wanted())
    assert str(KEY) not in repr(wanted())


@pytest.fixture
def engine() -> sa.Engine:
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    return engine


def add(engine: sa.Engine) -> str:
    code = new_claim_code()
    with engine.begin() as conn:
        fleet.add(conn, id=ID, place=None, claim_code=code, now=database.now())
    return code


def registry(engine: sa.Engine, *, is_new: bool = False) -> Registry:
    return Registry(engine, KEYS, ID, is_new=is_new, place="35 Rennes")


def row(engine: sa.Engine):
    with database.reading(engine) as conn:
        return conn.execute(sa.select(fleet.buttons)).one()


def test_a_new_button_joins_the_fleet_with_its_key_and_its_code_is_shown_at_the_end(engine):
    giver = registry(engine, is_new=True)
    assert giver.wanted().generation == 0
    assert giver.issue(BLANK, "t").key == KEY
    assert (row(engine).key_board, row(engine).key_ticket, row(engine).place) == ("board-a", "t", "35 Rennes")
    code = giver.conclude("board-a", new_code=None)
    assert code
    assert row(engine).claim_hash == claim_hash(code)


def test_who_is_in_the_fleet_is_not_new_and_who_is_not_must_be(engine):
    with pytest.raises(Failure, match="--new"):
        registry(engine).wanted()
    add(engine)
    with pytest.raises(Failure, match="leave out --new"):
        registry(engine, is_new=True).wanted()


def test_a_revoked_button_is_given_nothing(engine):
    add(engine)
    with engine.begin() as conn:
        fleet.revoke(conn, ID, why="lost", by="staff anne", now=database.now())
    with pytest.raises(Failure, match="revoked"):
        registry(engine).wanted()


def test_every_issue_is_another_key_and_above_the_boards_own(engine):
    add(engine)
    assert registry(engine).issue(BLANK, "t").generation == 0
    assert registry(engine).issue(BLANK, "u").generation == 1
    assert registry(engine).issue(Found("board-a", ID, 2, 9, "00", None), "v").generation == 3
    with pytest.raises(Failure, match="--new"):
        registry(engine).issue(BLANK, "w")


def test_the_card_in_the_box_stays_good_unless_a_key_or_a_code_is_new(engine):
    code = add(engine)
    giver = registry(engine)
    giver.issue(BLANK, "t")
    assert giver.conclude("board-a", new_code=False) is None
    assert giver.conclude("board-a", new_code=None) is None  # the key has been there before
    assert row(engine).claim_hash == claim_hash(code)
    assert giver.conclude("board-a", new_code=True)
    assert row(engine).claim_hash != claim_hash(code)


def test_a_board_that_has_the_key_already_is_noted_as_its_own(engine):
    add(engine)
    registry(engine).conclude("board-a", new_code=None)
    assert row(engine).key_board == "board-a"


def test_what_was_put_on_the_board_is_noted_beside_the_button(engine):
    add(engine)
    registry(engine).note_board(firmware="0.1.0+3f9a2b1c", heartbeat_hours=48)
    assert (row(engine).firmware, row(engine).heartbeat_hours) == ("0.1.0+3f9a2b1c", 48)
    assert row(engine).firmware_at is not None


def make_slip(engine: sa.Engine, folder: Path, *, may_replace: bool = False) -> Path:
    path = folder / "slip.json"
    export_slip(engine, KEYS, ID, path, claim_url="https://domino.example", may_replace=may_replace)
    return path


def test_a_slip_makes_one_board_that_button_and_then_has_no_key_any_more(engine, tmp_path):
    add(engine)
    path = make_slip(engine, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    giver = Slip(path)
    assert giver.wanted() == wanted()
    giver.issue(BLANK, "t")
    assert json.loads(path.read_text())["board"] == "board-a"
    assert Slip(path).wanted() == wanted("board-a", "t")  # after a cut cable
    code = giver.conclude("board-a", new_code=None)
    assert row(engine).claim_hash == claim_hash(code or "")
    assert KEY.hex() not in path.read_text()
    assert KEYS.broker_password(format_id(ID)) not in path.read_text()
    again = Slip(path).wanted()
    assert decide(THERE, again, may_replace=False) is Step.KEEP
    with pytest.raises(Failure, match="domino button export"):
        Slip(path).issue(BLANK, "u")


def test_a_slip_that_was_begun_is_good_for_no_other_board(engine, tmp_path):
    add(engine)
    path = make_slip(engine, tmp_path)
    Slip(path).issue(BLANK, "t")
    with pytest.raises(Failure, match="board board-a and is good for one board once"):
        Slip(path).issue(Found("board-b", None, None, None, None, None), "u")


def test_a_slip_is_older_than_what_the_board_has_had(engine, tmp_path):
    add(engine)
    with pytest.raises(Failure, match="newer key"):
        Slip(make_slip(engine, tmp_path)).issue(Found("board-a", ID, 1, 16, "00", None), "t")


def test_a_second_slip_is_another_key_and_must_be_wanted(engine, tmp_path):
    add(engine)
    make_slip(engine, tmp_path).unlink()
    with pytest.raises(Failure, match="on a slip already"):
        make_slip(engine, tmp_path)
    assert Slip(make_slip(engine, tmp_path, may_replace=True)).wanted().generation == 1


def test_a_slip_that_others_can_read_or_that_is_none_is_refused(engine, tmp_path):
    add(engine)
    path = make_slip(engine, tmp_path)
    with pytest.raises(Failure, match="exists"):
        make_slip(engine, tmp_path)
    path.chmod(0o640)
    with pytest.raises(Failure, match="chmod 600"):
        Slip(path)
    path.chmod(0o600)
    whole = json.loads(path.read_text())
    wrong = [{**whole, **change} for change in ({"id": "xyz"}, {"key": "00"}, {"key_generation": 4}, {"broker": 1})]
    for text in ("", "[]", "{}", *map(json.dumps, wrong)):
        path.write_text(text)
        with pytest.raises(Failure, match="no button's slip"):
            Slip(path)
    with pytest.raises(Failure, match="cannot be read"):
        Slip(tmp_path / "none")
