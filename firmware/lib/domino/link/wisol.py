"""The link as Sigfox, by a Wisol SFM10R1 or SFM11R2 on a UART: 9600 8N1, commands end in CR, answers in lines.

`OK` means radiated, no more. The modem itself keeps the Sigfox times: three replicas (6 s), and where an answer is
asked for, 20 s of waiting and 25 s of listening. A window that closes in silence is told as an error although the
message was sent, and must never be taken for a reason to send again. The modem sleeps between messages; a UART break
wakes it.
"""

from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

from domino.link import Failed

POLL_MS = 10
WAKE_MS = 100  # from the break to a modem that listens
HELLO_MS, HELLOS = 1_000, 3
SEND_MS = 15_000  # three replicas take 6 to 9 s
LISTEN_MS = 60_000  # from the command to RX: sending, 20 s of waiting, 25 s of listening, and some air
LONGEST_LINE = 64
NO_ANSWER = "ERR_SFX_ERR_SEND_FRAME_WAIT_TIMEOUT"  # the window closed; the message was sent


class Link:
    DEADLINE_MS = HELLOS * (HELLO_MS + WAKE_MS) + 3 * SEND_MS + LISTEN_MS  # what does not fit in waits for its turn
    AIR_MS = 6_240  # 26 bytes at 100 bit/s, three times
    CONFIRM_MS = 5_280  # the confirmation of a downlink: 22 bytes at 100 bit/s, counted as three replicas

    def __init__(self, uart):
        self._uart = uart
        self._end_ms = 0
        self._is_open = False
        self._listens = False  # a downlink may still come
        self._downlink = None
        self._line = b""

    def open(self):
        if self._is_open:
            return
        self._end_ms = ticks_add(ticks_ms(), self.DEADLINE_MS)
        for _ in range(HELLOS):
            self._uart.sendbreak()
            sleep_ms(WAKE_MS)
            self._uart.read()  # what a waking modem babbles
            self._line = b""
            self._command("AT")
            if self._line_in(HELLO_MS, ("OK",)):
                self._is_open = True
                return
        raise Failed("modem: silent")

    def radiate(self, message, listens):
        if ticks_diff(self._end_ms, ticks_ms()) < SEND_MS:
            raise Failed("modem: no time left")
        self._listens, self._downlink = listens, None
        self._command("AT$SF=" + message.hex() + (",1" if listens else ""))
        line = self._line_in(LISTEN_MS if listens else SEND_MS, ("OK", "ERR", "RX=", "+RX"))
        if line is None:
            raise Failed("modem: no answer")
        if line.startswith(NO_ANSWER):
            self._listens = False
        elif line.startswith("ERR"):
            raise Failed("modem: " + line)
        elif line != "OK":
            self._downlink = self._read_downlink(line)

    def listen(self):
        if self._downlink is None and self._listens:
            line = self._line_in(LISTEN_MS, ("RX=", "+RX", "ERR"))
            self._downlink = self._read_downlink(line) if line else None
        downlink, self._downlink = self._downlink, None
        self._listens = self._listens and downlink is not None
        return downlink

    def close(self):
        self._command("AT$P=1")  # no need to hear its OK

    def _read_downlink(self, line):
        """`RX=01 23 …`, `+RX=01 23 …`, or between `+RX BEGIN` and `+RX END`: 8 bytes; else None."""
        if line.startswith("+RX BEGIN"):
            line = self._line_in(HELLO_MS, ("",)) or ""
        self._listens = False  # one message has one answer
        digits = line.split("=")[-1].replace(" ", "")
        try:
            return bytes(int(digits[at : at + 2], 16) for at in range(0, len(digits), 2))
        except ValueError:
            return None  # `ERR…`, `+RX END`, or noise

    def _command(self, text):
        self._uart.write(text.encode() + b"\r")

    def _line_in(self, within_ms, starts):
        """The next line that starts with one of these; None when the time is over. Everything else is noise."""
        until = ticks_add(ticks_ms(), within_ms)
        while ticks_diff(until, ticks_ms()) > 0 and ticks_diff(self._end_ms, ticks_ms()) > 0:
            byte = self._uart.read(1) if self._uart.any() else None
            if byte is None:
                sleep_ms(POLL_MS)
            elif byte not in (b"\r", b"\n"):
                self._line = (self._line + byte)[-LONGEST_LINE:]
            elif self._line:
                line, self._line = self._line, b""
                text = _ascii(line)
                if text.startswith(starts):
                    return text
        return None


def _ascii(line):
    return "".join(chr(byte) for byte in line if 32 <= byte < 127)
