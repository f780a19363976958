"""What is told of a run: one table, the same as JSON, and the machine that it was on."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from rich.table import Table

from tests.benchmarks.measure import Role, Row, nearest_rank, seconds

Machine = Mapping[str, str | float | int]
SYNCS = 25


def machine(folder: Path) -> dict[str, str | float | int]:
    """`load`: how many processes want a core; `fsync_ms`: what making 4 KiB durable in `folder` takes, the median."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "fsync_ms": round(fsync_ms(folder), 3),
    }


def fsync_ms(folder: Path) -> float:
    path = folder / "fsync"
    with path.open("wb", buffering=0) as file:

        def append() -> None:
            file.write(bytes(4096))
            os.fsync(file.fileno())

        samples = [seconds(append) * 1000 for _ in range(SYNCS)]
    path.unlink()
    return nearest_rank(samples, 0.5)


def as_json(rows: Sequence[Row], machine: Machine) -> str:
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2, allow_nan=False)


def as_table(rows: Sequence[Row], machine: Machine) -> Table:
    table = Table(caption=", ".join(f"{name} {value}" for name, value in machine.items()))
    for heading in ("benchmark", "", "way"):
        table.add_column(heading)
    for heading in ("figure", "lowest … highest", "ours is"):
        table.add_column(heading, justify="right", no_wrap=True)
    for (benchmark, unit, quantile), group in groupby(rows, key=lambda row: (row.benchmark, row.unit, row.quantile)):
        for at, row in enumerate(group):
            named = "" if at else f"{benchmark}, p{quantile * 100:.0f}, {unit}"
            spread = f"{number(row.lowest)} … {number(row.highest)}"
            table.add_row(named, row.role, row.way, number(row.figure), spread, _compared(row))
        table.add_section()
    return table


def _compared(row: Row) -> str:
    match row.role:
        case Role.OURS:
            return ""
        case Role.PART:
            return f"{row.ratio:.1%} of it"
        case _:
            return f"{number(row.ratio, 2)} ×"


def number(value: float, digits: int = 3) -> str:
    """With `digits` figures that count, and never with an exponent."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:g}"
