"""A week of ten million buttons, message by message: the load, the workers' queues, and a crash at the worst hour.

`python -m tests.benchmarks.capacity` reckons with the service times below, writes the tables of docs/capacity.md and
draws docs/images/capacity-*.svg; the same seed gives the same figures. `--measure` takes the service times of this
machine first, and tells them. A minute, and 1 GB.

A worker takes whatever waits, up to MOST_IN_A_BATCH, and n messages take it a + b·n seconds: a queue with bulk service
(Bailey 1954; Neuts 1967, "A general class of bulk queues with Poisson input"). Arrivals are Poisson with the rate of
their minute. The workers' shares are dealt out in turn, as a broker's shared subscription does.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sqlalchemy as sa
from numba import njit
from numpy.typing import NDArray

import cloud.stamps.store as stamps
from cloud.database import now as present
from cloud.ingest.receive import Limits, Message, receive
from cloud.ingest.writer import MOST_IN_A_BATCH
from cloud.stamps.lease import Lease
from tests.benchmarks import fleets
from tests.benchmarks.roc import THEMES
from tests.benchmarks.traffic import KEYS, week

ROOT = Path(__file__).parents[2]
DOCUMENT, IMAGES, BUILD = ROOT / "docs" / "capacity.md", ROOT / "docs" / "images", ROOT / "build" / "bench"
FIRST, LAST = "<!-- capacity: written by `python -m tests.benchmarks.capacity` -->\n", "<!-- end of capacity -->\n"

Times = NDArray[np.float64]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOUR_S, DAY_S, DAYS_A_YEAR = 3600, 86_400, 365.25
MINUTES = 7 * 24 * 60  # of a week
BLOCK_H = 6

# Assumed: whom a postman serves on Monday presses on Monday, what gathered at the weekend with it.
SHARE_OF_DAY = (0.24, 0.17, 0.15, 0.15, 0.16, 0.10, 0.03)
# Of a day: before the round, after work, in between; of Monday nearly all before the round. (share, hour, ± hours)
SHAPE = ((0.50, 7.75, 0.75), (0.30, 18.5, 1.5), (0.20, 13.0, 3.0))
SHAPE_OF_MONDAY = ((0.80, 7.75, 0.75), (0.12, 18.5, 1.5), (0.08, 13.0, 3.0))
# A heartbeat comes every 24 h from the hour at which the button got its battery (firmware/lib/domino/app.py).
INSTALLED_H = (8, 18)

CODES = 32**8
NEAR = 27_157  # codes within distance two of one: a new one must be none of them (docs/stamp.md)
DOWNLINKS_A_STATION_H = (
    0.1 * 3600 / 0.4
)  # 10 % of the time in 869.4 to 869.65 MHz (ETSI EN 300 220); a frame some 0.4 s
STATIONS = 2000  # assumed: of a country such as France
IN_TIME_S = 10.0  # Sigfox takes an answer no later (docs/sigfox.md); MQTT's is for us to choose, and this is half of 20


@dataclass(frozen=True, slots=True)
class Service:
    """What one worker takes for n messages: batch_ms + n · message_us."""

    name: str
    batch_ms: float
    message_us: float
    row_bytes: float = 0.0  # what a message leaves in the database, indexes included

    def seconds(self, messages: float) -> float:
        return self.batch_ms / 1e3 + self.message_us / 1e6 * messages

    @property
    def most(self) -> float:
        """Messages a second, of full batches."""
        return MOST_IN_A_BATCH / self.seconds(MOST_IN_A_BATCH)


# As `--measure` found them on two shared cores (AMD EPYC), for a week's traffic.
LOOP_US = 40.0  # of the inlet's loop, by the row "the worker's loop, only acknowledging"
SERVICES = (Service("SQLite", 3.48, 129, 808), Service("PostgreSQL", 4.83, 219, 1136))


@dataclass(frozen=True, slots=True)
class Load:
    buttons: int = 10_000_000
    presses_a_week: float = 2.0
    heartbeats_a_day: float = 1.0
    advanced: bool = True  # DATA_ADVANCED: the same message again, 25 to 30 s later
    repeated: float = 0.01  # of the rest, that comes twice for another reason
    times: float = 1.0  # presses: Christmas

    @property
    def copies(self) -> float:
        return 1 + self.advanced + self.repeated


@dataclass(frozen=True, slots=True)
class Outage:
    """One worker is gone, or with the database all of them, from `at_s` of the week, for `lasts_s`."""

    lasts_s: float = 5.0  # a supervisor starts it again
    everybody: bool = False
    at_s: float = 7.75 * HOUR_S  # Monday 07:45


@dataclass(frozen=True, slots=True)
class Hour:
    """How long the messages of an hour waited until they were committed."""

    messages: int
    p50_s: float
    p99_s: float
    most_s: float
    late: float  # share of messages that were answered later than IN_TIME_S


def presses_by_minute(load: Load) -> Times:
    """Presses a second in each minute of the week, from Monday 00:00."""
    hour = (np.arange(24 * 60) + 0.5) / 60
    days = []
    for day, share_of_day in enumerate(SHARE_OF_DAY):
        shape = SHAPE if day else SHAPE_OF_MONDAY
        humps = sum(share / width * np.exp(-0.5 * ((hour - at) / width) ** 2) for share, at, width in shape)
        days.append(share_of_day * humps / np.sum(humps))
    return np.concatenate(days) * load.buttons * load.presses_a_week * load.times / 60


def heartbeats_by_minute(load: Load) -> Times:
    hour = (np.arange(24 * 60) + 0.5) / 60
    is_installed = (hour >= INSTALLED_H[0]) & (hour < INSTALLED_H[1])
    day = is_installed / is_installed.sum() * load.buttons * load.heartbeats_a_day / 60
    return np.tile(day, 7)


def messages_by_minute(load: Load) -> Times:
    """What comes in, copies included; those of DATA_ADVANCED half a minute late, which no minute notices."""
    return (presses_by_minute(load) + heartbeats_by_minute(load)) * load.copies


def arrivals(by_minute: Times, from_minute: int, rng: np.random.Generator) -> Times:
    """Seconds of the week at which messages come, in order: Poisson, with a rate for each minute."""
    expected = np.concatenate([[0.0], np.cumsum(by_minute * 60)])
    count = rng.poisson(expected[-1])
    gaps = np.cumsum(rng.standard_exponential(count + 1))  # of `count` points drawn evenly and sorted
    along = gaps[:-1] / gaps[-1] * expected[-1]
    return np.interp(along, expected, (from_minute + np.arange(len(expected))) * 60.0)


@njit(cache=True)
def serve(
    at: Times, free_s: float, a_s: float, b_s: float, most: int, down_s: float, up_s: float, done: Times
) -> tuple[float, int]:
    """One worker: when each message that came `at` is committed, into `done`.

    From `down_s` to `up_s` it is gone, and what it had in hand then comes again. Gives when it is free, and how many
    waited at most.
    """
    begun = waiting = 0
    longest = 0
    count = len(at)
    while begun < count:
        start = max(free_s, at[begun])
        if down_s <= start < up_s:
            start = up_s
        while waiting < count and at[waiting] <= start:
            waiting += 1
        longest = max(longest, waiting - begun)
        taken = min(waiting - begun, most)
        end = start + a_s + b_s * taken
        if start < down_s < end:
            free_s = up_s
            continue
        done[begun : begun + taken] = end
        free_s = end
        begun += taken
    return free_s, longest


@dataclass(frozen=True, slots=True)
class Block:
    """Some hours: when each message came and was committed, in the order of coming."""

    first_hour: int
    came: Times
    done: Times
    longest_queue: int  # that waited for one worker


def blocks(
    load: Load, service: Service, workers: int, *, seed: int = 1, outage: Outage | None = None, only: int | None = None
) -> Iterator[Block]:
    """The week in blocks of BLOCK_H hours, or of these `only` one. Its queues go on where the last one's ended."""
    by_minute = messages_by_minute(load)
    minutes = BLOCK_H * 60
    free_s = [0.0] * workers
    for block in range(MINUTES // minutes) if only is None else [only]:
        rng = np.random.default_rng([seed, block])
        came = arrivals(by_minute[block * minutes : (block + 1) * minutes], block * minutes, rng)
        done, longest = np.empty_like(came), 0
        for worker in range(workers):
            is_down = outage is not None and (outage.everybody or worker == 0)
            down = (outage.at_s, outage.at_s + outage.lasts_s) if outage and is_down else (math.inf, math.inf)
            mine = np.ascontiguousarray(came[worker::workers])
            ends = np.empty_like(mine)
            a_s, b_s = service.batch_ms / 1e3, service.message_us / 1e6
            free_s[worker], queue = serve(mine, free_s[worker], a_s, b_s, MOST_IN_A_BATCH, *down, ends)
            done[worker::workers] = ends
            longest = max(longest, queue)
        yield Block(block * BLOCK_H, came, done, longest)


def hours(block: Block) -> Iterator[Hour]:
    """A block's hours, by when messages came."""
    cuts = np.searchsorted(block.came, (block.first_hour + np.arange(1, BLOCK_H)) * HOUR_S)
    for waited in np.split(block.done - block.came, cuts):
        p50, p99, most = np.quantile(waited, [0.5, 0.99, 1.0]) if len(waited) else (0.0, 0.0, 0.0)
        late = np.count_nonzero(waited > IN_TIME_S) / max(len(waited), 1)
        yield Hour(len(waited), float(p50), float(p99), float(most), late)


def peak(load: Load, service: Service, workers: int, outage: Outage | None = None) -> tuple[Hour, Block]:
    """Monday from 07:00 to 08:00, and its block."""
    (block,) = blocks(load, service, workers, outage=outage, only=7 // BLOCK_H)
    return list(hours(block))[7 % BLOCK_H], block


# What the formulas say of a steady load.


def steady_batch(service: Service, rate: float) -> float:
    """Messages in a batch, of so many a second for one worker: n = λ · (a + b·n), but one at least."""
    left = 1 - rate * service.message_us / 1e6
    return min(max(rate * service.batch_ms / 1e3 / left, 1.0), MOST_IN_A_BATCH) if left > 0 else MOST_IN_A_BATCH


def minting_share(kept: float) -> float:
    """The share of drawn codes that lie far enough from all `kept`."""
    return math.exp(-kept * NEAR / CODES)


# Service times, as a machine has them.

SIZES = (1, 10, 100, 1000)  # messages in a batch
TRIED = 4000  # messages, in batches of each size


def measured(name: str, opened: fleets.Opened, loop_us: float, folder: Path, tried: int = TRIED) -> Service:
    """`receive` and its commit in batches of each size; a and b by least squares of the relative error.

    `loop_us`: what taking a message from the broker and acknowledging it costs the worker beside that.
    """
    sent = week(sum(size * many(size, tried) for size in SIZES))
    with opened(folder, sent.buttons, [sent.presses]) as one_by_one, one_by_one.fresh() as fleet:
        lease = Lease(fleet.leases[0])
        with fleet.engine.begin() as conn:
            lease.fill(stamps.leased(conn, lease.id))
        before, left = size_of(fleet.engine), iter(sent.messages)
        taken = {size: median(timed(fleet.engine, lease, batches(left, size, tried))) for size in SIZES}
        row_bytes = (size_of(fleet.engine) - before) / (len(sent.messages) - sum(1 for _ in left))
    sizes, seconds = np.array(list(taken)), np.array(list(taken.values()))
    design = np.stack([1 / seconds, sizes / seconds], axis=1)
    (a_s, b_s), *_ = np.linalg.lstsq(design, np.ones(len(sizes)), rcond=None)
    return Service(name, round(max(float(a_s), 0) * 1e3, 2), round(float(b_s) * 1e6 + loop_us), round(row_bytes))


def many(size: int, tried: int) -> int:
    """Batches of a size: of as many messages as are tried, and no more than a hundred."""
    return max(min(tried // size, 100), 1)


def batches(messages: Iterator[Message], size: int, tried: int) -> list[list[Message]]:
    return [list(islice(messages, size)) for _ in range(many(size, tried))]


def timed(engine: sa.Engine, lease: Lease, work: Sequence[Sequence[Message]]) -> list[float]:
    taken = []
    for batch in work:
        began = time.perf_counter()
        with engine.begin() as conn:
            receive(conn, batch, keys=KEYS, limits=Limits(), lease=lease, now=present())
        taken.append(time.perf_counter() - began)
    return taken


def size_of(engine: sa.Engine) -> int:
    """Bytes of the database's tables and indexes."""
    postgresql = """
        SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    """
    sqlite = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with engine.connect() as conn:
        return int(conn.exec_driver_sql(sqlite if conn.dialect.name == "sqlite" else postgresql).scalar_one())


# What is written and drawn.


def tables(services: Sequence[Service], load: Load) -> str:
    """In Markdown."""
    return "\n".join([*_load(load), "", *_workers(load, services), "", *_growth(load, services[-1]), ""])


def _load(load: Load) -> list[str]:
    presses, heartbeats, all_copies = presses_by_minute(load), heartbeats_by_minute(load), messages_by_minute(load)
    payload = np.mean([len(topic) + len(body) for topic, body in week(900).published])
    at = int(np.argmax(presses)) % (24 * 60)
    downlinks = presses.max() / STATIONS * HOUR_S
    rows = [("presses", presses), ("heartbeats", heartbeats), ("messages, with all copies", all_copies)]
    return [
        f"The load of {load.buttons / 1e6:.0f} million buttons, a second:",
        "",
        "| | mean | busiest minute |",
        "|---|---:|---:|",
        *(f"| {name} | {rate.mean():,.0f} | {rate.max():,.0f} |" for name, rate in rows),
        f"| Mbit, of {payload:.0f} bytes a message | {all_copies.mean() * payload * 8 / 1e6:.1f} "
        f"| {all_copies.max() * payload * 8 / 1e6:.1f} |",
        "",
        f"Presses are most on Monday at {at // 60:02d}:{at % 60:02d}. Each is answered once: at that rate "
        f"{downlinks:,.0f} an hour by each of {STATIONS:,} stations, which can send {DOWNLINKS_A_STATION_H:,.0f}.",
    ]


def _workers(load: Load, services: Sequence[Service]) -> list[str]:
    rows = []
    for service in services:
        for workers in (1,) if service.name == "SQLite" else (1, 2, 4):
            calm, calm_block = peak(load, service, workers)
            busiest = messages_by_minute(load).max() / workers
            crash, crash_block = peak(load, service, workers, Outage())
            _, away_block = peak(load, service, workers, Outage(HOUR_S / 4, everybody=True))
            behind = away_block.came[away_block.done - away_block.came > IN_TIME_S]
            caught_up = (behind.max(initial=Outage().at_s) - Outage().at_s - HOUR_S / 4) / 60
            rows.append(
                f"| {service.name}, {workers} | {service.most * workers:,.0f} | {busiest / service.most:.0%} "
                f"| {calm.p50_s * 1e3:.1f} | {calm.p99_s * 1e3:.1f} | {calm_block.longest_queue} "
                f"| {crash.most_s:.1f} | {crash_block.longest_queue:,} | {crash.late:.2%} "
                f"| {away_block.longest_queue:,} | {caught_up:.1f} |"
            )
    return [
        "Monday from 07:00 to 08:00, and the same hour when one worker is gone for 5 s, and when the database is gone "
        "for a quarter of an hour:",
        "",
        "| into, workers | at most, messages/s | of it in the busiest minute | wait p50, ms | p99, ms | longest queue "
        "| 5 s: longest wait, s | queue | answered after 10 s | 15 min: queue | then caught up within, min |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        *map(told, services),
    ]


def told(service: Service) -> str:
    times = f"a = {service.batch_ms:g} ms, b = {service.message_us:g} µs"
    return f"{service.name}: {times}, {service.row_bytes:,.0f} bytes a message in the database."


def _growth(load: Load, service: Service) -> list[str]:
    a_day = load.buttons * (load.presses_a_week / 7 + load.heartbeats_a_day)
    orders_a_day = load.buttons * load.presses_a_week / 7
    tb_a_year = a_day * load.copies * service.row_bytes * DAYS_A_YEAR / 1e12
    rows = []
    for days in (8, 14, 30, 90, 365):
        kept = orders_a_day * days
        drawn = minting_share(kept)
        rows.append(f"| {days} | {kept / 1e6:,.0f} million | {kept * 14 / 1e9:.1f} | {drawn:.2g} |")
    return [
        f"{a_day * load.copies / 1e6:,.0f} million messages a day are {tb_a_year:.1f} TB a year. "
        f"Of {orders_a_day / 1e6:.1f} million orders a day, by how long a code is kept, from its minting to the end "
        "of its quarantine:",
        "",
        "| days | codes kept | GB in the register | share of drawn codes that may be minted |",
        "|---:|---:|---:|---:|",
        *rows,
    ]


def draw(service: Service, theme: str, out: Path, load: Load) -> None:
    """The load over the week; how long messages wait; and one of two workers gone for 5 s at the worst hour."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    ink, soft, hair, blue, red, ground = THEMES[theme]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "capacity",
        "font.family": "sans-serif",
        "font.size": 9,
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "axes.edgecolor": soft,
        "axes.labelcolor": ink,
        "text.color": ink,
        "xtick.color": soft,
        "ytick.color": soft,
        "grid.color": hair,
        "legend.facecolor": ground,
        "legend.edgecolor": hair,
    }
    by_hour = np.arange(0, 7 * 24, 0.25)
    quarter = slice(0, MINUTES, 15)
    with mpl.rc_context(style):
        figure, (rate, wait, queue) = plt.subplots(3, 1, figsize=(9.2, 7.4), layout="constrained")
        rate.plot(
            by_hour, messages_by_minute(load)[quarter], color=blue, linewidth=1.8, label="messages, with all copies"
        )
        rate.plot(by_hour, presses_by_minute(load)[quarter], color=red, linewidth=1.3, label="presses")
        heartbeats = heartbeats_by_minute(load)[quarter]
        rate.plot(by_hour, heartbeats, color=soft, linewidth=1.3, linestyle=(0, (4, 2)), label="heartbeats")
        rate.set(
            ylabel="a second",
            title=f"the load of {load.buttons:,} buttons".replace(",", "\N{NO-BREAK SPACE}"),
            ylim=(0, None),
        )
        rate.legend(fontsize=8, loc="upper right")
        for workers, colour in ((1, red), (2, blue)):
            week_of = [hour for block in blocks(load, service, workers) for hour in hours(block)]
            for name, line in (("p99_s", "-"), ("p50_s", ":")):
                waits = [getattr(hour, name) * 1e3 for hour in week_of]
                label = f"{workers} worker{'s' * (workers > 1)}, {name[:3]}"
                wait.step(range(7 * 24), waits, where="post", color=colour, linestyle=line, linewidth=1.4, label=label)
        wait.set(ylabel="ms", title=f"from the broker to the commit into {service.name}", ylim=(0, None))
        wait.legend(fontsize=8, loc="lower right", ncols=2)
        for axes in (rate, wait):
            axes.set_xticks(range(12, 7 * 24, 24), DAYS)
            axes.set_xlim(0, 7 * 24)
        outage = Outage()
        for workers, colour in ((1, red), (2, blue)):
            _, block = peak(load, service, workers, outage)
            seconds = np.arange(outage.at_s - 10, outage.at_s + 40, 0.1)
            waiting = np.searchsorted(block.came, seconds) - np.searchsorted(np.sort(block.done), seconds)
            queue.plot(seconds - outage.at_s, waiting, color=colour, linewidth=1.4, label=f"of {workers}")
        queue.set(ylabel="messages that wait", xlabel="s after Monday 07:45", title="one worker is gone for 5 s")
        queue.legend(fontsize=8, loc="upper right")
        for axes in (rate, wait, queue):
            axes.grid(visible=True, linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(out, metadata={"Date": None, "Title": "A week of buttons"})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="take the service times of this machine")
    asked = parser.parse_args()
    services = SERVICES
    BUILD.mkdir(parents=True, exist_ok=True)
    if asked.measure:
        kinds = {"SQLite": fleets.sqlite, "PostgreSQL": fleets.postgresql}
        with TemporaryDirectory(dir=BUILD) as folder:
            services = tuple(measured(name, kind, LOOP_US, Path(folder).resolve()) for name, kind in kinds.items())
        sys.stdout.write("".join(f"{service}\n" for service in services))
    load = Load()
    written = tables(services, load)
    before, _, rest = DOCUMENT.read_text().partition(FIRST)
    _, _, after = rest.partition(LAST)
    assert after, f"{DOCUMENT} has lost the marks between which this writes"
    DOCUMENT.write_text(before + FIRST + written + LAST + after)
    (BUILD / "capacity.json").write_text(json.dumps([asdict(service) for service in services], indent=2))
    for theme in THEMES:
        draw(services[-1], theme, IMAGES / f"capacity-{theme}.svg", load)
    sys.stdout.write(written)


if __name__ == "__main__":
    main()
