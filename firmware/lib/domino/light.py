"""What the light says, as a table; docs/button.md is its card. A long flash always means that the cloud answered."""

from time import sleep_ms

SHORT, LONG, GAP, FLICKER = 120, 700, 250, 40  # ms; told apart by eye in daylight

# Name: how long it is lit, dark, lit, … in ms.
PATTERNS = {
    "accepted": (LONG,),
    "cancelled": (LONG, GAP, LONG),
    "unclaimed": (LONG, GAP, SHORT),
    "refused": (LONG, GAP, SHORT, GAP, SHORT, GAP, SHORT),
    "state": (FLICKER, FLICKER) * 5 + (LONG,),  # then as many short flashes as the state's number
    "sent-not-confirmed": (SHORT, GAP, SHORT),
    "not-sent": (SHORT, SHORT) * 5 + (SHORT,),
    "not-kept": ((SHORT, SHORT) * 2 + (SHORT, GAP)) * 2 + (SHORT, SHORT) * 2 + (SHORT,),
    "unprovisioned": (FLICKER, FLICKER) * 12 + (FLICKER,),
}
ANSWERS = ("accepted", "cancelled", "unclaimed", "refused", "state")


def show(led, name, argument=0):
    flash(led, PATTERNS[name])
    if name == "state":
        count(led, argument)


def count(led, number):
    for _ in range(number):
        flash(led, (SHORT,))


def flash(led, pattern):
    led(False)
    sleep_ms(GAP)
    for at, ms in enumerate(pattern):
        led(at % 2 == 0)
        sleep_ms(ms)
    led(False)
