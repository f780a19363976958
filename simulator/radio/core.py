"""The Sigfox core: it numbers each device's messages, delivers what stations heard, and knows who listens right now."""

import json
import logging
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from simulator.radio import model

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Device:
    position: model.Position
    next_sequence_number: int = 0
    listens_until_s: float = 0.0  # on the caller's monotonic clock


@dataclass(frozen=True, slots=True)
class Delivery:
    delay_s: float
    body: bytes  # JSON of a Sigfox callback


class Core:
    """It keeps nothing: after a restart sequence numbers begin again and nobody listens, as if all had been silent."""

    def __init__(
        self,
        *,
        seed: int,
        stations: int,
        down: Collection[str] = (),
        impairments: model.Impairments,
        listen_s: float,
    ) -> None:
        self._seed = seed
        self.stations = model.place_stations(stations, random.Random(f"{seed}"))  # noqa: S311
        self._up = model.without(self.stations, down)
        self._impairments = impairments
        self._listen_s = listen_s
        self._devices: dict[str, Device] = {}
        self.counters: Counter[str] = Counter()
        log.info("stations %s; in service %d", " ".join(s.id for s in self.stations), len(self._up))

    def uplink(self, device_id: str, payload: bytes, *, monotonic_s: float, unix_s: float) -> list[Delivery]:
        """What of one radiated message is delivered, and when; nothing if no station heard it."""
        model.check_uplink(device_id, payload)
        device = self._devices.get(device_id)
        if device is None:
            place = self._draw(device_id)
            device = self._devices[device_id] = Device(model.place_button(self.stations, place))
        sequence_number = device.next_sequence_number
        device.next_sequence_number = (sequence_number + 1) % model.SEQUENCE_NUMBERS

        # Seeded by the message, not by the order of arrival: other buttons change nothing about this one's luck.
        rng = self._draw(device_id, sequence_number)
        heard = model.radiate(device.position, self._up, self._impairments.loss, rng)
        if heard is None:
            self.counters["unheard"] += 1
            log.debug("%s #%d heard by no station", device_id, sequence_number)
            return []
        self.counters["heard"] += 1
        if log.isEnabledFor(logging.DEBUG):
            copies = ", ".join(f"{copy.station} {copy.rssi} dBm x{copy.replicas}" for copy in heard.copies)
            log.debug("%s #%d heard by %s: %s", device_id, sequence_number, copies, heard.lqi)
        device.listens_until_s = monotonic_s + self._listen_s
        body = json.dumps(model.callback(device_id, payload, sequence_number, int(unix_s), heard)).encode()
        return [Delivery(delay_s, body) for delay_s in model.delays_s(self._impairments, rng)]

    def downlink(self, device_id: str, body: bytes, *, monotonic_s: float) -> bytes | None:
        """The bytes to radiate, or None when the device does not listen any more."""
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            raise model.Refused("a downlink is JSON") from None
        data = model.parse_downlink(device_id, request)
        device = self._devices.get(device_id)
        if device is None or monotonic_s > device.listens_until_s:
            self.counters["late"] += 1
            log.warning("%s downlink came late: nobody listens", device_id)
            return None
        self.counters["downlinks"] += 1
        log.debug("%s downlink %s", device_id, data.hex())
        return data

    def _draw(self, *what: object) -> random.Random:
        return random.Random("/".join(map(str, (self._seed, *what))))  # noqa: S311
