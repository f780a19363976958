"""One end of an MQTT connection, 3.1.1, for paho's client: a socket that reads and writes by the hundred packets.

What comes by the thousand, PUBLISH and PUBACK, is cut out of the bytes here (OASIS MQTT 3.1.1, 2.2 and 3.3); whatever
else comes reaches paho unchanged and in its place. paho would read each head byte by byte and answer packet by packet.
"""

import contextlib
import socket
import ssl
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

AT_ONCE = 262_144  # bytes of a read
PUBLISH, PUBACK = 0x30, 0x40  # first byte of a packet, without its flags
AT_LEAST_ONCE, DUP = 0x02, 0x08  # flags of a PUBLISH
QOS = 0x06  # where its quality of service is: 0x02 for 1

_PUBACK = Struct(">HH")  # head and length, packet id


class Arrived(NamedTuple):
    """A PUBLISH as it came. `mid` is the packet id to acknowledge, 0 at QoS 0."""

    mid: int
    topic: bytes
    payload: bytes


class Line:
    """Owns `sock`, which does not block. paho knows it for a socket; `take` is for who wants the messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._arrived, self._at = b"", 0
        self._more: list[bytes] = []  # behind it, put together once a whole packet is there
        self._lacks = 2  # bytes, until there may be one
        self._theirs = 0  # where paho's packet ends
        self._ended = False
        self._unsent = bytearray()
        self.heard: list[int] = []  # packet ids that the broker has acknowledged
        self.is_dry = True  # nothing can be taken before the socket has more

    def fill(self) -> bool:
        """Read what there is from the socket; False: nothing now."""
        try:
            chunk = self._sock.recv(AT_ONCE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.is_dry = True
            return False
        except OSError:
            chunk = b""  # as an end: what came before it counts
        self._ended = not chunk
        self._more.append(chunk)
        self._lacks -= len(chunk)
        self.is_dry = False
        return True

    def take(self, most: int) -> list[Arrived]:
        """The messages of the whole packets that have arrived, in order: at most so many, and none behind a packet of
        paho's."""
        taken: list[Arrived] = []
        if self._lacks > 0 or self.is_theirs:
            return taken
        data, at, lacks, theirs = b"".join((self._arrived[self._at :], *self._more)), 0, 0, 0
        end = len(data)
        while len(taken) < most:
            if (lacks := at + 2 - end) > 0:
                break
            head, length, body = data[at], data[at + 1], at + 2
            if length > 127:
                length, body = _length(data, at + 1)
            stop = body + length
            if (lacks := stop - end) > 0:
                break
            if head & 0xF4 == PUBLISH and length > 1:  # at QoS 0 or 1
                topic_end = body + 2 + (data[body] << 8 | data[body + 1])
                payload_at = topic_end + (head & QOS)  # the packet id has two bytes, as luck has it
                if payload_at <= stop:
                    mid = data[topic_end] << 8 | data[topic_end + 1] if head & QOS else 0
                    taken.append(Arrived(mid, data[body + 2 : topic_end], data[payload_at:stop]))
                    at = stop
                    continue
            elif head == PUBACK and length == 2:
                self.heard.append(data[body] << 8 | data[body + 1])
                at = stop
                continue
            theirs = stop
            break
        self._arrived, self._at, self._theirs, self._lacks = data, at, theirs or at, lacks
        self._more.clear()
        return taken

    @property
    def is_theirs(self) -> bool:
        """Whether what comes next is for paho: a packet of another kind, or the end of the connection."""
        return self._at < self._theirs or (self._ended and self._lacks > 0)

    def recv(self, most: int) -> bytes:
        """paho's: of its packet alone; nothing once the connection has ended. Raises BlockingIOError in between."""
        if self._at == self._theirs and not self._ended:
            raise BlockingIOError
        given = self._arrived[self._at : min(self._at + most, self._theirs)]
        self._at += len(given)
        return given

    def send(self, data: bytes | bytearray) -> int:
        """Keeps it for `flush`."""
        self._unsent += data
        return len(data)

    def acknowledge(self, mids: Sequence[int]) -> None:
        """PUBACKs, which are to go in the order in which their messages came (4.6)."""
        self.send(b"".join(map(_PUBACK.pack, (PUBACK << 8 | 2,) * len(mids), mids)))

    @property
    def unsent(self) -> bool:
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what the socket takes now; what it does not, stays. Raises OSError of a broken connection."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]

    def pending(self) -> int:
        """paho's: no bytes wait that a select would not tell of. Whoever takes looks at `is_dry`."""
        return 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()  # a DISCONNECT
        self._sock.close()


def publish_packet(topic: bytes, payload: bytes, mid: int) -> bytes:
    """A PUBLISH at QoS 1."""
    length = 2 + len(topic) + 2 + len(payload)
    head = bytearray([PUBLISH | AT_LEAST_ONCE])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + len(topic).to_bytes(2) + topic + mid.to_bytes(2) + payload


def repeated(packet: bytes) -> bytes:
    """The same PUBLISH, marked as one that was sent before."""
    return bytes([packet[0] | DUP]) + packet[1:]


def _length(data: bytes, at: int) -> tuple[int, int]:
    """The remaining length at `at`, of more than one byte, and where the body begins.

    Where it has not all arrived, at least one byte is lacking. Of more than four bytes it is none (2.2.3): such a
    packet is as long as what is there, and paho refuses it.
    """
    length = 0
    for n, byte in enumerate(data[at : at + 4]):
        length |= (byte & 127) << 7 * n
        if byte < 128:
            return length, at + n + 1
    if len(data) < at + 4:
        return 1, len(data)
    return 0, len(data)
