"""The departments of France by what is heard of them: presses, silence and links, as a map shows them and as a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

import sqlalchemy as sa

from cloud import gauges, pages
from cloud.console import figures
from cloud.console.france import Map
from cloud.console.keeper import GAUGES, SILENCE
from cloud.frames.tally import DAY, MINUTE, Counts, What
from cloud.words import N_, Said

WEAK = frozenset({"limit", "average"})  # of the network's four classes of link: a little less and nothing is heard


class By(StrEnum):
    """What the map is coloured by."""

    PRESSES = "presses"
    SILENCE = "silence"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Row:
    """One department; `number` is empty for the buttons whose place names none."""

    number: str
    name: str
    presses: int  # today
    buttons: int  # as of the last sample of silence
    silent: int  # of them
    heard: int  # accepted frames of the last 24 hours with a class of link
    weak: int  # of them
    alerts: int

    def value(self, by: By) -> int | None:
        """What it is coloured by; of links the share that is weak, in per cent. None: there is nothing to tell."""
        if by is By.PRESSES:
            return self.presses if self.buttons or self.presses else None
        if by is By.SILENCE:
            return self.silent if self.buttons else None
        return 100 * self.weak // self.heard if self.heard else None


@dataclass(frozen=True, slots=True)
class Survey:
    """All departments, the one without a number last. `silence_at`: of when that is; None: not counted yet."""

    rows: tuple[Row, ...]
    silence_at: datetime | None
    silence_is_stale: bool


def survey(conn: sa.Connection, counts: Counts, france: Map, alerts: Mapping[str, int]) -> Survey:
    """`alerts`: how many are open in each department that has any."""
    now = counts.now
    presses = counts.since(What.PRESS, figures.midnight(now))
    links = counts.since(What.LINK, MINUTE.start(now - DAY.length))
    sample = gauges.newest(conn, SILENCE, now)
    silence = {} if sample is None else sample.values

    heard, weak = dict[str, int](), dict[str, int]()
    for which, count in links.items():
        number, _, quality = which.rpartition(" ")
        heard[number] = heard.get(number, 0) + count
        weak[number] = weak.get(number, 0) + (count if quality in WEAK else 0)
    named = {name.partition(" ")[2] for name in silence if " " in name}
    numbers = {*france.names, *presses, *heard, *named, *alerts, ""}
    rows = tuple(
        Row(
            number=number,
            name=france.names.get(number, ""),
            presses=presses.get(number, 0),
            buttons=silence.get(f"buttons {number}", 0),
            silent=silence.get(f"silent {number}", 0),
            heard=heard.get(number, 0),
            weak=weak.get(number, 0),
            alerts=alerts.get(number, 0),
        )
        for number in sorted(numbers, key=lambda number: (not number, number))
    )
    is_stale = sample is not None and now - sample.at > figures.LATE * GAUGES[SILENCE].every
    return Survey(rows, sample and sample.at, is_stale)


# The five steps of the ramp

# By where the second to the fifth begin. Of the first that is high enough, so that a small fleet is not all pale.
_SCALES: dict[By, tuple[tuple[int, int, int, int], ...]] = {
    By.PRESSES: ((2, 5, 10, 20), (10, 30, 80, 200), (100, 300, 800, 2000), (1000, 3000, 8000, 20_000)),
    By.SILENCE: ((1, 3, 10, 30), (10, 30, 100, 300), (100, 300, 1000, 3000)),
    By.LINK: ((5, 10, 20, 40),),  # per cent
}
_REACH = 3  # times its highest step: as far as a scale goes


@dataclass(frozen=True, slots=True)
class Scale:
    begins: tuple[int, int, int, int]
    unit: str = ""  # behind a number

    def step(self, value: int) -> int:
        """0 to 4.

        >>> [Scale((10, 30, 80, 200)).step(value) for value in (0, 9, 10, 79, 80, 5000)]
        [0, 0, 1, 2, 3, 4]
        """
        return sum(value >= begin for begin in self.begins)

    @property
    def legend(self) -> list[tuple[int, Said]]:
        """Each step in words, the highest first.

        >>> [str(words) for _, words in Scale((1, 3, 10, 30)).legend]
        ['30 and more', '10 to 29', '3 to 9', '1 to 2', 'none']
        """
        lowest, *_, highest = self.begins
        under = N_("none") if lowest == 1 else N_("under %(n)s", n=self._said(lowest))
        between = [
            N_("%(low)s to %(high)s", low=_spaced(low), high=self._said(high - 1))
            for low, high in pairwise(self.begins)
        ]
        return list(enumerate([under, *between, N_("%(n)s and more", n=self._said(highest))]))[::-1]

    def _said(self, count: int) -> str:
        return _spaced(count) + self.unit


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", pages.NBSP)


def scale(rows: Sequence[Row], by: By) -> Scale:
    most = max((value for row in rows if row.number and (value := row.value(by)) is not None), default=0)
    scales = _SCALES[by]
    begins = next((begins for begins in scales if most < _REACH * begins[-1]), scales[-1])
    return Scale(begins, f"{pages.NBSP}%" if by is By.LINK else "")
