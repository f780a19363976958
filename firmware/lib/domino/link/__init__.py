"""A link radiates a message and hears its answer: `radiate(bytes)`, `listen()` for bytes or None, then `close()`."""


class Failed(Exception):
    """The message may not have been radiated; the text says why."""
