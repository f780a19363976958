"""The link as MQTT 3.1.1 over Wi-Fi: publish once at QoS 1, hear the PUBACK and one answer, and be gone.

A silent access point or broker would drain the battery, so one deadline stands over everything, from joining the Wi-Fi
to the last byte read. Every packet of this exchange is shorter than 128 bytes, which makes its length one byte.

With a CA in NVS the broker is called by TLS (tls.py); with a password there, the button signs in as the user of its
eight digits.
"""

import errno
import socket
from time import ticks_add, ticks_diff, ticks_ms

from domino.link import Failed, wifi

DEADLINE_MS = 10_000  # Wi-Fi takes 1 to 4 s to join, the broker well under one
LISTEN_MS = 5_000  # of it at the most for the answer: the cloud takes milliseconds, a loaded one seconds
KEPT = 8  # downlinks, the newest, until they are listened for: a flood of them must not fill the heap
KEEPALIVE_S = 30  # longer than the deadline: no pings
LEASE_S = 12 * 3600  # an address is used again: half of the day for which a home router usually lends it

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90, 0xE0
QOS_1 = 0x02
CLEAN_SESSION, WITH_USER = 0x02, 0xC0
SUBSCRIBE_ID, PUBLISH_ID = b"\x00\x01", b"\x00\x02"


class Link:
    """Where to go stands in NVS: `ssid`, `psk` and `host` as UTF-8, `port`, and perhaps a CA and `pass`."""

    DEADLINE_MS = DEADLINE_MS
    AIR_MS = CONFIRM_MS = 0  # Wi-Fi listens before it talks: no duty cycle

    def __init__(self, nvs, device_id, memory, now):
        self._nvs = nvs
        self._device = b"%08X" % device_id
        self._memory, self._now = memory, now
        self._end_ms = 0
        self._socket = None
        self._stream = None  # the socket, or TLS over it
        self._is_subscribed = False
        self._downlinks = []

    def open(self):
        if self._stream:
            return
        self._end_ms = ticks_add(ticks_ms(), DEADLINE_MS)
        memory = self._memory
        known, memory.air = memory.air, b""  # forgotten until the broker has answered by this way
        if self._now - memory.air_at >= LEASE_S:
            known = known[: wifi.POINT_SIZE]
        try:
            found = wifi.join(self._setting("ssid"), self._setting("psk"), self._end_ms, known)
            self._call(self._setting("host"), self._nvs.get_i32("port"))
        except OSError as error:
            raise _failed(error)
        memory.air = found
        if found != known:
            memory.air_at = self._now

    def radiate(self, message, listens):
        """Returns once the broker has the message."""
        try:
            if listens and not self._is_subscribed:
                self._subscribe(b"air/" + self._device + b"/down")
            self._publish(b"air/" + self._device + b"/up", message)
        except OSError as error:
            raise _failed(error)

    def listen(self):
        """The next downlink; None when the window has closed."""
        if self._is_subscribed:  # the window opens with the first look
            self._is_subscribed = False
            self._end_ms = ticks_add(ticks_ms(), min(LISTEN_MS, ticks_diff(self._end_ms, ticks_ms())))
        try:
            if not self._downlinks:
                self._await(PUBLISH)
            return self._downlinks.pop(0)
        except (OSError, Failed):
            return None

    def close(self):
        if self._stream:
            try:
                self._stream.write(bytes((DISCONNECT, 0)))
            except OSError:
                pass  # the broker left first
            self._stream.close()
        if self._socket and self._socket is not self._stream:
            self._socket.close()
        wifi.leave()

    def _call(self, host, port):
        self._socket = self._stream = plain = socket.socket()
        self._timed()
        plain.connect(socket.getaddrinfo(host, port)[0][-1])
        if self._uses_tls():
            from domino.link import tls  # its heap only where it is wanted

            self._timed()
            self._stream = tls.secured(plain, self._nvs, host)
        self._send(CONNECT, self._who())
        if self._await(CONNACK)[-1]:
            raise Failed("broker: refused")

    def _who(self):
        """The body of CONNECT."""
        flags, sign_in = CLEAN_SESSION, b""
        try:
            password = bytearray(64)
            password = password[: self._nvs.get_blob("pass", password)]
            flags, sign_in = flags | WITH_USER, _text(self._device) + _text(password)
        except OSError:
            pass  # a broker that lets everybody in
        return _text(b"MQTT") + bytes((4, flags, 0, KEEPALIVE_S)) + _text(self._device) + sign_in

    def _subscribe(self, topic):
        self._send(SUBSCRIBE, SUBSCRIBE_ID + _text(topic) + b"\x00")  # QoS 0: nobody repeats into a closed window
        if self._await(SUBACK)[-1] & 0x80:
            raise Failed("broker: refused the subscription")
        self._is_subscribed = True

    def _publish(self, topic, message):
        self._send(PUBLISH | QOS_1, _text(topic) + PUBLISH_ID + message)
        while self._await(PUBACK) != PUBLISH_ID:
            pass

    def _await(self, kind):
        """The body of the next packet of this kind. A downlink may come before the PUBACK, and is kept."""
        while True:
            first, length = self._read(2)
            if not 2 <= length < 0x80:
                raise Failed("broker: not what was asked for")
            body = self._read(length)
            if first & 0xF0 == PUBLISH:
                self._downlinks = self._downlinks[1 - KEPT :] + [bytes(body[2 + body[1] :])]
            if first & 0xF0 == kind:
                return body

    def _send(self, first, body):
        self._timed().write(bytes((first, len(body))) + body)

    def _read(self, size):
        """Byte by byte, each with what is left of the time: a broker that dribbles cannot stretch the deadline."""
        data = bytearray(size)
        view = memoryview(data)
        for at in range(size):
            if not self._timed().readinto(view[at : at + 1]):
                raise Failed("broker: closed the connection")
        return data

    def _timed(self):
        """The stream, with what is left of the time as its time-out."""
        left_ms = ticks_diff(self._end_ms, ticks_ms())
        if self._socket is None or self._stream is None or left_ms <= 0:
            raise OSError(errno.ETIMEDOUT)
        self._socket.settimeout(left_ms / 1000)
        return self._stream

    def _setting(self, name):
        value = bytearray(64)
        try:
            return value[: self._nvs.get_blob(name, value)].decode()
        except OSError:
            raise Failed("no %s in NVS" % name)

    def _uses_tls(self):
        try:
            return self._nvs.get_i32("ca_size") > 0
        except OSError:
            return False


def _failed(error):
    return Failed(errno.errorcode.get(error.errno, str(error)))


def _text(data):
    return bytes((0, len(data))) + data
