"""The battery falls out at every boundary of a press: no counter seals two messages, no confirmed press is lost."""

import itertools
import socket
import threading
from dataclasses import replace
from typing import Protocol

import pytest

from simulator.board import vm
from simulator.board.vm import Board, Exit
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud, opened_uplink, sealed_answer


class PullsThePlug(Protocol):
    def cut_power(self) -> None: ...


IN_THE_SERVICE_WINDOW = [(0, False), (1_000, True), (1_300, False)]  # a click


def parcels_heard(cloud: Cloud) -> int:
    """What the cloud would count: each message once, and never two under one counter."""
    heard = {cloud.uplinks.get() for _ in range(cloud.uplinks.qsize())}
    counters = [int.from_bytes(message[1:3], "big") for message in heard]
    assert len(set(counters)) == len(counters), "one counter, two messages"
    bodies = [opened_uplink(counter, message) for counter, message in zip(counters, heard, strict=True)]
    return sum(body >> 18 & 7 for body in bodies if body >> 21 == 0)


def is_confirmed(wake: vm.Wake) -> bool:
    """The press was blinked back: the light came on again after the gesture had put it out."""
    return sum(event["kind"] == "pin" and event["level"] == 1 for event in wake.trace) >= 2


@pytest.mark.parametrize("writes_through", [False, True], ids=["at the commit", "at once"])
@pytest.mark.parametrize("share", [0, 1])
def test_a_power_cut_anywhere_in_a_press_repeats_no_counter_and_loses_no_press(
    board: Board, cloud: Cloud, writes_through: bool, share: int
):
    whole = replace(board.surroundings, nvs_writes_through=writes_through)
    flash, number = board.flash, 0
    cloud.answers = [sealed_answer(counter, 1) for counter in (2, 3, 4, 18, 19, 20)]  # so that nobody waits
    for number in itertools.islice(itertools.count(1), share, None, 2):
        board.flash = flash
        board.empty_rtc()
        board.surroundings = replace(whole, power_cut=number)
        cut = board.wake(board.clicks())
        if cut.exit is Exit.SLEEP:
            break  # it has no more boundaries
        confirmed = is_confirmed(cut)
        board.surroundings = replace(whole, battery_mv=2900)  # so that a repeated counter would seal other bytes
        again = board.wake(IN_THE_SERVICE_WINDOW, reset_cause=vm.PWRON_RESET)
        assert (again.value("gesture"), again.value("link")) == ("pickup 1", "radiated")
        assert parcels_heard(cloud) >= 1 + confirmed, f"{cut.trace[-1]}: {cut.console}"
    assert number > 15


def test_a_press_is_in_flash_before_its_light_confirms_it(board: Board, cloud: Cloud):
    told = [
        event["names"][0] if event["kind"] == "nvs_commit" else "light"
        for event in board.wake(board.clicks()).trace
        if event["kind"] == "nvs_commit" or (event["kind"] == "pin" and event["level"])
    ]
    assert told[:4] == ["light", "ctr", "kept", "light"]  # counting, …, confirmed


@pytest.mark.parametrize("last_packet", [1, 2, 3, 4, 5])
def test_a_power_cut_at_any_packet_sends_the_same_bytes_again(board: Board, cloud: Cloud, last_packet: int):
    """A broker that has taken the packet as the battery falls out: CONNECT, SUBSCRIBE, PUBLISH; then one that works."""
    published: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1], counter=1)
        board.wake(wake_reason=0)  # the battery was in before
        thread = threading.Thread(target=serve_until, args=(server, board, last_packet, published))
        thread.start()
        cut = board.wake(board.clicks())
        thread.join()
    port = cloud.client.port
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", port, counter=board.counter)
    cloud.answers = [sealed_answer(2, 1)]
    assert board.wake(reset_cause=vm.PWRON_RESET).slept
    first = cloud.heard()
    assert set(published) <= {first}
    assert cut.exit is Exit.POWER_CUT
    assert parcels_heard_in([first]) == 1


def parcels_heard_in(messages: list[bytes]) -> int:
    return sum(opened_uplink(int.from_bytes(m[1:3], "big"), m) >> 18 & 7 for m in messages)


def serve_until(server: socket.socket, board: PullsThePlug, last_packet: int, published: list[bytes]) -> None:
    """Answer as a broker does, and pull the battery at the n-th step: before or after an answer is given."""
    answers = {0x10: b"\x20\x02\x00\x00", 0x80: b"\x90\x03\x00\x01\x00", 0x30: b"\x40\x02\x00\x02"}
    step = 0
    with server.accept()[0] as caller:
        while head := caller.recv(2, socket.MSG_WAITALL):
            body = caller.recv(head[1], socket.MSG_WAITALL)
            if head[0] & 0xF0 == 0x30:
                published.append(body[-12:])
            for act in (None, answers.get(head[0] & 0xF0)):
                if act:
                    caller.sendall(act)
                step += 1
                if step == last_packet:
                    board.cut_power()
                    return
