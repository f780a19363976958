"""What a drill sends: the presses of a made fleet, sealed here by the wire format's document, and what is no press."""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloud.ingest.keys import Keys

MAX_IN_PRESS = 7  # parcels of one press, three bits on the wire
BIT_FLIPS = "bit flips"
DAMAGES = (BIT_FLIPS, "cut short", "noise", "no JSON")

# A press's name everywhere: button, key generation, counter.
Key = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the cloud. `key` is None for what must not be taken in: damaged or forged."""

    device: int
    payload: bytes
    key: Key | None = None
    parcels: int = 0

    @property
    def topic(self) -> bytes:
        return b"sigfox/%08X/up" % self.device


def make_fleet(count: int, seed: int) -> list[int]:
    """`count` device ids, spread over all there are."""
    return random.Random(seed).sample(range(1, 1 << 32), count)


def make_presses(
    devices: Sequence[int], keys: Keys, *, each: int, seed: int, listens: bool = True, first_counter: int = 1
) -> list[Message]:
    """Every button presses `each` times; a button's next press comes when all others have pressed."""
    dice = random.Random(seed + 1)
    now = int(time.time())
    messages = []
    for counter in range(first_counter, first_counter + each):
        for device in devices:
            parcels = dice.randint(1, MAX_IN_PRESS)
            data = seal(device=device, key=keys.device_key(device, 0), counter=counter, parcels=parcels)
            payload = callback(device, data, seq=counter, heard_at_s=now, listens=listens)
            messages.append(Message(device, payload, (device, 0, counter), parcels))
    return messages


def seal(*, device: int, key: bytes, counter: int, parcels: int) -> bytes:
    """The 12 bytes of a `pickup` (docs/wire-format.md), key generation 0, 3000 mV, 20 °C, woken from deep sleep."""
    header = bytes([0])
    body = parcels << 18 | (3000 - 1800) // 50 << 12 | (20 + 20) << 6 | 4 << 3
    nonce = b"\x00" + device.to_bytes(4, "big") + counter.to_bytes(4, "big") + bytes(4)
    sealed = AESCCM(key, tag_length=6).encrypt(nonce, body.to_bytes(3, "big"), header)
    return header + (counter & 0xFFFF).to_bytes(2, "big") + sealed


def callback(device: int, data: bytes, *, seq: int, heard_at_s: int, listens: bool) -> bytes:
    """The JSON that a Sigfox network sends for `data`."""
    said = {
        "device": f"{device:08X}",
        "time": heard_at_s,
        "data": data.hex(),
        "seqNumber": seq & 0xFFF,
        "lqi": "excellent",
        "ack": listens,
        "duplicates": [{"bsId": "1F08", "rssi": -117.0, "nbRep": 3}],
    }
    return json.dumps(said).encode()


def damaged(messages: Sequence[Message], share: float, seed: int) -> list[Message]:
    """The same with damaged copies strewn in, `share` of them: bits flipped, cut short, noise, no JSON."""
    dice = random.Random(seed + 2)
    strewn = list(messages)
    for _ in range(round(len(messages) * share)):
        victim = dice.choice(messages)
        place = dice.randint(0, len(strewn))
        strewn.insert(place, Message(victim.device, _damage(victim.payload, dice.choice(DAMAGES), dice)))
    return strewn


def _damage(payload: bytes, how: str, dice: random.Random) -> bytes:
    if how == "cut short":
        return payload[: dice.randrange(len(payload) // 2)]
    if how == "noise":
        return dice.randbytes(dice.randrange(1, 300))
    if how == "no JSON":
        return payload.replace(b":", b";", 3)
    said = json.loads(payload)
    data = bytearray(bytes.fromhex(said["data"]))
    data[dice.randrange(3, 12)] ^= 1 << dice.randrange(8)  # sealed bytes: the counter's could make another one's replay
    return json.dumps(said | {"data": data.hex()}).encode()


def forgeries(devices: Sequence[int], count: int, seed: int) -> Iterator[Message]:
    """`count` messages in the names of `devices` by somebody who has no key."""
    dice = random.Random(seed + 3)
    now = int(time.time())
    for n in range(count):
        device = devices[n % len(devices)]
        data = bytes([0]) + dice.randbytes(11)
        yield Message(device, callback(device, data, seq=n, heard_at_s=now, listens=True))


@dataclass(frozen=True, slots=True)
class Delivery:
    """How badly a network delivers: the chance of one more copy, and how far a message may be overtaken."""

    copies: float = 0.0
    delayed: float = 0.0  # share that comes late, by up to `late` of the whole
    late: float = 0.5

    def disturb(self, messages: Sequence[Message], seed: int) -> list[Message]:
        """`messages` as this network brings them."""
        dice = random.Random(seed + 4)
        placed: list[tuple[float, Message]] = []
        for place, message in enumerate(messages):
            times = 1
            while dice.random() < self.copies and times < 4:
                times += 1
            for _ in range(times):
                late = dice.random() * self.late * len(messages) if dice.random() < self.delayed else 0
                placed.append((place + late, message))
        placed.sort(key=lambda one: one[0])
        return [message for _, message in placed]


def without_answers(messages: Sequence[Message]) -> list[Message]:
    return [replace(message, payload=message.payload.replace(b'"ack": true', b'"ack": false')) for message in messages]


def parcels_by_button(pressed: Mapping[Key, int]) -> dict[int, int]:
    """What each button's presses add up to."""
    sums: dict[int, int] = {}
    for (device, _, _), parcels in pressed.items():
        sums[device] = sums.get(device, 0) + parcels
    return sums
