"""A link carries 12 bytes out and may bring 8 back. `mqtt.Link` and `wisol.Link` offer the same:

- `open()`: ready to radiate; again is nothing. What fails here has certainly not been radiated.
- `radiate(message, listens)`: returns once it is on the air. What fails here may be on the air.
- `listen()`: the next downlink, or None when the window has closed.
- `close()`: the radio is off.
- `DEADLINE_MS`: no longer than this from open to close, whatever the other side does.
- `AIR_MS`, `CONFIRM_MS`: the air time of a message, and what an answered one costs more.

`open`, `radiate` raise Failed.
"""


class Failed(Exception):
    """The link did not take the message; the text says why."""
