"""The network keys of devices, in a file: a JSON object of device id to key, both in hex."""

import json
import re
from pathlib import Path

ENTRY = re.compile("[0-9A-Fa-f]{8}"), re.compile("[0-9A-Fa-f]{32}")


def read_keys(path: Path) -> dict[str, bytes]:
    """The keys by device id, 8 upper-case hex digits; raises ValueError, which repeats no key."""
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"the keys cannot be read: {error}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not JSON") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} is not an object of device id to key")
    keys = {}
    for device_id, key in entries.items():
        if not ENTRY[0].fullmatch(device_id) or not isinstance(key, str) or not ENTRY[1].fullmatch(key):
            raise ValueError(f"{path}, at {device_id[:40]!r}: a device id has 8 hex digits, its key 32")
        keys[device_id.upper()] = bytes.fromhex(key)
    return keys
