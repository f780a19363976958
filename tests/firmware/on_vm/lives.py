"""Lives of a button in virtual time: the whole firmware, both links, over a hardware of a few lines in this very VM.

A JSON line each: {"link": "mqtt" or "wisol", "writes_through": bool, "wakes": [a wake, …]}; a wake is {"why": "press",
"timer", "nothing", "power" or "watchdog", "key": [[ms, 1 when down from then on], …], "air": what the network does,
"answer": [status, argument], "noise": [hex, …], "cut": at which boundary the power goes or 0, "pass_s": s asleep
before, "clock_s": by how much somebody sets the clock, "rtc": RTC memory to find, "flash": entries to change, null for
one to lose}. Gives for each line a list of its wakes' events: [ms, what, …].

A cut is followed by "power" and a bite by "watchdog", whatever the plan says.

`air`: "answers", "silent", "absent", "deaf" (there, but takes nothing), "mute" (hears, and does not say so), "hangs".
"""

import builtins
import json
import sys

from domino import ccm

ID, KEY = 0x0012AB34, bytes(range(16))
STATUSES = {1: "accepted", 2: "unclaimed", 3: "cancelled", 4: "refused", 6: "state"}
PACKETS = {0x10: "CONNECT", 0x30: "PUBLISH", 0x80: "SUBSCRIBE", 0xE0: "DISCONNECT"}
OK, ETIMEDOUT = b"OK\r\n", 110


class End(BaseException):
    """The VM is gone; whoever goes on in a `finally` meets it again."""


class World:
    now_ms = 0  # since the reset
    clock_s = 0  # at the reset
    flash = {}
    rtc = b""
    wake = {}
    events = []
    passed = 0
    is_over = False
    watch_ms = 0
    ended = ""


world = World()


def tell(*what):
    if not world.is_over:
        world.events.append((world.now_ms,) + what)


def end(how):
    tell("end", how)
    world.ended = how
    world.is_over = True
    raise End


def boundary():
    if world.is_over:
        raise End
    world.passed += 1
    if world.passed == world.wake["cut"]:
        end("cut")


def pass_ms(ms):
    if world.is_over:
        raise End
    world.now_ms += ms
    if world.now_ms > 1_000_000:
        end("never slept")


def hang():
    world.now_ms = world.watch_ms
    end("bitten")


class Time:
    ticks_ms = staticmethod(lambda: world.now_ms)
    ticks_diff = staticmethod(lambda a, b: a - b)
    ticks_add = staticmethod(lambda a, b: a + b)
    sleep_ms = staticmethod(pass_ms)
    time = staticmethod(lambda: world.clock_s + world.now_ms // 1000)


class Pin:
    IN, OUT, PULL_UP = 1, 3, 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self.id, self.level = id, 0

    def value(self, level=None):
        if level is None:
            down = 0
            for at_ms, is_down in world.wake["key"]:
                down = is_down if at_ms <= world.now_ms else down
            return 1 - down
        if bool(level) != bool(self.level):
            self.level = level
            tell("led", int(level))
        return None


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten=0):
        pass

    def read_uv(self):
        # Another value in every wake, so that a counter used twice would seal other bytes.
        return (1000 + 25 * world.wake["number"] % 1200) * 1000


class RTC:
    def memory(self, data=None):
        if data is None:
            return world.rtc
        boundary()
        world.rtc = bytes(data)
        boundary()
        return None


class WDT:
    def __init__(self, id=0, timeout=5000):
        world.watch_ms = world.now_ms + timeout
        tell("watched for", timeout)

    def feed(self):
        pass


class UART:
    def __init__(self, *_, **__):
        self.said = b""

    def any(self):
        return len(self.said)

    def read(self, size=None):
        size = len(self.said) if size is None else size
        data, self.said = self.said[:size], self.said[size:]
        return data or None

    def sendbreak(self):
        pass

    def write(self, data):
        boundary()
        tell("uart", bytes(data).decode().strip())
        air = world.wake["air"]
        if air == "hangs":
            hang()
        if data == b"AT\r" and air != "absent":
            self.said += OK
        if data.startswith(b"AT$SF=") and air not in ("absent", "deaf"):
            text, _, asks = data[6:-1].partition(b",")
            answers = heard(bytes.fromhex(text.decode()), bool(asks))
            if air != "mute":
                self.said += OK + b"".join(b"RX=" + answer.hex().encode() + b"\r\n" for answer in answers)
            if asks and not answers and air != "mute":
                self.said += b"ERR_SFX_ERR_SEND_FRAME_WAIT_TIMEOUT\r\n"
        boundary()


class Machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    EXT0_WAKE, TIMER_WAKE = 2, 4
    Pin, ADC, RTC, WDT, UART = Pin, ADC, RTC, WDT, UART

    @staticmethod
    def reset_cause():
        return {"power": 1, "watchdog": 3}.get(world.wake["why"], 4)

    @staticmethod
    def wake_reason():
        return {"press": 2, "timer": 4}.get(world.wake["why"], 0)

    @staticmethod
    def deepsleep(ms):
        tell("sleep", ms)
        end("asleep")


class NVS:
    def __init__(self, name):
        self.staged = {}

    def get(self, name, kind):
        value = self.staged.get(name, world.flash.get(name))
        if not isinstance(value, kind):
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return value

    def get_i32(self, name):
        return self.get(name, int)

    def get_blob(self, name, buffer):
        value = self.get(name, bytes)
        if len(value) > len(buffer):
            raise OSError(-4364, "ESP_ERR_NVS_INVALID_LENGTH")
        buffer[: len(value)] = value
        return len(value)

    def set_i32(self, name, value):
        self.put(name, value)

    def set_blob(self, name, value):
        self.put(name, bytes(value))

    def put(self, name, value):
        boundary()
        self.staged[name] = value
        if world.wake["writes_through"]:
            world.flash[name] = value
        boundary()

    def commit(self):
        boundary()
        world.flash.update(self.staged)
        tell("commit", *sorted(self.staged))
        self.staged = {}
        boundary()


class Esp32:
    WAKEUP_ALL_LOW = False
    NVS = NVS
    wake_on_ext0 = staticmethod(lambda pin, level: tell("wakes", pin.id))
    raw_temperature = staticmethod(lambda: 68)


class WLAN:
    IF_STA = 0

    def __init__(self, interface):
        pass

    def active(self, is_active):
        tell("wifi", "on" if is_active else "off")

    def config(self, **_):
        pass

    def connect(self, *_, **__):
        boundary()
        tell("wifi", "connect")
        if world.wake["air"] == "hangs":
            hang()

    def disconnect(self):
        pass

    def ifconfig(self, addresses=None):
        return ("192.168.1.23", "255.255.255.0", "192.168.1.1", "192.168.1.1")

    def scan(self):
        return []

    def isconnected(self):
        return world.wake["air"] != "absent"

    def status(self):
        return 1010 if self.isconnected() else 201


class Network:
    WLAN = WLAN
    STAT_CONNECTING, STAT_GOT_IP, STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND = 1001, 1010, 200, 201
    STAT_WRONG_PASSWORD, STAT_HANDSHAKE_TIMEOUT = 202, 204


class Socket:
    """And the broker at its other end."""

    def __init__(self):
        self.said, self.asks, self.timeout_s = b"", False, 0

    def settimeout(self, seconds):
        self.timeout_s = seconds

    def connect(self, address):
        pass

    def close(self):
        pass

    def readinto(self, buffer):
        if not self.said:
            pass_ms(int(self.timeout_s * 1000) + 1)
            raise OSError(ETIMEDOUT)
        buffer[0] = self.said[0]
        self.said = self.said[1:]
        return 1

    def write(self, data):
        boundary()
        air = world.wake["air"]
        kind = data[0] & 0xF0
        tell("mqtt", PACKETS[kind])
        if air == "deaf":
            pass
        elif kind == 0x10:
            self.said += b"\x20\x02\0\0"
        elif kind == 0x80:
            self.asks = True
            self.said += b"\x90\x03\0\x01\0"
        elif kind == 0x30:
            answers = heard(bytes(data[-12:]), self.asks)
            if air != "mute":
                self.said += b"\x40\x02\0\x02"
                for answer in answers:
                    self.said += bytes((0x30, 3 + len(answer), 0, 1)) + b"d" + answer
        boundary()


class Sockets:
    socket = Socket
    getaddrinfo = staticmethod(lambda host, port: [(0, 0, 0, "", (host, port))])


def heard(message, asks):
    """By the network; gives the downlinks, noise first."""
    tell("heard", message.hex(), asks)
    downlinks = [bytes.fromhex(text) for text in world.wake["noise"]] if asks else []
    if asks and world.wake["air"] == "answers":
        count = int.from_bytes(message[1:3], "big")
        status, argument = world.wake["answer"]
        nonce = b"\1" + ID.to_bytes(4, "big") + count.to_bytes(4, "big") + bytes(4)
        body = bytes((status,)) + argument.to_bytes(2, "big")
        downlinks.append(b"\0" + ccm.seal(KEY, nonce, b"\0", body, 4))
        tell("answered", count, STATUSES.get(status), argument)
    return downlinks


def told(*words, **_):
    tell("say", " ".join(map(str, words[1:])))


def live(wake):
    world.wake, world.events = wake, []
    wake["why"] = {"cut": "power", "bitten": "watchdog"}.get(world.ended, wake["why"])
    world.clock_s = max(0, world.clock_s + world.now_ms // 1000 + wake["pass_s"] + wake["clock_s"])
    world.now_ms = world.passed = 0
    world.is_over = False
    if wake["why"] == "power":
        world.rtc, world.clock_s = b"", 0
    if wake["rtc"] is not None:
        world.rtc = bytes.fromhex(wake["rtc"])
    for name, value in wake["flash"].items():
        world.flash[name] = bytes.fromhex(value) if isinstance(value, str) else value
        if value is None:
            del world.flash[name]
    try:
        app.run(board.Board())
        tell("end", "returned")
    except End:
        pass
    return world.events


for name, stand_in in (
    ("time", Time),
    ("machine", Machine),
    ("esp32", Esp32),
    ("network", Network),
    ("socket", Sockets),
):
    sys.modules[name] = stand_in
say, builtins.print = print, told

from domino import app, board  # noqa: E402  after what they stand on

for line in sys.stdin:
    plan = json.loads(line)
    world.rtc, world.clock_s, world.now_ms, world.ended = b"", 0, 0, ""
    world.flash = {"id": ID, "gen": 0, "key": KEY, "ctr": 1, "port": 1883, "link": plan["link"].encode()}
    world.flash.update(dict.fromkeys(("ssid", "psk", "host"), b"letterbox"))
    lives = []
    for number, wake in enumerate(plan["wakes"]):
        wake["number"], wake["writes_through"] = number, plan["writes_through"]
        lives.append(live(wake))
    say(json.dumps(lives))
