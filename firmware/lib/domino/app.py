"""The story of one wake: why awake, gesture, kept in flash, link, answer, light, sleep."""

import sys
from time import sleep_ms, ticks_diff, ticks_ms

from domino import identity, light, link, uplink
from domino.budget import Budget
from domino.gesture import Gesture
from domino.memory import Memory
from domino.outbox import Full, Outbox

POLL_MS = 5  # how often the key is looked at: some five looks before a change is believed
RELEASE_MS = 2_000  # how long to wait, before sleeping, for a finger that is still on the key
STUCK_SLEEP_S = 60  # then look again this often: 0.3 s awake a minute costs a jammed key's day some 5 mAh
SERVICE_MS = 5_000  # after power-on, for a cable to get in before anything is watched: three tries of mpremote
REOPENED_MS, SERVICE_CAP_MS = 120_000, 600_000  # by a long hold; and no longer than this whatever the key does
RETRY_S, RETRY_CAP_S = 60, 4 * 3600  # doubled each time: some ten attempts in the day that a press is kept
FALLEN_ATTEMPTS = 8  # as if tried so often: an empty battery that a radio brings down is let be for hours
SHOW_MS = 10_000  # the longest light, and waiting for the key, take 6 s


def run(board):
    """Live one wake and sleep again, whatever happened. Only Ctrl-C, somebody on the USB cable, leaves it awake."""
    memory = Memory(board.rtc_memory, board.now_s())
    try:
        wake(board, memory)
    except Exception as bug:
        sys.print_exception(bug)
        postpone(board, memory)
    sleep(board, memory)


def wake(board, memory):
    why = board.why_awake()
    say("wake", why)
    has_hung = note_reset(board, memory) if why == "reset" else False
    kind, parcels = listen_to_finger(board, why)
    is_seen = kind or why == "reset"
    try:
        button = identity.read(board.nvs())
        outbox = Outbox(board.nvs(), button, memory, board.now_s())
        letters = write_letters(board, memory, outbox, kind, parcels, why)
    except identity.Unprovisioned:
        if is_seen:
            show(board, "unprovisioned")
        return
    if letters is None:
        show(board, "not-kept")
        kind, is_seen, letters = None, False, list(outbox.letters)  # those before it: of this one all is said
    if letters and (kind or not has_hung):
        status, argument = deliver(board, memory, button, outbox, letters, bool(kind))
        if is_seen:
            show(board, status, argument)


def note_reset(board, memory):
    """Whether the radio was running when it came: then it may do that again, and waits for its turn."""
    memory.boot_cause = board.reset_cause()
    if memory.radio_ran:
        failed(board, memory, "the radio hung")
        return True
    if memory.is_new and board.has_fallen():
        memory.attempts = FALLEN_ATTEMPTS
        failed(board, memory, "the battery gave way")
        return True
    return False


def listen_to_finger(board, why):
    """The gesture of this wake: (kind, parcels), or (None, 0)."""
    kind, parcels = None, 0
    if why == "press":
        kind, parcels = read_gesture(board)
    elif why == "reset" and not board.is_watchdog():
        kind, parcels = hold_service_window(board)
    if kind or why in ("press", "nothing"):
        say("gesture", kind or "none", parcels or "")
    return kind, parcels


def hold_service_window(board):
    """Stay awake for somebody on the cable. A long hold opens it anew, a click closes it and is a press."""
    opened_at = window_at = ticks_ms()
    window_ms = SERVICE_MS
    say("service", window_ms // 1000)
    while ticks_diff(ticks_ms(), window_at) < window_ms and ticks_diff(ticks_ms(), opened_at) < SERVICE_CAP_MS:
        kind, parcels = read_gesture(board) if board.key_is_down() else (None, 0)
        if kind == "cancel":
            window_at, window_ms = ticks_ms(), REOPENED_MS
            say("service", window_ms // 1000)
        elif kind:
            return kind, parcels
        sleep_ms(POLL_MS)
    return None, 0


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


def write_letters(board, memory, outbox, kind, parcels, why):
    """What is to be radiated now, oldest first. A press is in flash before its light; None: it cannot be kept."""
    now = board.now_s()
    readings = board.battery_mv(), board.temperature_c(), board.reset_cause(), memory.link_failures
    stale = outbox.drop_stale()
    if stale:
        say("dropped", stale)
    if kind in ("pickup", "cancel"):
        try:
            outbox.keep(kind, parcels, readings)
        except Full:
            return None
        light.count(board.led, parcels)
    if kind and why == "reset":
        memory.alive_at = now  # a finger was quicker: `boot` comes next
    letters = list(outbox.letters)
    if kind == "ask":
        letters.append(outbox.seal(kind, 0, readings))
    elif not kind and (why == "reset" or now >= memory.alive_at):
        memory.alive_at = now + board.heartbeat_hours() * 3600
        told = readings[:2] + (memory.boot_cause or board.reset_cause(),) + readings[3:]
        letters.append(outbox.seal("boot" if memory.boot_cause else "alive", 0, told))
    elif not kind and now < memory.retry_at:
        letters = []
    return letters


def deliver(board, memory, button, outbox, letters, is_watched):
    """Radiate the letters and hear what becomes of the last: the light to show, and its argument."""
    radio = board.link(button.id, memory)
    budget = Budget(memory, radio, board.now_s())
    memory.radio_ran = 1
    memory.save()
    if memory.is_new:
        board.mark_fall(True)
    board.watch(radio.DEADLINE_MS + SHOW_MS)
    try:
        listens = False
        for letter in letters:
            if not budget.has_room(is_heartbeat(letter)):
                say("link", "failed", "budget: no more for now")
                postpone(board, memory)
                return "not-sent", 0
            listens = radiate(radio, budget, outbox, letter, is_watched and letter is letters[-1])
            if letter.kind == "boot":
                memory.boot_cause = 0
        memory.link_failures = memory.attempts = 0
        return hear(board, memory, radio, button, letters[-1], listens)
    except Exception as why:
        if not isinstance(why, link.Failed):
            sys.print_exception(why)
        failed(board, memory, why)
        return "not-sent", 0
    finally:
        radio.close()
        board.watch(SHOW_MS)
        memory.radio_ran = 0
        memory.save()
        board.mark_fall(False)


def radiate(radio, budget, outbox, letter, is_watched):
    """Whether it asked for an answer: what a finger waits for does, and `alive`, which may be told its period."""
    listens = (is_watched or letter.kind == "alive") and budget.may_listen(is_heartbeat(letter))
    say("counter", letter.count)
    say("uplink", letter.message.hex())
    radio.open()
    outbox.about_to_radiate(letter)
    budget.spend(listens)
    radio.radiate(letter.message, listens)
    say("link", "radiated")
    outbox.radiated(letter)
    return listens


def hear(board, memory, radio, button, letter, listens):
    """The answer to this letter. A downlink whose seal does not fit is no answer: keep listening."""
    status, argument = None, 0
    downlink = radio.listen() if listens else None
    while downlink:
        say("downlink", downlink.hex())
        status, argument = uplink.open_answer(button, letter.count, downlink)
        downlink = None if status else radio.listen()
    if letter.kind != "boot" and not status:
        say("downlink", "none")
    if letter.kind != "boot":
        say("answer", status or "none", argument if status else "")
    if status == "configure" and 1 <= argument <= 168:
        board.set_heartbeat_hours(argument)
        memory.alive_at = board.now_s()  # one `alive` ahead of its time, which nothing else explains, is the proof
    return (status, argument) if status in light.ANSWERS else ("sent-not-confirmed", 0)


def failed(board, memory, why):
    say("link", "failed", why)
    memory.radio_ran = 0
    memory.link_failures = min(memory.link_failures + 1, 7)
    postpone(board, memory)


def postpone(board, memory):
    memory.retry_at = board.now_s() + min(RETRY_S << memory.attempts, RETRY_CAP_S)
    memory.attempts = min(memory.attempts + 1, 16)
    memory.save()


def is_heartbeat(letter):
    return letter.kind in ("alive", "boot")


def show(board, name, argument=0):
    say("light", name)
    light.show(board.led, name, argument)


def sleep(board, memory):
    """Until the key is pressed or something is due. A key still down would wake us at once: then look again later."""
    waiting_since, patience_ms = ticks_ms(), 0 if board.why_awake() == "timer" else RELEASE_MS
    while board.key_is_down() and ticks_diff(ticks_ms(), waiting_since) < patience_ms:
        sleep_ms(POLL_MS)
    stuck = board.key_is_down()
    due_at = min(memory.alive_at, memory.retry_at) if memory.waiting else memory.alive_at
    due_s = max(RETRY_S, due_at - board.now_s())  # never at once, whatever went wrong
    memory.save()
    say("sleep", "key-stuck" if stuck else "until-pressed")
    board.sleep(min(STUCK_SLEEP_S, due_s) if stuck else due_s, on_key=not stuck)


def say(step, *values):
    print("domino:", step, *(value for value in values if value != ""))
