"""Seals uplinks as a button does, for tests of the cloud; the vectors hold it to the firmware's own encoder."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "wire-format.json").read_text())
KINDS = ("pickup", "cancel", "alive", "boot", "ask")


def seal_body(
    bits: int, *, device: int, key: bytes, counter: int, generation: int = 0, header: int | None = None
) -> bytes:
    """Twelve bytes around any 24-bit body, also one that no button would send."""
    first = bytes([generation << 4 if header is None else header])
    nonce = b"\x00" + device.to_bytes(4, "big") + counter.to_bytes(4, "big") + bytes(4)
    sealed = AESCCM(key, tag_length=6).encrypt(nonce, bits.to_bytes(3, "big"), first)
    return first + (counter & 0xFFFF).to_bytes(2, "big") + sealed


def seal(
    *,
    device: int,
    key: bytes,
    counter: int,
    kind: str = "pickup",
    parcels: int = 1,
    battery_mv: int = 3000,
    temperature_c: int = 20,
    reset_cause: int = 4,
    link_failures: int = 0,
    generation: int = 0,
) -> bytes:
    bits = KINDS.index(kind) << 21 | (parcels if kind == "pickup" else 0) << 18 | (battery_mv - 1800 + 25) // 50 << 12
    bits |= temperature_c + 20 << 6 | reset_cause << 3 | link_failures
    return seal_body(bits, device=device, key=key, counter=counter, generation=generation)


def opened(uplink: bytes, *, device: int, key: bytes, counter: int) -> int:
    """The body's 24 bits; raises InvalidTag."""
    nonce = b"\x00" + device.to_bytes(4, "big") + counter.to_bytes(4, "big") + bytes(4)
    return int.from_bytes(AESCCM(key, tag_length=6).decrypt(nonce, uplink[3:], uplink[:1]), "big")


def callback(device: int, data: bytes, *, ack: bool = True, seq: int = 1, time: int = 1_700_000_000) -> bytes:
    """The JSON that the network publishes for `data`."""
    said = {
        "device": f"{device:08X}",
        "time": time,
        "data": data.hex(),
        "seqNumber": seq,
        "station": "1F08",
        "rssi": -117.0,
        "lqi": "excellent",
        "ack": ack,
        "duplicates": [{"bsId": "1F08", "rssi": -117.0, "nbRep": 3}, {"bsId": "1F11", "rssi": -121.5, "nbRep": 2}],
    }
    return json.dumps(said).encode()
