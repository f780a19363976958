"""The 12 bytes of a frame as they are drawn: 96 cells, the fields they make, and what the sealed body opened to.

The layout is docs/wire-format.md: header, 16 bits of the counter, 3 sealed bytes, 6 bytes of seal.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cloud.frames.model import Frame
from cloud.ingest.uplink import SIZE, Kind
from cloud.words import N_, Said

ROW = 6  # bytes a row
CELL, BYTE = 13.0, 107.0  # pixels: width of a bit, from one byte to the next
WIDTH = 640.0
BODY_CELL = WIDTH / 24

KINDS = {kind.word: kind for kind in Kind}
# By machine.reset_cause() of the ESP32; a wake from deep sleep is the button's, or the heartbeat's.
WOKEN_BY = {
    1: N_("power"),
    2: N_("reset"),
    3: N_("watchdog"),
    4: N_("sleep"),
    5: N_("soft reset"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    x: float
    width: float
    bit: str
    style: str  # of domino.css: sec (sealed), tag (seal), one


@dataclass(frozen=True, slots=True)
class Byte:
    x: float  # its middle
    hex: str


@dataclass(frozen=True, slots=True)
class Brace:
    left: float
    right: float
    name: Said | None
    text: Said


@dataclass(frozen=True, slots=True)
class Field:
    x: float
    name: Said
    raw: int  # the value on the wire
    meaning: Said


@dataclass(frozen=True, slots=True)
class Drawing:
    head: tuple[Cell, ...]
    seal: tuple[Cell, ...]
    head_bytes: tuple[Byte, ...]
    seal_bytes: tuple[Byte, ...]
    braces: tuple[Brace, ...]
    body: tuple[Cell, ...]  # empty unless the seal was right
    fields: tuple[Field, ...]
    hex: str  # all twelve


def drawing(frame: Frame) -> Drawing | None:
    """None where the frame has not the twelve bytes of an uplink."""
    data = frame.data
    if data is None or len(data) != SIZE:
        return None
    fields = _opened(frame)
    return Drawing(
        head=tuple(_cells(data[:ROW])),
        seal=tuple(_cells(data[ROW:], seal=True)),
        head_bytes=tuple(_bytes(data[:ROW])),
        seal_bytes=tuple(_bytes(data[ROW:])),
        braces=(
            Brace(0, 2 * CELL, None, N_("v %(version)s", version=data[0] >> 6)),
            Brace(2 * CELL, 4 * CELL, None, N_("key %(generation)s", generation=data[0] >> 4 & 3)),
            Brace(4 * CELL, 8 * CELL, None, N_("bits %(bits)s", bits=data[0] & 15) if data[0] & 15 else N_("zeros")),
            Brace(BYTE, 2 * BYTE + 8 * CELL, N_("Counter"), _counter(frame, data)),
            Brace(3 * BYTE, 5 * BYTE + 8 * CELL, N_("Body"), N_("sealed; opened below") if fields else N_("sealed")),
        ),
        body=tuple(_body_cells(fields)),
        fields=tuple(_placed(fields)),
        hex=data.hex(" ").upper(),
    )


def _counter(frame: Frame, data: bytes) -> Said:
    if frame.counter is None:
        return N_("low 16 bits, %(low)s", low=int.from_bytes(data[1:3]))
    return N_("low 16 bits of %(counter)s", counter=frame.counter)


def _opened(frame: Frame) -> list[tuple[Said, int, int, Said]]:
    """The body's fields (name, bits, value on the wire, meaning), as far as the seal proved them."""
    if (
        frame.kind not in KINDS
        or frame.parcels is None
        or frame.battery_mv is None
        or frame.temperature_c is None
        or frame.reset_cause is None
        or frame.link_failures is None
    ):
        return []
    return [
        (N_("kind"), 3, KINDS[frame.kind], Said(frame.kind)),
        (N_("parcels"), 3, frame.parcels, Said(str(frame.parcels))),
        (N_("battery"), 6, (frame.battery_mv - 1800) // 50, Said(f"{frame.battery_mv} mV")),
        (N_("temperature"), 6, frame.temperature_c + 20, Said(f"{frame.temperature_c} °C".replace("-", "−"))),
        (N_("woken by"), 3, frame.reset_cause, WOKEN_BY.get(frame.reset_cause, N_("not known"))),
        (N_("failures"), 3, frame.link_failures, Said(str(frame.link_failures))),
    ]


def _cells(data: bytes, *, seal: bool = False) -> Iterator[Cell]:
    for i, byte in enumerate(data):
        style = "tag" if seal else "sec" if i >= 3 else ""
        for j, bit in enumerate(f"{byte:08b}"):
            yield Cell(i * BYTE + j * CELL, CELL, bit, f"{style} one" if bit == "1" else style)


def _bytes(data: bytes) -> Iterator[Byte]:
    for i, byte in enumerate(data):
        yield Byte(i * BYTE + 4 * CELL, f"{byte:02X}")


def _body_cells(fields: list[tuple[Said, int, int, Said]]) -> Iterator[Cell]:
    at = 0
    for _, bits, value, _ in fields:
        for j, bit in enumerate(f"{value:0{bits}b}"):
            gap = 2 if j == bits - 1 else 0  # between the fields, so that their borders are seen
            yield Cell((at + j) * BODY_CELL, BODY_CELL - gap, bit, "sec one" if bit == "1" else "sec")
        at += bits


def _placed(fields: list[tuple[Said, int, int, Said]]) -> Iterator[Field]:
    at = 0
    for name, bits, value, meaning in fields:
        yield Field(at * BODY_CELL + 2, name, value, meaning)
        at += bits
