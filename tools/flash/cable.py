"""The USB cable to a board: its port, the prompt behind it, and what to do when one of them does not answer.

The board is spoken to by mpremote's own transport, in this process: what is sent stands in no argument list and in no
file (docs/decisions/0014).
"""

import contextlib
import errno
import fcntl
import io
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serial.tools.list_ports
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from tools.terminal import Failure

ON_BOARD = Path(__file__).with_name("on_board.py")
BAUD = 115_200  # of MicroPython's prompt
PATIENCE_S = 10.0  # for an answer: longer than LittleFS ever cleans up
ASLEEP_S = 60.0  # for somebody to wake the board
KNOCK_S = 0.5  # for the prompt of a board that is awake: one that was woken by its key may sleep again after a second
RESTART_S = 10  # for a soft reset, boot.py included
BUSY_S, POLL_S = 1.0, 0.05  # for a program that is just leaving the port
CHUNK = 1024  # bytes of a file at once; the board holds its text, up to four times that
LINUX_GROUP = "dialout"

PUT_MICROPYTHON = (
    "put MicroPython on it: esptool --port {port} erase-flash, then esptool --port {port} write-flash 0x1000 "
    "ESP32_GENERIC.bin (docs/button.md, Flashing)"
)
NOTHING_BOOTS = ("invalid header", "No bootable app", "flash read err", "waiting for download")


class Gone(Failure):
    """The board does not answer any more."""


class Busy(Failure):
    """Another program has the port."""


class Refused(Failure):
    """The board answered with an error; `what` is its last line."""

    def __init__(self, text: str) -> None:
        self.what = text.strip().splitlines()[-1] if text.strip() else "an error without a text"
        super().__init__(f"the board says: {self.what}")


def find_port() -> str:
    """The only port with a USB device on it, as `mpremote connect list` shows them; a `Failure` for none or several."""
    ports = sorted(port.device for port in serial.tools.list_ports.comports() if port.vid is not None)
    if not ports:
        raise Failure(
            "no board on USB: plug it in by a cable that carries data, or name its port, e.g. --port /dev/ttyUSB0"
        )
    if len(ports) > 1:
        raise Failure(f"several boards on USB: name one with --port: {', '.join(ports)}")
    return ports[0]


def check_port(port: str) -> None:
    """A `Failure` that says what to do where the port cannot be opened, which the transport would not tell."""
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Failure(f"there is no port {port}: is the board plugged in? `mpremote connect list` shows them") from None
    except PermissionError:
        raise Failure(
            f"no permission for {port}: sudo usermod -aG {LINUX_GROUP} $USER, then sign out and in again"
        ) from None
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _busy(port) from None
        raise Failure(f"the port {port} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as the transport will
        if not os.isatty(descriptor):
            raise Failure(f"{port} is no serial port: `mpremote connect list` shows them")
    except BlockingIOError:
        raise _busy(port) from None
    finally:
        os.close(descriptor)


def _busy(port: str) -> Busy:
    return Busy(f"the port {port} is in use: close the mpremote, IDE or terminal program that has it")


class _Line(SerialTransport):
    """mpremote's, which waits no longer than it is told to."""

    patience_s = PATIENCE_S

    def exec_raw(
        self, command: str | bytes, timeout: float | None = None, data_consumer: Callable[[bytes], object] | None = None
    ) -> tuple[bytes, bytes]:
        self.exec_raw_no_follow(command)
        return self.follow(timeout or self.patience_s, data_consumer)


class Cable:
    """A board at its prompt, with `on_board.py` loaded."""

    def __init__(self, port: str, line: _Line) -> None:
        self.port = port
        self._line = line

    def call(self, function: str, *arguments: Any, within_s: float = 0) -> Any:
        """Call a function of `on_board.py` and give what it returns. Raises `Gone` and `Refused`."""
        given = json.dumps(json.dumps(arguments))  # a string literal to MicroPython, too
        told = self.run(f"print(json.dumps({function}(*json.loads({given}))))", within_s)
        return json.loads(told.strip().splitlines()[-1])

    def run(self, code: str, within_s: float = 0) -> str:
        with self._speaking():
            said, error = self._line.exec_raw(code, timeout=self._line.patience_s + within_s)
        if error:
            raise Refused(error.decode(errors="replace"))
        return said.decode(errors="replace")

    def write_file(self, path: str, data: bytes, tell: Callable[[int], object]) -> None:
        """`tell` hears how many bytes are there."""
        with self._speaking():
            self._line.fs_writefile(path, data, CHUNK, lambda written, _: tell(written))

    def restart(self) -> None:
        """Let it be a button."""
        with self._speaking():
            self._line.exec_raw_no_follow("import machine; machine.reset()")

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        with _quiet():
            try:
                yield
            except TransportExecError as error:
                raise Refused(error.error_output) from None
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise Failure(
                        "the board's flash is full: `mpremote fs tree -s` shows what is on it; make room"
                    ) from None
                raise _gone(self.port) from None
            except (TransportError, struct.error, ValueError):
                raise _gone(self.port) from None


def _gone(port: str) -> Gone:
    return Gone(f"the board on {port} fell silent: look at cable and power, then run the same command again")


@contextmanager
def connect(
    port: str, tell: Callable[[str], object], *, patience_s: float = PATIENCE_S, asleep_s: float = ASLEEP_S
) -> Iterator[Cable]:
    """The board on `port`, stopped and at its prompt. `tell` hears what to do for one that sleeps."""
    line = _open(port, patience_s)
    try:
        _knock(port, line, tell, asleep_s)
        cable = Cable(port, line)
        try:
            cable.run(ON_BOARD.read_text())
        except Refused as refused:
            raise Failure(f"this is no ESP32 with a MicroPython for it ({refused.what}): {_put(port)}") from None
        yield cable
    finally:
        with contextlib.suppress(OSError):
            line.close()


def _open(port: str, patience_s: float) -> _Line:
    give_up_at = time.monotonic() + BUSY_S
    while True:
        try:
            check_port(port)
            line = _Line(port, BAUD, timeout=patience_s)
            line.patience_s = patience_s
            return line
        except (Busy, TransportError, OSError) as error:
            if time.monotonic() > give_up_at:
                raise (error if isinstance(error, Busy) else _gone(port)) from None
            time.sleep(POLL_S)


def _knock(port: str, line: _Line, tell: Callable[[str], object], asleep_s: float) -> None:
    """Get to the raw prompt, by a soft reset: a clean heap, and main.py is not run."""
    give_up_at, said, was_told = time.monotonic() + asleep_s, "", False
    while True:
        with _quiet() as heard:
            try:
                line.enter_raw_repl(soft_reset=False, timeout_overall=KNOCK_S)  # pyright: ignore[reportArgumentType]  seconds, also parts of one
                line.enter_raw_repl(soft_reset=True, timeout_overall=RESTART_S)
                return
            except TransportError:
                said += heard.getvalue()
            except OSError:
                raise _gone(port) from None
        if any(words in said for words in NOTHING_BOOTS):
            raise Failure(f"there is no MicroPython on the board: {_put(port)}")
        if time.monotonic() > give_up_at:
            raise Failure(
                f"the board on {port} does not answer. If it sleeps: press its key, or take the battery out and in, "
                f"and run this within the 5 s after it. If it never had MicroPython: {_put(port)}"
            )
        if not was_told:
            tell("The board does not answer; it may sleep. Press its reset key (EN) or the button, or cut its power.")
            was_told = True


def _put(port: str) -> str:
    return PUT_MICROPYTHON.format(port=port)


@contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """The transport prints what it did not expect: that might be an echo of what was sent."""
    with contextlib.redirect_stdout(io.StringIO()) as heard:
        yield heard
