"""How many requests an address may make: a law, and whom it counts as one."""

from dataclasses import dataclass
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.pace import BURST_S, Pace

HERE = ip_address("192.0.2.1")


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(st.integers(1, 50), st.lists(st.floats(0, 3), max_size=200))
def test_no_more_come_in_than_the_pace_allows_and_whoever_waits_as_told_comes_in(per_second: int, pauses: list[float]):
    clock = Clock()
    pace = Pace(per_second, clock=clock)
    for taken, pause in enumerate(pauses, 1):
        clock.now_s += pause
        wait_s = pace.wait_s(HERE)
        if wait_s:
            clock.now_s += wait_s + 1e-6
            assert pace.wait_s(HERE) == 0
        assert taken <= per_second * (clock.now_s + BURST_S) + 1


def test_one_address_does_not_use_up_anothers_pace():
    pace = Pace(1, clock=Clock())
    while not pace.wait_s(HERE):
        pass
    assert pace.wait_s(ip_address("192.0.2.2")) == 0


def test_a_caller_with_a_network_of_ipv6_is_one():
    pace = Pace(1, clock=Clock())
    while not pace.wait_s(ip_address("2001:db8::1")):
        pass
    assert pace.wait_s(ip_address("2001:db8::ffff")) > 0
    assert pace.wait_s(ip_address("2001:db8:0:1::1")) == 0


def test_without_a_limit_nobody_waits_and_nothing_is_kept():
    pace = Pace(0)
    assert not any(pace.wait_s(HERE) for _ in range(10_000))


def test_many_addresses_cost_bounded_memory():
    pace = Pace(1, clock=Clock(), kept=10)
    for number in range(1000):
        assert pace.wait_s(ip_address(number)) == 0
    assert len(pace) == 10
