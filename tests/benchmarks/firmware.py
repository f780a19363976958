"""The firmware on the desktop VM: one seal, and one press from the key to sleep."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simulator.board import vm
from tests import sealing
from tests.benchmarks import wire
from tests.benchmarks.measure import Role, Way, seconds
from tests.benchmarks.mqtt import new_broker
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud, sealed_answer

HEAP_KIB = int(vm.HEAP.removesuffix("K"))


@contextmanager
def prepare_seal(_folder: Path, count: int) -> Iterator[Sequence[Way]]:
    def on_vm(what: str) -> list[float]:
        given = json.dumps({"what": what, "times": count})
        return [json.loads(vm.run_on_vm(Path(__file__).parent / "on_vm/seal.py", given))]

    def seal() -> None:
        for counter in range(1, count + 1):
            sealing.seal(device=DEVICE_ID, key=KEY, counter=counter)

    yield (
        Way(Role.OURS, "uplink.seal in MicroPython", lambda: on_vm("seal")),
        Way(Role.PEER, "CPython, AESCCM of cryptography", lambda: [seconds(seal) / count * 1e6]),
        Way(Role.LIMIT, "MicroPython, its key schedule and five AES blocks alone", lambda: on_vm("blocks")),
    )


@contextmanager
def pressing(folder: Path) -> Iterator[tuple[Callable[[], vm.Wake], int]]:
    """What presses a button, its Wi-Fi there at once and a cloud that answers at once; and its broker's port."""
    with new_broker(folder) as broker:
        cloud = Cloud(broker.port)
        board = vm.Board(folder / "board", vm.Surroundings(wifi_delay_ms=0))
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", broker.port)

        def press() -> vm.Wake:
            cloud.answers = [sealed_answer(board.counter + 1, 1)]
            wake = board.wake(board.clicks())
            assert wake.value("light") == "accepted", wake.console
            return wake

        try:
            yield press, broker.port
        finally:
            cloud.close()


def parts_ms(wake: vm.Wake) -> dict[str, float]:
    """Where the time of a wake by one click went, by its trace."""
    light = [event["ms"] for event in wake.trace if event["kind"] == "pin"]  # off at the start, then on and off twice
    radio_on, radio_off = (event["ms"] for event in wake.trace if event["kind"] == "wifi_active")
    asleep = wake.trace[-1]["ms"]
    return {
        "all": asleep,
        "start of the chip, and the gesture": light[2],
        "lights": light[4] - light[2] + asleep - radio_off,
        "counter, seal, link": radio_off - light[4],
        "link": radio_off - radio_on,
    }


@contextmanager
def prepare_press(folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    parts: dict[str, float] = {}

    with pressing(folder) as (press, _):

        def run() -> list[float]:
            parts.update(parts_ms(press()))
            return [parts["all"]]

        def part(name: str) -> Way:
            return Way(Role.PART, name, lambda: [parts[name]])  # of the press just now

        yield (
            Way(Role.OURS, "one click, answered, to sleep", run),
            *map(part, ("start of the chip, and the gesture", "lights", "counter, seal, link")),
        )


@contextmanager
def prepare_link(folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    with pressing(folder) as (press, port):
        topic = f"air/{DEVICE_ID:08X}/".encode()
        uplink = wire.publishes([(topic + b"up", bytes(12))])

        def exchange() -> None:
            with wire.connect(port) as connection:
                wire.subscribe(connection, topic + b"down", qos=0)
                connection.sendall(uplink)
                wire.drain(connection, 2)  # the PUBACK and the answer

        yield (
            Way(Role.OURS, "firmware, radio on to radio off", lambda: [parts_ms(press())["link"]]),
            Way(Role.LIMIT, "the same exchange on a bare socket", lambda: [seconds(exchange) * 1000]),
        )


@contextmanager
def prepare_heap(folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    with pressing(folder) as (press, _):

        def used_kib() -> float:
            return HEAP_KIB - min(event["free"] for event in press().trace) / 1024

        yield (
            Way(Role.OURS, "alive at once in a press", lambda: [used_kib()]),
            Way(Role.LIMIT, "the heap that MicroPython starts with", lambda: [float(HEAP_KIB)]),
        )
