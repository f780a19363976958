"""The card beside the letterbox: gestures, and lights as the firmware's own table has them.

`python -m simulator.board.card > docs/button-card.svg` writes it, A6, to be printed.
"""

import json

from simulator.board import vm

GESTURES = (
    ("click 1 to 7 times", "that many parcels wait"),
    ("hold until the light goes out", "take my request back"),
    ("click, then hold", "what became of it?"),
)
LIGHTS = (
    ("accepted", "It is an order."),
    ("cancelled", "Your request is taken back."),
    ("unclaimed", "Nobody has claimed this button: use its claim code."),
    ("refused", "No pickup from here: see your account."),
    ("state", "Then 1 confirm it, 2 confirmed, 3 today, 4 collected, 5 failed."),
    ("sent-not-confirmed", "Sent, no answer yet: see your account."),
    ("not-sent", "No link: kept, and tried again for a day."),
    ("not-kept", "Too much waits: this press does not count."),
    ("unprovisioned", "This button has no key."),
)
MM_A_SECOND = 14
ROW_MM = 7
WIDTH_MM, HEIGHT_MM = 148, 105  # A6


def patterns() -> dict[str, list[int]]:
    """Name of a light: how long it is lit, dark, lit, … in ms."""
    return json.loads(vm.run_on_vm(vm.STAND_INS / "_lights.py", ""))


def draw(lights: dict[str, list[int]]) -> str:
    rows = [text(8, 11, "Domino: the button and its light", "title")]
    for at, (do, meaning) in enumerate(GESTURES):
        rows += [text(8, 19 + 6 * at, do), text(62, 19 + 6 * at, meaning)]
    for at, (name, meaning) in enumerate(LIGHTS):
        middle = 41 + ROW_MM * at
        rows += [*flashes(lights[name], middle), text(44, middle + 1, meaning)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM}mm" height="{HEIGHT_MM}mm" '
        f'viewBox="0 0 {WIDTH_MM} {HEIGHT_MM}">\n'
        "<style>text{font:3.1px sans-serif;fill:#111}.title{font-weight:bold;font-size:4.5px}rect{fill:#111}</style>\n"
        f'<rect width="{WIDTH_MM}" height="{HEIGHT_MM}" style="fill:#fff;stroke:#111;stroke-width:.4"/>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def flashes(pattern: list[int], middle: float) -> list[str]:
    """A bar as long as each flash."""
    bars, at = [], 0
    for index, ms in enumerate(pattern):
        if index % 2 == 0:
            left, width = 8 + at * MM_A_SECOND / 1000, ms * MM_A_SECOND / 1000
            bars.append(f'<rect x="{left:.2f}" y="{middle - 1.5}" width="{width:.2f}" height="3"/>')
        at += ms
    return bars


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}"' + (f' class="{style}"' if style else "") + f">{words}</text>"


if __name__ == "__main__":
    print(draw(patterns()), end="")  # noqa: T201  its output is the card
