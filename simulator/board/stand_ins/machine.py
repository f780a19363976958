"""Stand-in for the ESP32's `machine`: pins, the battery's ADC, RTC memory, a UART, the watchdog, deep sleep."""

import _board
import esp32
import utime

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
EXT0_WAKE, TIMER_WAKE = 2, 4

_KEY_PIN = 4
_DIVIDER = 2


def unique_id():
    import hashlib
    import os

    return hashlib.sha256(os.getenv("DOMINO_BOARD").encode()).digest()[:6]  # an ESP32's is its MAC address


def reset_cause():
    return _board.surroundings["reset_cause"]


def wake_reason():
    return _board.surroundings["wake_reason"]


def deepsleep(time_ms=None):
    _board.stop("sleep", for_ms=time_ms, wake_on=esp32.wake_sources)


def reset():
    _board.stop("reset")


class Pin:
    IN, OUT = 1, 3
    PULL_UP = 2

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        self.id = id
        self._level = None
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            return _key_level() if self.id == _KEY_PIN else self._level or 0
        if bool(level) != self._level:
            self._level = bool(level)
            _board.trace("pin", id=self.id, level=int(self._level))
        return None


def _key_level():
    # surroundings["key"]: [[ms since the wake, 1 when down from then on], …]
    now, level = _board.since_reset_ms(), 1
    for at_ms, is_down in _board.surroundings["key"]:
        if at_ms <= now:
            level = 1 - is_down
    return level


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, *, atten=0):
        pass

    def read_uv(self):
        return _board.surroundings["battery_mv"] * 1000 // _DIVIDER


class RTC:
    # Its memory outlives deep sleep; the host removes rtc.json when the power goes.
    def memory(self, data=None):
        if data is None:
            return bytes.fromhex(_board.load("rtc.json", ""))
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _board.boundary("before rtc_write")
        _board.store("rtc.json", bytes(data).hex())
        _board.boundary("after rtc_write")
        return None

    def datetime(self, moment=None):
        import _clock  # loaded only where it is asked for, as the UART is

        return _clock.set_to(moment) if moment else _clock.read()


class WDT:
    # The host bites: it alone can end a VM that hangs. A second one takes the first one's place, as on the ESP32.
    def __init__(self, id=0, timeout=5000):
        self._timeout_ms = timeout
        _board.trace("watchdog", timeout_ms=timeout)
        self.feed()

    def feed(self):
        _board.store("watchdog.json", utime.time_ns() // 1000000 + self._timeout_ms // _board.speed)


def __getattr__(name):
    # Loaded only where there is a modem: the stand-ins lie in the firmware's own heap.
    if name == "UART":
        import _uart

        return _uart.UART
    raise AttributeError(name)
