"""The way from a board that mpremote has flashed to an order in the running service."""

import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from tests.end_to_end.service import domino, engine_of, serving
from tests.firmware.desk import desk

BUTTON = "0012AB34"


def test_a_press_on_a_board_that_mpremote_flashed_becomes_an_order(tmp_path):
    data_dir = tmp_path / "data"
    domino("button", "add", BUTTON, "--data-dir", str(data_dir))
    with (
        serving(data_dir),
        desk(tmp_path / "board", "--button", BUTTON, "--data-dir", str(data_dir)) as board,
    ):
        board.flash_firmware()
        board.cut_power()
        steps = board.command("press", "--clicks", "3")["steps"]
        with database.reading(engine_of(data_dir)) as conn:
            (order,) = pickups.newest(conn)
            heard = {frame.kind: frame for frame in frames.newest(conn)}
    assert (steps["gesture"], steps["light"]) == ("pickup 3", "unclaimed")
    assert (heard["pickup"].data or b"").hex() == steps["uplink"]
    assert heard["boot"].result == "accepted"
    assert (order.state, order.parcels) == ("requested", 3)
    assert board.folder.stat().st_mode & 0o777 == 0o700
