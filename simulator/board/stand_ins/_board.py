"""What the stand-ins share: the surroundings of this wake, the trace, and how a board stops.

The folder named by DOMINO_BOARD holds surroundings.json (from the host), nvs.json, rtc.json, trace.jsonl, and while it
is awake watchdog.json: the host's time, in s, from which it bites.
"""

import gc
import json
import os

import utime  # the built-in: `time` itself stands on this module
import vfs

_FOLDER = os.getenv("DOMINO_BOARD")
_HOST = vfs.VfsPosix()  # the host's files, whatever is mounted at /


def load(name, default):
    try:
        with _HOST.open(_FOLDER + "/" + name, "r") as file:
            return json.load(file)
    except OSError:
        return default


def store(name, value):
    # Beside it, then over it: a power cut leaves the old or the new.
    with _HOST.open(_FOLDER + "/" + name + ".new", "w") as file:
        json.dump(value, file)
    _HOST.rename(_FOLDER + "/" + name + ".new", _FOLDER + "/" + name)


def now_ms():
    return utime.ticks_us() * speed // 1000


def since_reset_ms():
    return now_ms() - _started_ms


def clock_s():
    return surroundings["clock_s"] + since_reset_ms() // 1000


def trace(kind, **what):
    gc.collect()
    what["ms"], what["kind"], what["free"] = since_reset_ms(), kind, gc.mem_free()
    with _HOST.open(_FOLDER + "/trace.jsonl", "a") as file:
        file.write(json.dumps(what) + "\n")


def stop(kind, **what):
    # As silicon does: no finally, no flush. The shell's parent is this very process.
    trace(kind, **what)
    os.system("kill -KILL $PPID")
    while True:
        pass


def boundary(point):
    # A place where the power may go, as surroundings["power_cut"] names it: "before nvs_commit", or 3 for the third.
    global _passed
    _passed += 1
    if surroundings["power_cut"] in (point, _passed):
        stop("power_cut", at=point)


_passed = 0
surroundings = load("surroundings.json", {}) if _FOLDER else {}
speed = surroundings.get("speed", 1)
_started_ms = now_ms()
if surroundings.get("key") == "live":
    import _key  # its heap only where somebody presses

    surroundings["key"] = _key.Key(_FOLDER + "/key", since_reset_ms)
if _FOLDER:
    utime.sleep_us(surroundings["boot_ms"] * 1000 // speed)  # silicon starts slowly; the key moves meanwhile
    trace("start", reset_cause=surroundings["reset_cause"], wake_reason=surroundings["wake_reason"])
