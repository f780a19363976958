"""The firmware on the desktop VM: one seal, and one press from the key to sleep."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from simulator.board import vm
from tests import sealing
from tests.benchmarks import wire
from tests.benchmarks.measure import Role, Way, seconds
from tests.benchmarks.mqtt import new_broker
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud, sealed_answer
from tests.firmware.modem import Ether, modem_on

DAY_S = 26 * 3600  # later by the budget's clock, which has four answers a day
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
            board.let_pass(DAY_S)
            wake = board.wake(board.clicks())
            assert wake.value("light") == "accepted", wake.console
            return wake

        try:
            yield press, broker.port
        finally:
            cloud.close()


def parts_ms(wake: vm.Wake) -> dict[str, float]:
    """Where the time of a wake by one click went, by its trace."""
    light = [event["ms"] for event in wake.trace if event["kind"] == "pin"]  # off at the start, then on and off thrice
    _, _, gesture_over, _, blinked, *_ = light
    kept = max(event["ms"] for event in wake.trace if event["kind"] == "nvs_commit" and event["ms"] < blinked)
    radio_on, radio_off = (event["ms"] for event in wake.trace if event["kind"] == "wifi_active")
    asleep = wake.trace[-1]["ms"]
    return {
        "all": asleep,
        "start of the chip, and the gesture": gesture_over,
        "counter, seal, flash": kept - gesture_over,  # before the blink that confirms it
        "lights": blinked - kept + asleep - radio_off,
        "link": radio_off - blinked,
        "radio": radio_off - radio_on,
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
            *map(part, ("start of the chip, and the gesture", "counter, seal, flash", "lights", "link")),
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
            Way(Role.OURS, "firmware, radio on to radio off", lambda: [parts_ms(press())["radio"]]),
            Way(Role.LIMIT, "the same exchange on a bare socket", lambda: [seconds(exchange) * 1000]),
        )


@contextmanager
def prepare_heap(folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    with pressing(folder) as (press, _):
        yield _heap_ways("a press by MQTT", press)


@contextmanager
def prepare_modem_heap(folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    ether = Ether()
    with modem_on(ether, folder) as (_, port):
        board = vm.Board(folder / "board", vm.Surroundings(modem_port=port))
        board.provision(DEVICE_ID, KEY, 0, "", 0, link="wisol")

        def press() -> vm.Wake:
            answer = sealed_answer(board.counter + 1, 1)
            ether.answer = lambda _: answer
            board.let_pass(DAY_S)
            wake = board.wake(board.clicks())
            assert wake.value("light") == "accepted", wake.console
            return wake

        yield _heap_ways("a press by a modem", press)


def _heap_ways(what: str, press: Callable[[], vm.Wake]) -> Sequence[Way]:
    least_free: list[float] = []

    def used_kib() -> float:
        least_free[:] = [min(event["free"] for event in press().trace) / 1024]
        return HEAP_KIB - least_free[0]

    return (
        Way(Role.OURS, f"alive at once in {what}, stand-ins included", lambda: [used_kib()]),
        Way(Role.PART, "free at its lowest", lambda: [least_free[0]]),
        Way(Role.LIMIT, "the heap that MicroPython starts with", lambda: [float(HEAP_KIB)]),
    )


@contextmanager
def prepare_uplink_heap(folder: Path, _count: int, link: str, bare: str) -> Iterator[Sequence[Way]]:
    parts: dict[str, float] = {}

    def on_vm(what: str, port: int) -> dict[str, float]:
        given = json.dumps({"what": what, "port": port, "answer": sealed_answer(2, 1).hex(" ")})
        taken = json.loads(vm.run_on_vm(Path(__file__).parent / "on_vm/heap.py", given))
        return {name: size / 1024 for name, size in taken.items()}

    with new_broker(folder) as broker:
        cloud = Cloud(broker.port)
        cloud.answers = [sealed_answer(2, 1)]

        def ours() -> list[float]:
            parts.update(on_vm(link, broker.port))
            return [sum(parts.values())]

        def part(name: str) -> Way:
            return Way(Role.PART, name, lambda: [parts[name]])

        try:
            yield (
                Way(Role.OURS, "seal, radiate, hear and open the answer", ours),
                *map(part, ("seal", "link", "answer")),
                Way(Role.LIMIT, f"the same exchange on a {bare}", lambda: [sum(on_vm(bare, broker.port).values())]),
                Way(Role.LIMIT, "the heap that MicroPython starts with", lambda: [float(HEAP_KIB)]),
            )
        finally:
            cloud.close()


@contextmanager
def prepare_size(_folder: Path, _count: int) -> Iterator[Sequence[Way]]:
    vm.run_on_vm(Path(__file__).parent / "on_vm/seal.py", json.dumps({"what": "seal", "times": 1}))  # compiles
    library = vm.FIRMWARE / "lib"
    sources = sorted(source.relative_to(library) for source in library.rglob("*.py"))

    def kib(paths: Iterable[Path]) -> list[float]:
        return [sum(path.stat().st_size for path in paths) / 1024]

    def compiled(source: Path) -> Path:
        return vm.COMPILED / "lib" / source.with_suffix(".mpy")

    def module(source: Path) -> Way:
        return Way(Role.PART, source.as_posix(), lambda: kib([compiled(source)]))

    yield (
        Way(Role.OURS, "all modules as bytecode", lambda: kib(map(compiled, sources))),
        *map(module, sources),
        Way(Role.PEER, "the same as source", lambda: kib(library / source for source in sources)),
        Way(Role.LIMIT, "the heap that MicroPython starts with", lambda: [float(HEAP_KIB)]),
    )
