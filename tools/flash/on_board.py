"""What the flashing tool asks of a board: sent to the prompt of its MicroPython, and called there.

The order of what is written keeps every counter from being used twice, wherever the cable or the power goes
(docs/decisions/0015): the old key goes first and the new one comes last. The ticket is there before, and as long as it
is, the key that it was drawn for has not been here.
"""

import hashlib
import json  # noqa: F401 for the caller, who prints its answers with it
import os
import sys
from binascii import hexlify, unhexlify
from time import sleep_ms, ticks_diff, ticks_ms

import esp32
import machine

NUMBERS = ("id", "gen", "ctr", "port", "ca_size", "hours", "fall")
BLOBS = ("key", "ctr", "kept", "link", "ssid", "psk", "host", "ca", "pass")
SETTINGS = ("link", "ssid", "host", "port", "ca_size", "hours")  # that may be told; the password may not
KEY_SIZE, BLOB_SIZES = 16, (64, 512, 4096)  # bytes; a buffer of the largest is made only where it is needed
NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND
A_MAIN = 256  # bytes of a main.py that tell whose it is
MAIN, MODULES = "/main.py", "/lib/domino"
POLL_MS = 5


def report():
    """What this board is, and what it holds but for its secrets."""
    key, kept, ca = blob("key"), blob("kept"), blob("ca")
    id, gen = number("id"), number("gen")
    free = os.statvfs("/")
    return {
        "board": hexlify(machine.unique_id()).decode(),
        "machine": sys.implementation._machine,
        "version": ".".join(str(part) for part in sys.implementation.version[:3]),
        "bytecode": sys.implementation._mpy & 0xFF,
        "lacks": [name for name in ("NVS", "wake_on_ext0", "raw_temperature") if not hasattr(esp32, name)],
        "free": free[0] * free[3],
        "id": None if id is None else id & 0xFFFFFFFF,
        "generation": gen,
        "counter": unsigned("ctr"),
        "fingerprint": None if key is None or len(key) != KEY_SIZE or None in (id, gen) else fingerprint(id, gen, key),
        "ticket": text("ticket"),
        "kept": hexlify(kept).decode() if kept else "",
        "settings": {name: number(name) if name in NUMBERS else text(name) for name in SETTINGS},
        "ca": None if ca is None else hexlify(hashlib.sha256(ca).digest()).decode(),
        "has_password": blob("psk") is not None,
        "has_account": blob("pass") is not None,
    }


def fingerprint(id, gen, key):
    told = b"domino key fingerprint" + (id & 0xFFFFFFFF).to_bytes(4, "big") + bytes((gen,)) + key
    return hexlify(hashlib.sha256(told).digest()[:8]).decode()


def files():
    """Ours, with the SHA-256 of each, and whether a main.py is somebody else's."""
    found = {}
    walk(MODULES, found)
    foreign = False
    if is_there(MAIN):
        found[MAIN] = sha256(MAIN)
        with open(MAIN, "rb") as file:
            foreign = b"from domino import" not in file.read(A_MAIN)
    return {"files": found, "foreign_main": foreign}


def walk(folder, found):
    if is_there(folder):
        for name, kind, *_ in os.ilistdir(folder):
            path = folder + "/" + name
            if kind == 0x4000:
                walk(path, found)
            else:
                found[path] = sha256(path)


def sha256(path):
    state, part = hashlib.sha256(), bytearray(512)
    with open(path, "rb") as file:
        while True:
            size = file.readinto(part)
            if not size:
                return hexlify(state.digest()).decode()
            state.update(memoryview(part)[:size])


def is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def make_folders():
    for folder in ("/lib", MODULES, MODULES + "/link"):
        if not is_there(folder):
            os.mkdir(folder)


def remove(paths):
    for path in paths:
        if is_there(path):
            os.remove(path)


def remove_firmware():
    """All of it; what is somebody else's stays."""
    found = files()
    remove([path for path in found["files"] if path != MAIN or not found["foreign_main"]])
    for folder in (MODULES + "/link", MODULES):
        if is_there(folder):
            try:
                os.rmdir(folder)
            except OSError:
                pass  # a folder of somebody else is in it


# Flash of the firmware's own


def number(name):
    try:
        return store().get_i32(name)
    except OSError:
        return None


def unsigned(name):
    value = number(name)
    return None if value is None else value & 0xFFFFFFFF


def blob(name):
    for size in BLOB_SIZES:
        value = bytearray(size)
        try:
            return bytes(memoryview(value)[: store().get_blob(name, value)])
        except OSError as error:
            if error.args[0] == NOT_FOUND:
                break
    return None


def text(name):
    value = blob(name)
    return None if value is None else value.decode()


def store():
    return esp32.NVS("domino")


def draw(ticket):
    """Say that the key which this ticket is for has not been here."""
    nvs = store()
    nvs.set_blob("ticket", ticket.encode())
    nvs.commit()


def become(id, gen, key, settings):
    """Make this board that button, its counter at its beginning. Gives the fingerprint of the key as it stands here."""
    nvs = store()
    for name in ("key", "ctr", "kept", "fall"):
        erase(nvs, name)
    machine.RTC().memory(b"")
    write(nvs, {"id": id, "gen": gen})
    write(nvs, settings)
    write(nvs, {"ctr": 0})
    nvs.set_blob("key", unhexlify(key))
    nvs.commit()
    erase(nvs, "ticket")
    return report()["fingerprint"]


def set_up(settings):
    write(store(), settings)


def write(nvs, values):
    """Numbers as they are, texts in UTF-8, the CA from hex; None erases."""
    for name, value in values.items():
        if value is None:
            erase(nvs, name)
        elif name in NUMBERS:
            nvs.set_i32(name, value - (1 << 32) if value >> 31 else value)
        else:
            nvs.set_blob(name, unhexlify(value) if name == "ca" else value.encode())
    nvs.commit()


def wipe():
    """Of the button nothing stays. The ticket goes first: it would say that the key has not been here."""
    nvs = store()
    for name in ("ticket",) + BLOBS + NUMBERS:
        erase(nvs, name)
    machine.RTC().memory(b"")


def erase(nvs, name):
    try:
        nvs.erase_key(name)
    except OSError:
        return  # there is none
    nvs.commit()


# The self-test


def test_seal(button, count, message):
    """What the firmware makes of a vector, under the vector's own key."""
    from domino import identity, uplink

    id, gen, key = button
    return hexlify(uplink.seal(identity.Identity(id, gen, unhexlify(key)), count, *message)).decode()


def test_battery():
    return the_board().battery_mv()


def test_light(times):
    from domino import light

    light.count(the_board().led, times)


def test_key(within_ms):
    """ "pressed", "held" when it never came up again, or "nothing"."""
    board, since = the_board(), ticks_ms()
    was_down = False
    while ticks_diff(ticks_ms(), since) < within_ms:
        is_down = board.key_is_down()
        if was_down and not is_down:
            return "pressed"
        was_down = is_down
        sleep_ms(POLL_MS)
    return "held" if was_down else "nothing"


class Settings:
    """Those that are to be, before those in flash."""

    def __init__(self, told):
        self._told = told

    def get_i32(self, name):
        value = self._told.get(name)
        return store().get_i32(name) if value is None else value

    def get_blob(self, name, buffer):
        value = self._told.get(name)
        if value is None:
            return store().get_blob(name, buffer)
        value = unhexlify(value) if name == "ca" else value.encode()
        buffer[: len(value)] = value
        return len(value)


def test_radio(id, link, settings):
    """[whether it works, what it says]: the broker answers over Wi-Fi, or the modem tells its id."""
    from domino.link import Failed

    try:
        return [True, ask_modem() if link == "wisol" else call_broker(id, settings)]
    except (Failed, OSError) as why:
        return [False, str(why)]


def call_broker(id, settings):
    from domino.link import mqtt
    from domino.memory import Memory

    radio = mqtt.Link(Settings(settings), id, Memory(lambda: b"", 0), 0)
    try:
        radio.open()
    finally:
        radio.close()
    return "the broker answers"


def ask_modem():
    from domino import board
    from domino.link import wisol

    uart = machine.UART(board.MODEM_UART, 9600, tx=board.MODEM_TX_PIN, rx=board.MODEM_RX_PIN)
    radio = wisol.Link(uart)
    radio.open()
    uart.write(b"AT$I=10\r")  # its Sigfox id
    line, since = b"", ticks_ms()
    while not line.endswith(b"\r") and ticks_diff(ticks_ms(), since) < 1000:
        line += (uart.read(1) if uart.any() else None) or b""
    radio.close()
    return line.strip().decode()


def the_board():
    from domino.board import Board

    return Board()
