"""The Sigfox core: it checks and numbers messages, delivers what stations heard, and knows who listens right now.

A device is heard in either of two ways: by its bare payload, which is numbered here, or by the frames that its modem
radiates, with a sequence number and an auth of their own. It is answered in the way in which it asked.
"""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from simulator.radio import model
from simulator.sigfox import frame
from simulator.sigfox.downlink import encode
from simulator.sigfox.uplink import BODY_BYTES, Auth, Received, decode

log = logging.getLogger(__name__)

# The length of each of one, two or three replicas by that of all; no two lengths are the same.
REPLICA_BYTES = {count * size: size for size in BODY_BYTES for count in range(1, model.REPLICAS + 1)}


@dataclass(slots=True)
class Device:
    position: model.Position
    next_sequence_number: int = 0
    listens_until_s: float = 0.0  # on the caller's monotonic clock
    framed: int | None = None  # the sequence number of the newest message that came in frames
    framed_at_s: float = 0.0  # Unix seconds
    asked_by: int | None = None  # the sequence number of the frames to answer; None: asked by a bare payload


@dataclass(frozen=True, slots=True)
class Delivery:
    delay_s: float
    body: bytes  # JSON of a Sigfox callback


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one radiated message on the air, for whoever looks on."""

    device: str
    payload: bytes
    received: tuple[model.Reception, ...]  # by the stations in reach, also where they got nothing
    delays_s: tuple[float, ...]  # of its deliveries; none: heard by no station


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
        keys: Mapping[str, bytes] = MappingProxyType({}),
        on_fate: Callable[[Fate], object] = lambda fate: None,
    ) -> None:
        self._seed = seed
        self.stations = model.place_stations(stations, random.Random(f"{seed}"))  # noqa: S311  a repeatable air, no secret
        self._up = model.without(self.stations, down)
        self.impairments = impairments  # may be changed at any time, by any thread
        self._on_fate = on_fate
        self._listen_s = listen_s
        self._keys = keys  # network keys, of the devices that radiate frames
        self._devices: dict[str, Device] = {}
        self.counters: Counter[str] = Counter()
        log.info("stations %s; in service %d", " ".join(s.id for s in self.stations), len(self._up))

    def take_down(self, down: Collection[str]) -> None:
        """From now on these stations hear nothing, and all others do."""
        self._up = model.without(self.stations, down)

    def stations_in_reach(self, device_id: str) -> tuple[model.Station, ...]:
        """Those that are up; may be asked for from any thread."""
        return model.in_reach(self._place(device_id), self._up)

    def uplink(self, device_id: str, payload: bytes, *, monotonic_s: float, unix_s: float) -> list[Delivery]:
        """What of one radiated message is delivered, and when; nothing if no station heard it."""
        model.check_uplink(device_id, payload)
        device = self._device(device_id)
        sequence_number = device.next_sequence_number
        device.next_sequence_number = (sequence_number + 1) % model.SEQUENCE_NUMBERS

        # Seeded by the message, not by the order of arrival: other buttons change nothing about this one's luck.
        rng = self._draw(device_id, sequence_number)
        received, heard = self._hear(device_id, device, sequence_number, model.REPLICAS, rng)
        if heard is None:
            self._on_fate(Fate(device_id, payload, received, ()))
            return []
        device.asked_by, device.listens_until_s = None, monotonic_s + self._listen_s
        deliveries = self._deliver(model.callback(device_id, payload, sequence_number, int(unix_s), heard), rng)
        self._on_fate(Fate(device_id, payload, received, tuple(one.delay_s for one in deliveries)))
        return deliveries

    def frames(
        self, device_id: str, radiated: bytes, *, came_before: bool, monotonic_s: float, unix_s: float
    ) -> list[Delivery]:
        """Likewise of one message in its replicas, one after the other as they were radiated.

        `came_before`: the broker may have handed it over already, so its sequence number is no reason to refuse it.
        """
        model.check_device(device_id)
        read, replicas = self._read(device_id, radiated)
        sent = read.uplink
        payload = bytes([sent.payload]) if isinstance(sent.payload, bool) else sent.payload
        device = self._device(device_id)
        rng = self._draw(device_id, "framed", sent.seq)
        received, heard = self._hear(device_id, device, sent.seq, replicas, rng)
        if heard is None:
            self._on_fate(Fate(device_id, payload, received, ()))
            return []
        if not came_before:
            if device.framed is not None:
                model.check_sequence(device.framed, sent.seq, unix_s - device.framed_at_s)
            device.framed, device.framed_at_s = sent.seq, unix_s
        device.asked_by = sent.seq
        device.listens_until_s = monotonic_s + self._listen_s if sent.asks_downlink else 0.0
        body = model.callback(device_id, payload, sent.seq, int(unix_s), heard, listens=sent.asks_downlink)
        deliveries = self._deliver(body, rng)
        self._on_fate(Fate(device_id, payload, received, tuple(one.delay_s for one in deliveries)))
        return deliveries

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
        if device.asked_by is None:
            return data
        return encode(data, device_id=int(device_id, 16), seq=device.asked_by, key=self._keys[device_id])

    def listens_for_frames(self, device_id: str) -> bool:
        return self._devices[device_id].asked_by is not None

    def _device(self, device_id: str) -> Device:
        device = self._devices.get(device_id)
        if device is None:
            device = self._devices[device_id] = Device(self._place(device_id))
        return device

    def _place(self, device_id: str) -> model.Position:
        return model.place_button(self.stations, self._draw(device_id))

    def _read(self, device_id: str, radiated: bytes) -> tuple[Received, int]:
        """The message of `device_id` in its replicas, and how many of them could be read: one is enough."""
        key = self._keys.get(device_id)
        if key is None:
            raise model.Refused(f"no network key of {device_id} is known")
        size = REPLICA_BYTES.get(len(radiated))
        if size is None:
            raise model.Refused(f"{len(radiated)} bytes are not one to {model.REPLICAS} frames of one length")
        received, wrong = [], None
        for start in range(0, len(radiated), size):
            try:
                received.append(decode(radiated[start : start + size], key))
            except frame.Refused as refused:
                self.counters["unreadable"] += 1
                wrong = refused
        if not received:
            raise model.Refused(f"{device_id} radiates no frame: {wrong}")
        first = received[0]
        if any(other.packet != first.packet for other in received):
            raise model.Refused(f"{device_id} radiates frames of different messages")
        if first.uplink.device_id != int(device_id, 16):
            raise model.Refused(f"{device_id} radiates frames of {first.uplink.device_id:08X}")
        if first.auth_is is not Auth.RIGHT:
            raise model.Refused(f"{device_id} #{first.uplink.seq}: {frame.Reason.WRONG_AUTH}")
        return first, len(received)

    def _hear(
        self, device_id: str, device: Device, sequence_number: int, replicas: int, rng: random.Random
    ) -> tuple[tuple[model.Reception, ...], model.Heard | None]:
        received = model.receptions(device.position, self._up, self.impairments.loss, rng, replicas)
        heard = model.put_together(received)
        if heard is None:
            self.counters["unheard"] += 1
            log.debug("%s #%d heard by no station", device_id, sequence_number)
            return received, None
        self.counters["heard"] += 1
        if log.isEnabledFor(logging.DEBUG):
            copies = ", ".join(f"{copy.station} {copy.rssi} dBm x{copy.replicas}" for copy in heard.copies)
            log.debug("%s #%d heard by %s: %s", device_id, sequence_number, copies, heard.lqi)
        return received, heard

    def _deliver(self, callback: dict[str, object], rng: random.Random) -> list[Delivery]:
        body = json.dumps(callback).encode()
        return [Delivery(delay_s, body) for delay_s in model.delays_s(self.impairments, rng)]

    def _draw(self, *what: object) -> random.Random:
        return random.Random("/".join(map(str, (self._seed, *what))))  # noqa: S311  a repeatable air, no secret
