"""Stand-in for the ESP32's `machine`: pins, the battery's ADC, RTC memory, deep sleep."""

import _board
import esp32

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
EXT0_WAKE, TIMER_WAKE = 2, 4

_KEY_PIN = 4
_DIVIDER = 2


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
            return bytes(_board.load("rtc.json", []))
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _board.boundary("before rtc_write")
        _board.store("rtc.json", list(data))
        _board.boundary("after rtc_write")
        return None
