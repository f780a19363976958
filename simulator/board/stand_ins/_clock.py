"""The board's calendar: an ESP32 counts its seconds from 1 January 2000, the built-in from 1970."""

import _board
import utime

EPOCH_S = 946684800


def calendar(s):
    return utime.gmtime(s + EPOCH_S)


def seconds(moment):
    return utime.mktime(moment) - EPOCH_S


def read():
    """In the order of `machine.RTC.datetime`."""
    year, month, day, hour, minute, second, weekday = calendar(_board.clock_s())[:7]
    return (year, month, day, weekday, hour, minute, second, 0)


def set_to(moment):
    year, month, day, _, hour, minute, second, _ = moment
    shift = seconds((year, month, day, hour, minute, second, 0, 0, 0)) - _board.clock_s()
    _board.surroundings["clock_s"] += shift
    _board.store("clock.json", _board.load("clock.json", 0) - shift)
