"""`domino uplink`: make, read and explain the twelve bytes."""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cloud.fleet.model import format_id
from cloud.ingest.uplink import Kind, Rejected, Uplink, open_uplink, read_header
from simulator.board.vm import encode_uplink
from tools.terminal import AsJson, Failure, console, device_id, hex_bytes, print_json

app = typer.Typer(help="The twelve bytes of a press: encode, decode, explain.", no_args_is_help=True)

KEY_BYTES, UPLINK_BYTES = 16, 12
Device = Annotated[int, typer.Option(parser=device_id, metavar="ID", help="The button's id, 8 hex digits.")]
Key = Annotated[str, typer.Option(metavar="HEX", help="The button's own key, 32 hex digits.")]
Bytes = Annotated[str, typer.Argument(metavar="HEX", help="The uplink, 24 hex digits.")]


@app.command()
def encode(
    device: Device,
    key: Key,
    counter: Annotated[int, typer.Option(min=1, max=0xFFFFFFFF)],
    kind: Annotated[str, typer.Option(help="pickup, cancel, alive, boot or ask.")],
    parcels: Annotated[int, typer.Option()] = 0,
    battery_mv: Annotated[int, typer.Option(help="Clamped to 1800..4950.")] = 3000,
    temperature_c: Annotated[int, typer.Option(help="Clamped to -20..43.")] = 20,
    reset_cause: Annotated[int, typer.Option(help="Clamped to 0..7; 4 is a wake from deep sleep.")] = 4,
    link_failures: Annotated[int, typer.Option(help="Clamped to 0..7.")] = 0,
    generation: Annotated[int, typer.Option(min=0, max=3, help="Key generation.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Seal an uplink with the firmware's own encoder, on MicroPython."""
    words = [one.word for one in Kind]
    if kind not in words:
        raise typer.BadParameter(f"kind is one of {', '.join(words)}, not {kind!r}")
    if kind == "pickup" and parcels < 1:
        raise typer.BadParameter("a pickup has 1 to 7 parcels: give --parcels")
    data = encode_uplink(
        device,
        hex_bytes(key, KEY_BYTES, "--key"),
        generation,
        counter,
        kind,
        parcels,
        battery_mv,
        temperature_c,
        reset_cause,
        link_failures,
    )
    if as_json:
        print_json({"uplink": data.hex()})
    else:
        print(data.hex())


@app.command()
def decode(
    data: Bytes,
    device: Device,
    key: Key,
    last_counter: Annotated[
        int, typer.Option(min=0, max=0xFFFFFFFF, help="The highest counter accepted so far; 0: never heard.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Open an uplink as the cloud does; exits with 1 and the named reason when it is refused."""
    try:
        uplink = open_uplink(
            hex_bytes(data, UPLINK_BYTES, "the uplink"),
            device=device,
            key=hex_bytes(key, KEY_BYTES, "--key"),
            last_counter=last_counter,
        )
    except Rejected as rejected:
        if as_json:
            print_json({"result": rejected.result, "reason": rejected.reason})
        raise Failure(str(rejected)) from None
    fields = _fields(uplink)
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        console.print(f"[dim]{name:16}[/] {value}")


@app.command()
def explain(
    data: Bytes,
    device: Annotated[
        int | None, typer.Option(parser=device_id, metavar="ID", help="Opens the body, with --key.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="HEX", help="Opens the body, with --device.")] = None,
    last_counter: Annotated[int, typer.Option(min=0, max=0xFFFFFFFF)] = 0,
    as_json: AsJson = False,
) -> None:
    """Show an uplink field by field; with --device and --key also what is sealed in it."""
    raw = hex_bytes(data, UPLINK_BYTES, "the uplink")
    if (device is None) != (key is None):
        raise typer.BadParameter("--device and --key open the body together; one alone does not")
    opened, refused = None, ""
    if device is not None and key is not None:
        try:
            opened = open_uplink(raw, device=device, key=hex_bytes(key, KEY_BYTES, "--key"), last_counter=last_counter)
        except Rejected as rejected:
            refused = str(rejected)
    parts = _parts(raw, opened, refused)
    if as_json:
        print_json([{"bytes": p.where, "field": p.name, "hex": p.hex, "bits": p.bits, "value": p.value} for p in parts])
        return
    line = Text("\n  ")
    for at, byte in enumerate(raw):
        line.append(f"{byte:02X}", style=next(p.colour for p in parts if at in p.span) + " bold")
        line.append(" " if at != 5 else "   ")
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=True)
    for title in ("byte", "field", "bits", "value"):
        table.add_column(title, no_wrap=title != "value")
    for part in parts:
        table.add_row(part.where, Text(part.name, style=part.colour), Text(part.bits, style=part.colour), part.value)
    console.print(line, "", table, "", sep="\n")


@dataclass(frozen=True, slots=True)
class Part:
    """One field of the twelve bytes: where it stands, its bits, what it means."""

    span: range  # of bytes; an inner field of the body has none of its own
    where: str
    name: str
    colour: str
    bits: str
    value: str
    hex: str = ""


def _parts(raw: bytes, opened: Uplink | None, refused: str) -> list[Part]:
    header = read_header(raw)
    first = f"{raw[0]:08b}"
    body, tag = raw[3:6], raw[6:]
    version = "version 0" if header.version == 0 else f"version {header.version}: unknown here"
    reserved = "zeros" if header.reserved == 0 else "must be zeros: malformed"
    parts = [
        Part(range(1), "0", "version", "yellow", first[:2], version, f"{raw[0]:02x}"),
        Part(range(0), "0", "key generation", "yellow", first[2:4], str(header.key_generation)),
        Part(range(0), "0", "reserved", "yellow", first[4:], reserved),
        Part(
            range(1, 3),
            "1-2",
            "counter",
            "cyan",
            _bits(raw[1:3]),
            f"ends in {header.low_counter} (low 16 bits)",
            raw[1:3].hex(),
        ),
    ]
    if opened is None:
        parts.append(
            Part(range(3, 6), "3-5", "body", "blue", _bits(body), "sealed: --device and --key open it", body.hex())
        )
        parts.append(
            Part(range(6, 12), "6-11", "seal", "magenta", tag.hex(" "), refused or "CCM tag, not checked", tag.hex())
        )
        return parts
    parts += [
        Part(range(3, 6), "3-5", "body", "blue", _bits(body), "opened:", body.hex()),
        Part(range(0), "", "  kind", "blue", f"{opened.kind:03b}", f"{int(opened.kind)} {opened.kind.word}"),
        Part(range(0), "", "  parcels", "blue", f"{opened.parcels:03b}", str(opened.parcels)),
        Part(range(0), "", "  battery", "blue", f"{(opened.battery_mv - 1800) // 50:06b}", f"{opened.battery_mv} mV"),
        Part(range(0), "", "  temperature", "blue", f"{opened.temperature_c + 20:06b}", f"{opened.temperature_c} °C"),
        Part(range(0), "", "  reset cause", "blue", f"{opened.reset_cause:03b}", str(opened.reset_cause)),
        Part(range(0), "", "  link failures", "blue", f"{opened.link_failures:03b}", str(opened.link_failures)),
        Part(
            range(6, 12), "6-11", "seal", "magenta", tag.hex(" "), f"right, under counter {opened.counter}", tag.hex()
        ),
    ]
    return parts


def _bits(value: bytes) -> str:
    return " ".join(f"{byte:08b}" for byte in value)


def _fields(uplink: Uplink) -> dict[str, object]:
    """The uplink under the names of tests/vectors/wire-format.json."""
    return {
        "device_id": format_id(uplink.device),
        "key_generation": uplink.key_generation,
        "counter": uplink.counter,
        "kind": uplink.kind.word,
        "parcels": uplink.parcels,
        "battery_mv": uplink.battery_mv,
        "temperature_c": uplink.temperature_c,
        "reset_cause": uplink.reset_cause,
        "link_failures": uplink.link_failures,
    }
