"""`domino stamp read`: a picture of a written code, read."""

from pathlib import Path
from typing import Annotated

import typer

from cloud.stamps.model import format_pairs
from tools.terminal import AsJson, Failure, console, print_json

STRINGS = 5  # of the likeliest, printed


def read(
    picture: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.", exists=True, dir_okay=False)],
    annotated: Annotated[
        Path | None, typer.Option(help="Write the picture with boxes and guesses here, as PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a code from a photo or scan. Exit status 1 where no eight symbols were found."""
    from cloud.stamps.reader import picture as pictures  # numpy and OpenCV take half a second
    from cloud.stamps.reader import read as reader

    try:
        seen = reader.read_picture(picture.read_bytes())
    except pictures.Unreadable as error:
        raise Failure(f"{picture}: {error}", 2) from None
    if annotated is not None:
        annotated.write_bytes(reader.annotate(seen))
    strings = [] if seen.lattice is None else reader.likeliest(seen.lattice, STRINGS)
    if as_json:
        print_json(
            {
                "legible": seen.lattice is not None,
                "why": seen.why,
                "quality": round(seen.quality, 4),
                "strings": [{"code": code, "probability": round(p, 6)} for code, p in strings],
                "places": [
                    {"corners": corners, "guesses": dict(seen.guesses[at]) if seen.guesses else {}}
                    for at, corners in enumerate(seen.boxes)
                ],
            }
        )
    elif seen.lattice is None:
        console.print(f"illegible: {seen.why}")
    else:
        for code, probability in strings:
            console.print(f"{format_pairs(code)}  [dim]{probability:7.2%}[/]")
    if seen.lattice is None:
        raise typer.Exit(1)
