# type: ignore  MicroPython's modules and the firmware's
"""What an uplink takes from the heap on the VM: {"what", "port", "answer"} in, {name: bytes} out, as JSON.

Nothing is collected in between, so it is all that would have to be, not what lives at once.
"""

import gc
import json
import socket
import sys

DEVICE_ID, KEY = 0x0012AB34, bytes.fromhex("c2548232035d54ebce408e40d4502faa")
COUNT = 2
WAY = bytes(23)


class Network:
    # A Wi-Fi that is there at once.
    STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_HANDSHAKE_TIMEOUT = 200, 201, 202, 204

    class WLAN:
        IF_STA = 0

        def __init__(self, interface):
            pass

        def active(self, is_active):
            pass

        def config(self, **settings):
            pass

        def ifconfig(self, addresses):
            pass

        def connect(self, ssid, password, *, bssid):
            pass

        def isconnected(self):
            return True


class Nvs:
    def __init__(self, port):
        self._port = port

    def get_blob(self, name, buffer):
        value = {"ssid": b"letterbox", "psk": b"secret", "host": b"127.0.0.1"}.get(name)
        if value is None:
            raise OSError(-4354)
        buffer[: len(value)] = value
        return len(value)

    def get_i32(self, name):
        if name == "port":
            return self._port
        raise OSError(-4354)


class Memory:
    air, air_at = WAY, 0


class Uart:
    # A modem that answers at once; what it says is ready.
    def __init__(self, answer):
        self._answers = {b"AT\r": b"OK\r\n", b"AT$S": b"OK\r\nRX=" + answer + b"\r\n", b"AT$P": b""}
        self._said, self._at = b"", 0

    def sendbreak(self):
        pass

    def write(self, data):
        self._said, self._at = self._answers[data[:4]], 0

    def any(self):
        return len(self._said) - self._at

    def read(self, size=-1):
        if size < 0 or not self.any():
            return None
        self._at += 1
        return self._said[self._at - 1 : self._at]


def uplink_by(link, asked):
    from domino import uplink
    from domino.identity import Identity

    button = Identity(DEVICE_ID, 0, KEY)
    yield "seal"
    message = uplink.seal(button, COUNT, "pickup", 1, 3000, 20, 4, 0)
    yield "link"
    link.open()
    link.radiate(message, True)
    downlink = link.listen()
    link.close()
    yield "answer"
    status, _ = uplink.open_answer(button, COUNT, downlink)
    if status != "accepted":
        raise ValueError(downlink)


def mqtt(asked):
    sys.modules["network"] = Network
    from domino.link import mqtt

    return uplink_by(mqtt.Link(Nvs(asked["port"]), DEVICE_ID, Memory, 0), asked)


def wisol(asked):
    from domino.link import wisol

    return uplink_by(wisol.Link(Uart(asked["answer"].encode())), asked)


def bare_socket(asked):
    # The same packets, ready, and one buffer for what comes.
    topic = b"air/%08X/" % DEVICE_ID
    connect = b"\x10\x14\x00\x04MQTT\x04\x02\x00\x1e\x00\x08%08X" % DEVICE_ID
    subscribe = b"\x82\x16\x00\x01\x00\x11" + topic + b"down\x00"
    publish = b"\x32\x1f\x00\x0f" + topic + b"up\x00\x02" + bytes(12)
    buffer = bytearray(64)
    yield "socket"
    wire = socket.socket()
    wire.connect(socket.getaddrinfo("127.0.0.1", asked["port"])[0][-1])
    for packet, size in ((connect, 4), (subscribe, 5), (publish, 4 + 29)):
        wire.write(packet)
        wire.readinto(buffer, size)
    wire.close()


def bare_uart(asked):
    uart = Uart(asked["answer"].encode())
    send, buffer = b"AT$SF=" + b"00" * 12 + b",1\r", bytearray(64)
    yield "uart"
    for command in (b"AT\r", send, b"AT$P=1\r"):
        uart.write(command)
        at = 0
        while uart.any():
            buffer[at] = uart.read(1)[0]
            at += 1


asked = json.loads(sys.stdin.readline())
steps = {"mqtt": mqtt, "wisol": wisol, "bare socket": bare_socket, "bare uart": bare_uart}[asked["what"]](asked)
taken, name, before = {}, None, 0
gc.collect()
gc.disable()
for following in steps:
    if name is None:
        gc.collect()
    else:
        taken[name] = gc.mem_alloc() - before
    name, before = following, gc.mem_alloc()
taken[name] = gc.mem_alloc() - before
sys.stdout.write(json.dumps(taken) + "\n")
