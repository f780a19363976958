"""Lives of buttons for tests: months of heartbeats and presses, taken in by ingest itself under an earlier clock."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from cloud.fleet.battery import CURVES, Pack
from tests.cloud.console.service import BUTTON, Service
from tests.sealing import seal

DAY = timedelta(days=1)


@dataclass
class Life:
    """One button's past, told day by day up to `until`. What `is_lost` says of a day was radiated and not heard."""

    service: Service
    until: datetime
    device: int = BUTTON
    seed: int = 1
    is_lost: Callable[[int], bool] = lambda day: False
    counter: int = field(default=0, init=False)

    def tell(self, days: int, *, press_every: int = 0, silent_for: int = 0, lasts: int = 600, used: int = 0) -> None:
        """`days` of heartbeats at night, and an evening's press every so many; the last `silent_for` days are quiet.

        Its two lithium cells last `lasts` days, of which `used` were gone before.
        """
        chance = random.Random(self.seed)
        for day in range(days):
            back = days - day - 1
            at = self.until - back * DAY - timedelta(hours=9, minutes=chance.uniform(0, 20))
            if back < silent_for:
                continue
            cold = round(14 + 12 * math.sin(2 * math.pi * (day - 40) / 365))
            curve = CURVES[Pack.LITHIUM]
            fallen = round(float(np.interp((used + day) / lasts, curve.at, curve.mv)) - 3 * max(0, 20 - cold))
            self.say("alive" if day else "boot", at, fallen, cold, chance, lost=self.is_lost(back))
            if press_every and day % press_every == press_every - 2:
                self.say("pickup", at + timedelta(hours=19), fallen, cold, chance)
                if back > press_every:
                    self.say("cancel", at + timedelta(hours=20), fallen, cold, chance)

    def say(self, kind: str, at: datetime, mv: int, celsius: int, chance: random.Random, *, lost: bool = False) -> None:
        self.counter += 1
        if lost or at > self.until:
            return
        key = self.service.keys.device_key(self.device, 0)
        said = {"kind": kind, "parcels": 1, "battery_mv": round(mv / 50) * 50, "temperature_c": celsius}
        data = seal(device=self.device, key=key, counter=self.counter, **said)
        rssi = chance.gauss(-121, 4)
        heard = [{"bsId": "1F08", "rssi": rssi, "nbRep": 3}]
        heard += [
            {"bsId": f"1F{n:02X}", "rssi": rssi - 3 * (n - 15), "nbRep": 2} for n in (17, 18) if chance.random() < 0.6
        ]
        quality = "good" if rssi > -122 else "average" if rssi > -135 else "limit"
        message = {
            "device": f"{self.device:08X}", "time": int(at.timestamp()), "data": data.hex(), "lqi": quality,
            "seqNumber": self.counter & 0xFFF, "ack": kind != "boot", "station": "1F08", "rssi": rssi,
            "duplicates": heard,
        }  # fmt: skip
        self.service.hear(json.dumps(message).encode(), device=self.device, now=at + timedelta(seconds=4))
