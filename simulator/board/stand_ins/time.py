"""Stand-in for `time`: the built-in, on a clock that the host sets and may let run faster.

surroundings["clock_s"] is what the board's clock says at the reset; it runs on in deep sleep and begins anew with the
battery. surroundings["speed"] is how many of the board's seconds go into one of the host's; sockets keep to the host's.
"""

import _board
import utime
from utime import *  # noqa: F403  all of the built-in, then what differs


def time():
    return _board.clock_s()


def localtime(s=None):
    import _clock

    return _clock.calendar(time() if s is None else s)


gmtime = localtime


def mktime(moment):
    import _clock

    return _clock.seconds(moment)


def ticks_ms():
    return _board.now_ms()


def sleep_ms(ms):
    utime.sleep_us(ms * 1000 // _board.speed)
