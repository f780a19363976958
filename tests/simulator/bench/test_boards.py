"""Boards on the bench: the real firmware, pressed by a finger that is there now, under a radio that can be spoilt."""

import os
import time
from dataclasses import replace
from pathlib import Path

from simulator.bench.boards import Button, State
from simulator.bench.desk import Bench, bench
from simulator.bench.journal import Way
from simulator.board import vm
from tests.simulator.bench.conftest import rows, wait, wait_for
from tools.bench.stand import Stand


def click(desk: Bench, button: Button, *, held_s: float = 0.12) -> None:
    desk.boards.move_key(button.name, is_down=True)
    time.sleep(held_s)  # a finger's own time: this is what is measured by the firmware
    desk.boards.move_key(button.name, is_down=False)


def asleep_again(desk: Bench, button: Button) -> None:
    wait(desk, lambda: button.state is State.ASLEEP)


def test_a_finger_s_click_goes_up_and_comes_back_as_a_light(desk: Bench, button: Button) -> None:
    click(desk, button)
    asleep_again(desk, button)
    told = rows(desk, button, button.counter)
    assert str(told[Way.AIR].result) == "9 of 9 copies heard"
    assert (str(told[Way.UP].title), str(told[Way.UP].result)) == ("pickup, 1 parcel", "kept")
    assert told[Way.AIR].data == told[Way.UP].data
    assert (str(told[Way.DOWN].title), len(told[Way.DOWN].data)) == ("accepted", 8)
    assert str(button.says) == "Long flash: kept, it is an order"
    assert str(button.gesture).startswith("1 click, held for ")
    assert button.last_wake is not None
    assert button.last_wake.used_mah > 0


def test_two_clicks_are_two_parcels_and_a_hold_takes_them_back(desk: Bench, button: Button) -> None:
    click(desk, button)
    time.sleep(0.2)
    click(desk, button)
    asleep_again(desk, button)
    assert str(rows(desk, button, button.counter)[Way.UP].title) == "pickup, 2 parcels"
    click(desk, button, held_s=2.0)
    asleep_again(desk, button)
    told = rows(desk, button, button.counter)[Way.UP]
    assert str(told.title) == "cancel"
    assert str(told.words[0]).startswith("takes order ")
    assert str(button.says) == "Two long flashes: the request is taken back"


def test_power_cut_between_flash_and_air_keeps_the_press(desk: Bench, button: Button) -> None:
    desk.boards.set_world(button.name, cut="before wifi_connect")
    desk.boards.press(button.name)
    wait(desk, lambda: button.state is State.OFF)
    counter = button.counter
    cut = desk.journal.newest(1, button.name)[0]
    assert (cut.way, cut.data) == (Way.CUT, b"")
    assert str(cut.words[0]) == f"between the flash and the air: {counter} is kept, and sent as the same bytes"
    assert button.memory is None  # RTC memory went with the battery
    desk.boards.restore_power(button.name)
    asleep_again(desk, button)
    assert str(rows(desk, button, counter)[Way.UP].result) == "kept"


def test_a_hand_may_cut_the_power_in_the_middle_of_a_press(desk: Bench, button: Button) -> None:
    click(desk, button)
    wait(desk, lambda: button.state is State.AWAKE)
    desk.boards.cut_power(button.name)
    wait(desk, lambda: button.state is State.OFF)
    assert not button.is_lit
    told = str(desk.journal.newest(1, button.name)[0].words[0])
    assert told == "before anything was in flash: the light had promised nothing"
    desk.boards.restore_power(button.name)
    asleep_again(desk, button)
    assert str(rows(desk, button, button.counter)[Way.UP].title) == "boot"


def test_a_reset_keeps_rtc_memory_and_is_told_by_boot(desk: Bench, button: Button) -> None:
    desk.boards.wake_now(button.name)
    asleep_again(desk, button)
    before = button.memory
    assert before is not None
    desk.boards.reset(button.name)
    asleep_again(desk, button)
    memory, told = button.memory, rows(desk, button, button.counter)[Way.UP]
    assert memory is not None
    assert (memory.ceiling, memory.count) == (before.ceiling, before.count + 1)
    assert str(told.title) == "boot"
    assert "after a reset" in [str(word) for word in told.words]


def test_a_heartbeat_of_tomorrow_can_be_had_now(desk: Bench, button: Button) -> None:
    desk.boards.wake_now(button.name)
    asleep_again(desk, button)
    assert str(rows(desk, button, button.counter)[Way.UP].title) == "heartbeat"
    memory = button.memory
    assert memory is not None
    assert memory.alive_at > button.board.clock_s + 23 * 3600


def test_a_press_without_a_link_is_tried_again_by_itself_as_time_runs(desk: Bench, button: Button) -> None:
    button.board.surroundings = replace(button.board.surroundings, wifi_status=vm.WIFI_NO_AP)
    desk.boards.press(button.name)
    asleep_again(desk, button)
    counter, memory = button.counter, button.memory
    assert memory is not None
    assert (memory.waiting, memory.link_failures) == (1, 1)
    assert str(button.says).startswith("Six quick flashes")
    button.board.surroundings = replace(button.board.surroundings, wifi_status=vm.WIFI_CONNECTED)
    desk.boards.set_speed(60)  # its minute is a second
    assert str(rows(desk, button, counter)[Way.UP].result) == "kept"


def test_with_all_stations_down_it_is_lost_and_the_light_says_that_nobody_answered(desk: Bench, button: Button) -> None:
    for station in desk.air.stations:
        desk.air.set_station(station, is_up=False)
    desk.boards.press(button.name)
    asleep_again(desk, button)
    told = {row.way: row for row in desk.journal.newest(50, button.name) if row.counter == button.counter}
    assert set(told) == {Way.AIR}
    assert (str(told[Way.AIR].result), str(told[Way.AIR].words[0])) == ("lost", "no station in its reach is up")
    assert str(button.says) == "Two short flashes: sent, and no answer came"


def test_a_dozen_boards_live_in_six_processes_and_asleep_in_none(stand: Stand) -> None:
    stand.air.calm()
    most = 0

    def all_asleep() -> bool:
        nonlocal most
        most = max(most, len(_machines()))
        return all(one.state is State.ASLEEP for one in desk.boards.all)

    with bench(stand.fleet, stand.air, most_awake=6) as desk:
        for _ in range(12):
            desk.boards.add()
        wait(desk, all_asleep)
        counters = {}
        for one in desk.boards.all:
            desk.boards.press(one.name)
        wait(desk, all_asleep)
        for one in desk.boards.all:
            counters[one.name] = str(rows(desk, one, one.counter)[Way.UP].title)
        assert counters == dict.fromkeys((f"00B0BE{n:02X}" for n in range(1, 13)), "pickup, 1 parcel")
        assert 1 <= most <= 6
        wait_for(lambda: not _machines())


def _machines() -> list[int]:
    """The VMs among this process's children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"micropython" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


def test_a_finger_s_own_clock_tells_how_far_apart_its_movements_were(desk: Bench, button: Button) -> None:
    began = 5_000_000
    for is_down, ms in ((True, 0), (False, 130), (True, 330), (False, 460)):  # told at once, as by a page that lagged
        desk.boards.move_key(button.name, is_down=is_down, at_ms=began + ms)
        wait_for(lambda: button.key is not None)
    assert button.key is not None
    told = [ms for ms, _ in button.key.movements]
    assert told == sorted(told)
    assert all(ms <= due for ms, due in zip(told, (0, 130, 330, 460), strict=True))  # never in the future
    asleep_again(desk, button)
