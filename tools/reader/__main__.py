"""`python -m tools.reader`: train the glyph network, measure it, write lattices and pictures to measure others with."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from cloud.stamps.model import ALPHABET
from cloud.stamps.reader import network
from tools.reader import data, figures, pictures

BUILD = Path(__file__).parents[2] / "build"
DOC = Path(__file__).parents[2] / "docs" / "stamp-reader.md"
EXAMPLES = Path(__file__).parents[2] / "tests" / "cloud" / "stamps" / "reader" / "outputs.npz"
FIRST, LAST = "<!-- figures: written by `python -m tools.reader figures` -->", "<!-- end of figures -->"
SEED = 20_161  # Domino's year and a one

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
Fonts = Annotated[Path, typer.Option(help="A folder of fonts like handwriting, searched through.", exists=True)]
Out = Annotated[Path, typer.Argument(help="The file or folder to write.")]


class Source(StrEnum):
    FIGURES = "figures"
    CALIBRATION = "calibration"


@app.command()
def train(
    data_folder: Annotated[Path, typer.Option("--data", exists=True)],
    fonts: Fonts,
    steps: Annotated[int, typer.Option(help="Batches of 128.")] = 1_700,
    seed: int = SEED,
    out: Path = network.WEIGHTS,
) -> None:
    """Train from nothing, calibrate, write the weights. The same seed and machine give the same weights."""
    from tools.reader import train as training  # JAX comes with `pip install -e .[train]`, for this alone

    emnist = data.emnist(data_folder)
    glyphs = list(data.font_glyphs(data.font_files(fonts, held_out=False)))
    BUILD.mkdir(exist_ok=True)
    trained, told = training.train(emnist, glyphs, steps, seed, BUILD)
    path = BUILD / f"reader-{steps}.npz"
    network.save(trained, path)
    print(json.dumps(told))
    adopt(path, data_folder, out)


@app.command()
def adopt(
    trained: Annotated[Path, typer.Argument(help="What `train` wrote: build/reader-STEPS.npz.", exists=True)],
    data_folder: Annotated[Path, typer.Option("--data", exists=True)],
    out: Path = network.WEIGHTS,
) -> None:
    """Calibrate what was trained, make it the reader's network, and keep what JAX makes of it for the tests."""
    from tools.reader import train as training

    emnist = data.emnist(data_folder)
    calibrated = figures.calibrate(network.load(trained), *data.cut(emnist, data.Part.CALIBRATION))
    network.save(calibrated, out)
    examples = (data.cut(emnist, data.Part.FIGURES)[0][::500][:24] * 255).round().astype(np.uint8)
    outputs = training.reference(network.load(out), examples.astype(np.float32) / 255)
    np.savez_compressed(EXAMPLES, allow_pickle=False, glyphs=examples, outputs=outputs)
    print(json.dumps({"temperature": round(calibrated.temperature, 3), "bytes": out.stat().st_size}))


@app.command()
def lattices(
    out: Out,
    data_folder: Annotated[Path, typer.Option("--data", exists=True)],
    count: int = 40_000,
    source: Source = Source.FIGURES,
    seed: int = SEED,
) -> None:
    """Codes of held-out glyphs, read: `posteriors` float32 (n, 8, 32) and `truth`, for `domino stamp evaluate`."""
    part = data.Part.FIGURES if source is Source.FIGURES else data.Part.CALIBRATION
    made = figures.draw_lattices(network.load(), data.emnist(data_folder), part, count, np.random.default_rng(seed))
    np.savez_compressed(out, allow_pickle=False, posteriors=made.posteriors, truth=np.array(made.truth))


@app.command("pictures")
def make_pictures(
    out: Out,
    data_folder: Annotated[Path, typer.Option("--data", exists=True)],
    each: Annotated[int, typer.Option(help="Pictures of each kind.")] = 4,
    source: Source = Source.FIGURES,
    seed: int = SEED,
) -> None:
    """Pictures of codes in held-out glyphs; a file's name is its kind and its code."""
    part = data.Part.FIGURES if source is Source.FIGURES else data.Part.CALIBRATION
    pools = data.emnist(data_folder).part(part)
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for _ in range(each):
        for kind in pictures.Kind:
            code = pictures.draw_code(random)
            made = pictures.make(code, pictures.pick(pools, code, random), kind, random)
            (out / f"{kind}-{code}.jpg").write_bytes(made.picture)


@app.command("figures")
def measure(
    data_folder: Annotated[Path, typer.Option("--data", exists=True)],
    fonts: Fonts,
    codes: int = 20_000,
    each: Annotated[int, typer.Option(help="Pictures of each kind.")] = 200,
    seed: int = SEED,
    write: Annotated[bool, typer.Option(help="Put them into docs/stamp-reader.md.")] = False,
) -> None:
    """Measure the network and the whole reader on what was held out."""
    emnist, net = data.emnist(data_folder), network.load()
    pools = emnist.part(data.Part.FIGURES)
    drawn: dict[str, list[Any]] = {symbol: [] for symbol in ALPHABET}
    for symbol, ink in data.font_glyphs(data.font_files(fonts, held_out=True)):
        drawn[symbol].append(ink)
    kinds = list(pictures.Kind)
    random = np.random.default_rng(seed)
    parts = [
        _table({"single glyphs": figures.of_glyphs(net, emnist)}),
        _table(
            {"eight glyphs": figures.of_codes(figures.draw_lattices(net, emnist, data.Part.FIGURES, codes, random))}
        ),
        _table(figures.of_pictures(pools, kinds, each, seed)),
        _table({f"fonts, {k}": v for k, v in figures.of_pictures(drawn, kinds, max(1, each // 4), seed).items()}),
        _table({f"{n} half-way": figures.of_half_way(pools, each, n, seed) for n in (2, 3, 4)}),
    ]
    text = "\n\n".join(parts)
    print(text)
    if write:
        before, rest = DOC.read_text().split(FIRST)
        DOC.write_text(f"{before}{FIRST}\n{text}\n{LAST}{rest.split(LAST)[1]}")


def _table(rows: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in rows.items():
        values = [
            f"{v:,.0f}".replace(",", " ") if v > 1 or c in ("codes", "pictures") else f"{v:.4f}" for c, v in row.items()
        ]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    app()
