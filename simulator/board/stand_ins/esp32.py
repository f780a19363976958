"""Stand-in for `esp32`: the wake sources, the chip's thermometer, and NVS.

Values wait in memory for their commit or, with surroundings["nvs_writes_through"], are in flash at once: the chip's
library promises no more than that they are there after the commit, and firmware must be right either way.
"""

import _board

WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True

wake_sources = []  # what `deepsleep` was told to wake on: [pin, level] pairs


def wake_on_ext0(pin, level):
    wake_sources[:] = [[pin.id, int(level)]]


def raw_temperature():
    return round(_board.surroundings["temperature_c"] * 1.8 + 32)


class NVS:
    """Values set, and erased (None), live in memory until `commit`.

    nvs.json: {namespace: {name: [type, value]}}, blobs in hex.
    """

    def __init__(self, namespace):
        self._namespace = _named(namespace)
        self._set = {}

    def get_i32(self, key):
        return self._get(key, "i32")

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._set_entry(key, ["i32", value])

    def set_blob(self, key, value):
        self._set_entry(key, ["blob", bytes(value).hex()])

    def get_blob(self, key, buffer):
        value = bytes.fromhex(self._get(key, "blob"))
        if len(value) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def erase_key(self, key):
        self._entry(key)
        _board.boundary("before nvs_erase")
        self._set[key] = None
        if _board.surroundings["nvs_writes_through"]:
            self._write()
        _board.boundary("after nvs_erase")

    def commit(self):
        _board.boundary("before nvs_commit")
        self._write()
        _board.trace("nvs_commit", names=sorted(self._set))
        self._set = {}
        _board.boundary("after nvs_commit")

    def _set_entry(self, key, entry):
        _board.boundary("before nvs_set")
        self._set[_named(key)] = entry
        if _board.surroundings["nvs_writes_through"]:
            self._write()
        _board.boundary("after nvs_set")

    def _write(self):
        flash = _board.load("nvs.json", {})
        values = flash.setdefault(self._namespace, {})
        for key, value in self._set.items():
            if value:
                values[key] = value
            else:
                values.pop(key, None)
        _board.store("nvs.json", flash)

    def _get(self, key, kind):
        entry = self._entry(key)
        if entry[0] != kind:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return entry[1]

    def _entry(self, key):
        entry = self._set[key] if key in self._set else _board.load("nvs.json", {}).get(self._namespace, {}).get(key)
        if not entry:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return entry


def _named(name):
    if len(name) > 15:
        raise OSError(-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
    return name
