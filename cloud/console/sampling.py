"""How many of the frames a page is shown when more come than anybody can read, or a browser can draw."""

import math
from dataclasses import dataclass

from cloud.frames.model import STEPS

ROWS_S = 50  # rows a second that a page is given in the long run
BURST = 400  # rows that it is given at once before: twice what it keeps
RATE_S = 0.5  # over which the rate of frames is averaged
FEWER, MORE, WHOLE = 1.5, 1.1, 0.9  # times ROWS_S: above it fewer are shown, below it more, below it all of them again


@dataclass
class Sampler:
    """What one page's view is shown of. `step` is N of “1 of N shown”; it moves late, so that it can be read."""

    at: float  # seconds, by any clock that goes on
    step: int = 1
    rate: float = 0.0  # frames a second
    left: float = BURST  # rows that may come at once

    def sift(self, heard: int, at: float) -> int:
        """`heard` frames have come by `at`: of how many is one shown?"""
        passed, self.at = at - self.at, at
        forgotten = -math.expm1(-passed / RATE_S)
        self.rate = self.rate * (1 - forgotten) + heard * (forgotten / passed if passed > 0 else 1 / RATE_S)
        self.left = min(BURST, self.left + passed * ROWS_S)
        if self.step > 1 and self.rate <= WHOLE * ROWS_S:
            self.step = 1
        if self.step == 1 and heard <= self.left:
            self.left -= heard
            return 1
        self.left = 0
        if self.step == 1 or self.rate > FEWER * ROWS_S * self.step:
            self.step = next((step for step in STEPS[1:] if self.rate <= MORE * ROWS_S * step), STEPS[-1])
        else:
            more = [step for step in STEPS[1:] if self.rate <= MORE * ROWS_S * step and step < self.step]
            self.step = min(more, default=self.step)
        return self.step
