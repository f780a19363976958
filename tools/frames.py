"""`domino frame`: build and read the frames that a Sigfox device and its network really radiate."""

from typing import Annotated

import typer

from cloud.fleet.model import format_id
from simulator.sigfox import downlink, uplink
from simulator.sigfox.frame import KEY_BYTES, SEQUENCE_NUMBERS, Reason, Refused
from simulator.sigfox.uplink import Auth, Received, Uplink
from tools.terminal import AsJson, Failure, console, device_id, hex_bytes, print_json

app = typer.Typer(help="Real Sigfox frames: three replicas up, one frame down.", no_args_is_help=True)
down = typer.Typer(help="The frame that answers an uplink.", no_args_is_help=True)
app.add_typer(down, name="downlink")

Device = Annotated[int, typer.Option(parser=device_id, metavar="ID", help="The device's id, 8 hex digits.")]
Key = Annotated[str, typer.Option(metavar="HEX", help="The device's network key, 32 hex digits.")]
Seq = Annotated[int, typer.Option(min=0, max=SEQUENCE_NUMBERS - 1, help="The sequence number of the uplink.")]


@app.command()
def encode(
    device: Device,
    key: Key,
    seq: Seq,
    payload: Annotated[str | None, typer.Option(metavar="HEX", help="0 to 12 bytes.")] = None,
    bit: Annotated[int | None, typer.Option(min=0, max=1, help="A single bit instead of bytes.")] = None,
    ack: Annotated[bool, typer.Option("--ack", help="Ask for a downlink.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the three replicas of an uplink, preamble included."""
    if payload is not None and bit is not None:
        raise typer.BadParameter("a frame carries --payload or --bit, not both")
    content = hex_bytes(payload or "", None, "--payload") if bit is None else bool(bit)
    network_key = hex_bytes(key, KEY_BYTES, "--key")
    try:
        message = Uplink(device, seq, content, ack)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    frames = uplink.encode(message, network_key)
    airtime_s = uplink.airtime_s(frames[0])
    if as_json:
        fields = _fields(uplink.decode(frames[0]))
        print_json(fields | {"frames": [frame.hex() for frame in frames], "airtime_s_100bps": airtime_s})
        return
    for number, (frame, code) in enumerate(zip(frames, ("plain", "octal 7", "octal 5"), strict=True), 1):
        console.print(f"[dim]{number} {code:8}[/] {frame.hex()}", soft_wrap=True)
    console.print(f"[dim]{'on air':10}[/] 3 × {airtime_s:.2f} s")


@app.command()
def decode(
    frame: Annotated[str, typer.Argument(metavar="HEX", help="Any one of the three replicas, preamble included.")],
    key: Annotated[str | None, typer.Option(metavar="HEX", help="The network key: checks the auth.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read one replica, whichever it is; exits with 1 and the named reason when it is refused or its auth is wrong."""
    network_key = None if key is None else hex_bytes(key, KEY_BYTES, "--key")
    try:
        received = uplink.decode(hex_bytes(frame, None, "the frame"), network_key)
    except Refused as refused:
        raise _failure(refused, as_json) from None
    _show({"replica": received.replica} | _fields(received) | {"auth_check": received.auth_is.value}, as_json)
    if received.auth_is is Auth.WRONG:
        raise Failure(f"{Reason.WRONG_AUTH}: not made with this key")


@down.command("encode")
def encode_downlink(
    device: Device,
    key: Key,
    seq: Seq,
    payload: Annotated[str, typer.Option(metavar="HEX", help="8 bytes.")],
    as_json: AsJson = False,
) -> None:
    """Print the frame that answers the uplink with this sequence number."""
    data = hex_bytes(payload, downlink.PAYLOAD_BYTES, "--payload")
    frame = downlink.encode(data, device_id=device, seq=seq, key=hex_bytes(key, KEY_BYTES, "--key"))
    if not as_json:
        print(frame.hex())
        return
    plain = downlink.whitened(frame, device, seq)
    made = downlink.decode(frame, device_id=device, seq=seq, key=hex_bytes(key, KEY_BYTES, "--key"))
    print_json(
        _addressing(device, seq)
        | {"payload": made.payload.hex(), "auth": made.auth.hex(), "crc8": made.crc.hex()}
        | {"unscrambled_frame": plain.hex(), "frame": frame.hex(), "sync": downlink.SYNC.hex()}
    )


@down.command("decode")
def decode_downlink(
    frame: Annotated[str, typer.Argument(metavar="HEX", help="The 15 bytes after the sync word.")],
    device: Device,
    key: Key,
    seq: Seq,
    as_json: AsJson = False,
) -> None:
    """Read and repair a frame as the device does; exits with 1 and the named reason when it is refused."""
    network_key = hex_bytes(key, KEY_BYTES, "--key")
    try:
        read = downlink.decode(hex_bytes(frame, None, "the frame"), device_id=device, seq=seq, key=network_key)
    except Refused as refused:
        raise _failure(refused, as_json) from None
    fields = {"payload": read.payload.hex(), "auth": read.auth.hex(), "auth_check": Auth.RIGHT.value}
    _show(_addressing(device, seq) | fields | {"crc8": read.crc.hex(), "corrected_bits": read.corrected_bits}, as_json)


def _fields(received: Received) -> dict[str, object]:
    """One replica under the names of tests/vectors/sigfox-frames.json."""
    sent = received.uplink
    mode, payload = (f"bit{sent.payload:d}", None) if isinstance(sent.payload, bool) else ("bytes", sent.payload.hex())
    return {
        "mode": mode,
        "device_id": format_id(sent.device_id),
        "seq": sent.seq,
        "downlink_request": sent.asks_downlink,
        "payload": payload,
        "li": sent.length_indicator,
        "auth_input": received.signed.hex(),
        "auth": received.auth.hex(),
        "crc16": received.crc.hex(),
    }


def _addressing(device: int, seq: int) -> dict[str, object]:
    return {"device_id": format_id(device), "uplink_seq": seq}


def _failure(refused: Refused, as_json: bool) -> Failure:
    if as_json:
        print_json({"result": "refused", "reason": refused.reason})
    return Failure(str(refused))


def _show(fields: dict[str, object], as_json: bool) -> None:
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        if value is not None:
            said = ("yes" if value else "no") if isinstance(value, bool) else value
            console.print(f"[dim]{name.replace('_', ' '):16}[/] {said}")
