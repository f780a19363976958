import asyncio
import threading

from cloud.live import Bell

LONG_S = 30  # only ever waited out by a test that fails


def test_a_ring_from_another_thread_wakes_everyone_who_waits():
    bell = Bell()

    async def wait_thrice() -> list[bool]:
        waiting = [asyncio.create_task(bell.wait(bell.rings, LONG_S)) for _ in range(3)]
        await asyncio.sleep(0)  # so that all three wait
        threading.Thread(target=bell.ring).start()
        return await asyncio.gather(*waiting)

    assert asyncio.run(wait_thrice()) == [True] * 3


def test_a_ring_between_the_look_and_the_wait_is_not_missed():
    bell = Bell()
    before = bell.rings
    bell.ring()
    assert asyncio.run(bell.wait(before, LONG_S))


def test_without_a_ring_the_time_runs_out():
    bell = Bell()
    bell.ring()
    assert not asyncio.run(bell.wait(bell.rings, 0.01))
