"""What is ingested: a week of buttons as it is, and the dearest message there is."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.ingest.keys import Keys
from cloud.ingest.receive import Message
from simulator.radio import model
from simulator.radio.core import Core
from tests.sealing import callback, seal

KEYS = Keys(bytes(range(32)))
DAY_S = 86_400
DAYS = 7
PRESSES = 2  # of a button in a week; and one heartbeat a day
PER_BUTTON = DAYS + PRESSES
MONDAY_S = 1_763_942_400  # Unix seconds, 2025-11-24 00:00 UTC
STATIONS = 5


@dataclass(frozen=True, slots=True)
class Traffic:
    messages: Sequence[Message]
    buttons: int  # their ids are 1 to this
    presses: int

    @property
    def published(self) -> Sequence[tuple[bytes, bytes]]:
        """(topic, payload) of each."""
        return [(f"sigfox/{message.device}/up".encode(), message.payload) for message in self.messages]


def first_presses(count: int) -> Traffic:
    """The dearest message there is, `count` times: each from a button of its own, each an order, a stamp, an answer."""
    devices = random.Random(1).sample(range(1, count + 1), count)
    messages = [
        Message("mqtt", f"{d:08X}", callback(d, seal(device=d, key=KEYS.device_key(d, 0), counter=1), seq=d & 0xFFF))
        for d in devices
    ]
    return Traffic(messages, count, count)


def week(count: int) -> Traffic:
    """At least `count` messages of buttons that were never heard: a week of each."""
    return weeks(range(1, -(-count // PER_BUTTON) + 1))


def weeks(devices: Sequence[int], many: int = 1, counter: int = 0) -> Traffic:
    """So many weeks of these buttons, in the order of their time, with the callbacks that the radio model makes.

    In each week seven heartbeats a button, at an hour of its own, and two presses at any time. Nobody confirms
    meanwhile, so the first press makes an order and the others join it. `counter`: the last one that was used.
    """
    rng = random.Random(2)
    due: list[tuple[float, int, str]] = []
    for device in devices:
        hour = rng.random() * DAY_S
        due += [(day * DAY_S + hour, device, "alive") for day in range(DAYS * many)]
        due += [(rng.random() * DAYS * many * DAY_S, device, "pickup") for _ in range(PRESSES * many)]
    core = Core(seed=1, stations=STATIONS, impairments=model.Impairments(), listen_s=30)
    counters = dict.fromkeys(devices, counter)
    messages = []
    for at_s, device, kind in sorted(due):
        counters[device] += 1
        key = KEYS.device_key(device, 0)
        payload = seal(device=device, key=key, counter=counters[device], kind=kind)
        (delivery,) = core.uplink(f"{device:08X}", payload, monotonic_s=at_s, unix_s=MONDAY_S + at_s)
        messages.append(Message("mqtt", f"{device:08X}", delivery.body))
    return Traffic(messages, len(devices), len(devices) * PRESSES * many)
