"""What the stand-ins share: the surroundings of this wake, the trace, and how a board stops.

The folder named by DOMINO_BOARD holds surroundings.json (from the host), nvs.json, rtc.json and trace.jsonl.
"""

import gc
import json
import os
import time

import vfs

_FOLDER = os.getenv("DOMINO_BOARD")
_HOST = vfs.VfsPosix()  # the host's files, whatever is mounted at /
_STARTED_MS = time.ticks_ms()


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


def since_reset_ms():
    return time.ticks_diff(time.ticks_ms(), _STARTED_MS)


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
    # A place where the power may go, as surroundings["power_cut"] names it: "before nvs_commit", …
    if surroundings["power_cut"] == point:
        stop("power_cut", at=point)


surroundings = load("surroundings.json", {})
time.sleep_ms(surroundings["boot_ms"])  # silicon starts slowly; the key moves meanwhile
trace("start", reset_cause=surroundings["reset_cause"], wake_reason=surroundings["wake_reason"])
