"""The story of one wake: why awake, gesture, counter, seal, link, answer, light, sleep."""

import sys
from time import sleep_ms, ticks_diff, ticks_ms

from domino import counter, identity, light, link, uplink
from domino.gesture import Gesture

POLL_MS = 5  # how often the key is looked at: some five looks before a change is believed
RELEASE_MS = 2_000  # how long to wait, before sleeping, for a key that is still down
STUCK_SLEEP_MS = 60_000  # then look again this often: 0.3 s awake a minute costs a jammed key's day some 5 mAh


def run(board):
    """Live one wake and sleep again, whatever happened. Only Ctrl-C, somebody on the USB cable, leaves it awake."""
    try:
        wake(board)
    except Exception as bug:
        sys.print_exception(bug)
    sleep(board)


def wake(board):
    why = board.why_awake()
    say("wake", why)
    if why == "reset":
        send(board, "boot")
        return
    kind, parcels = read_gesture(board) if why == "press" else (None, 0)
    say("gesture", kind or "none", parcels or "")
    if kind:
        light.count(board.led, parcels)
        send(board, kind, parcels)


def send(board, kind, parcels=0):
    try:
        nvs = board.nvs()
        button = identity.read(nvs)
        count = counter.advance(nvs)
    except identity.Unprovisioned:
        show(board, "unprovisioned")
        return
    say("counter", count)
    readings = board.battery_mv(), board.temperature_c(), board.reset_cause(), board.link_failures()
    message = uplink.seal(button, count, kind, parcels, *readings)
    say("uplink", message.hex())
    show(board, *deliver(board, button, count, kind, message))


def read_gesture(board):
    """Watch the key until it has said something: (kind, parcels), or (None, 0)."""
    gesture = Gesture(board.key_is_down())
    seen_at = ticks_ms()
    while not gesture.is_over:
        board.led(not gesture.is_hold)  # lit: click on; dark while held: let go, understood
        sleep_ms(POLL_MS)
        now = ticks_ms()
        gesture.feed(board.key_is_down(), ticks_diff(now, seen_at))
        seen_at = now
    board.led(False)
    return gesture.kind, gesture.parcels


def deliver(board, button, count, kind, message):
    """Radiate the message and hear what becomes of it: the light to show, and its argument."""
    radio = board.link(button.id)
    try:
        radio.radiate(message)
        say("link", "radiated")
        board.set_link_failures(0)
        status, argument = (None, 0) if kind == "boot" else hear(radio, button, count)
    except link.Failed as why:
        say("link", "failed", why)
        board.set_link_failures(board.link_failures() + 1)
        return "not-sent", 0
    finally:
        radio.close()
    return (status, argument) if status in light.ANSWERS else ("sent-not-confirmed", 0)


def hear(radio, button, count):
    """The answer to message `count`. A downlink whose seal does not fit is no answer: keep listening."""
    while True:
        downlink = radio.listen()
        say("downlink", downlink.hex() if downlink else "none")
        status, argument = uplink.open_answer(button, count, downlink) if downlink else (None, 0)
        if status or not downlink:
            say("answer", status or "none", argument if status else "")
            return status, argument


def show(board, name, argument=0):
    say("light", name)
    light.show(board.led, name, argument)


def sleep(board):
    """Until the key is pressed. A key that is still down would wake us at once: then for a while, and look again."""
    waiting_since = ticks_ms()
    while board.key_is_down() and ticks_diff(ticks_ms(), waiting_since) < RELEASE_MS:
        sleep_ms(POLL_MS)
    stuck = board.key_is_down()
    say("sleep", "key-stuck" if stuck else "until-pressed")
    board.sleep(STUCK_SLEEP_MS if stuck else None)


def say(step, *values):
    print("domino:", step, *(value for value in values if value != ""))
