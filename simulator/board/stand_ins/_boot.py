"""What an ESP32 does before the firmware: its flash becomes `/`, then boot.py, main.py and the prompt.

The first byte on the console, which the supervisor takes off, says that Ctrl-C works from here on.
"""

import os
import sys

import micropython
import vfs

PROGRAMS = ("_boot.py", "_codec.py", "_lights.py")
BLOCK, BLOCKS = 4096, 512  # the 2 MB that MicroPython gives its file system on an ESP32 with 4 MB
BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 4, 5, 6  # of MicroPython's ioctl


class Flash:
    """A block device in the host's file flash.img."""

    def __init__(self, path):
        self._file = open(path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK + offset)
        self._file.write(buffer)

    def ioctl(self, what, _):
        return {BLOCK_COUNT: BLOCKS, BLOCK_SIZE: BLOCK, BLOCK_ERASE: 0}.get(what)


class Key:
    """The key as it is now, in the shape of surroundings["key"]: one event, at the reset."""

    def __init__(self, path):
        self._file = open(path, "rb")

    def __iter__(self):
        self._file.seek(0)
        return iter(((0, self._file.read(1) == b"1"),))


def mount():
    import _board

    folder = os.getenv("DOMINO_BOARD")
    _board.surroundings["key"] = Key(folder + "/key")
    for name in os.listdir(sys.path[0]):  # imported while they can be found: below, only flash can
        if name.endswith(".py") and name not in PROGRAMS:
            __import__(name[:-3])
    flash = Flash(folder + "/flash.img")
    vfs.umount("/")
    try:
        vfs.mount(vfs.VfsLfs2(flash), "/")
    except OSError:
        vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]


def run(name):
    """Whether to go on: Ctrl-C ends the start at the prompt, a bug does not."""
    try:
        os.stat(name)
    except OSError:
        return True
    try:
        execfile(name)  # noqa: F821 MicroPython's
    except KeyboardInterrupt as stop:
        sys.print_exception(stop)
        return False
    except Exception as bug:
        sys.print_exception(bug)
    return True


micropython.kbd_intr(-1)
mount()
with_main = os.getenv("DOMINO_BOARD_MAIN") == "1"  # a soft reset from the raw prompt leaves it out
micropython.kbd_intr(3)
print("\x06", end="")
if run("boot.py") and with_main:
    run("main.py")
