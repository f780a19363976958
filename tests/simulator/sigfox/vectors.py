"""The frames that the official end-point library and librenard agree on; append-only, as any golden vectors."""

import json
from pathlib import Path
from typing import Any

from simulator.sigfox.uplink import Uplink

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "vectors/sigfox-frames.json").read_text()
)
# The device of the published frames; its key was published with them.
PUBLISHED = {"device_id": "004d33db", "key": "479e4480fd7596d45b0122fd282db3cf"}
DEVICE_ID, KEY = int(PUBLISHED["device_id"], 16), bytes.fromhex(PUBLISHED["key"])
UPLINKS = [PUBLISHED | v for v in VECTORS["published"] if "frames" in v] + VECTORS["uplink"]
PUBLISHED_DOWNLINKS = [PUBLISHED | v for v in VECTORS["published"] if "downlink" in v]
DOWNLINKS = VECTORS["downlink"]
HARD_DOWNLINKS = VECTORS["downlink_negative_and_corrected"]


def uplink_of(vector: dict[str, Any]) -> Uplink:
    mode = vector.get("mode", "bytes")
    payload = bytes.fromhex(vector["payload"]) if mode == "bytes" else {"bit0": False, "bit1": True}[mode]
    return Uplink(int(vector["device_id"], 16), vector["seq"], payload, vector.get("downlink_request", False))


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['device_id']}-{vector.get('seq', vector.get('uplink_seq'))}"
