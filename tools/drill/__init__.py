"""Failures made on purpose, each with a verdict: presses go in, parts are killed, cut off, filled up, and a witness
outside the system counts what came of every press that was acknowledged (docs/drills.md)."""
