"""When requests are to leave: arrivals on an absolute schedule, as vLLM's own benchmark makes them."""

from __future__ import annotations

import math

import numpy as np


def arrivals(count: int, rate: float, burstiness: float, seed: int) -> list[float]:
    """Seconds from the start at which `count` requests are due, at `rate` a second; all at once where that is infinite.

    Gaps are gamma-distributed with shape `burstiness`: 1 is Poisson, less is burstier, infinity is a metronome. They
    are scaled so that the last request is due at `count / rate`: a schedule of few requests then has the wished rate
    too. Requests leave at these moments whatever became of those before: nothing is left out when a server stalls.
    """
    if math.isinf(rate):
        return [0.0] * count
    if math.isinf(burstiness):
        gaps = np.full(count, 1 / rate)
    else:
        gaps = np.random.default_rng(seed).gamma(burstiness, 1 / (rate * burstiness), size=count)
    due = np.cumsum(gaps)
    return [float(each) for each in due * (count / rate / due[-1])]
