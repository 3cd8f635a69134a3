"""Values as functions of time: what a series read at any past moment follows from what is known about it now.

Pure. Times are Unix seconds. Equal curves compare equal, which is how the storage sees that nothing changed.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

_DAY = 86_400.0


class Curve(Protocol):
    """A value at every moment."""

    def at(self, moment: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """A state: 1, 0, a size."""

    value: float

    def at(self, _moment: float) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class Wave:
    """A load that follows the day and flickers a little, between mean - swing and mean + swing."""

    mean: float
    swing: float
    seed: str

    def at(self, moment: float) -> float:
        phase = _phase(self.seed)
        slow = math.sin(2 * math.pi * moment / _DAY + phase)
        fast = math.sin(2 * math.pi * moment / 1_700 + 3 * phase)
        return self.mean + self.swing * (0.8 * slow + 0.2 * fast)


@dataclass(frozen=True, slots=True)
class Counter:
    """Grows from 0 at `origin` by `rate` per second, faster and slower with the day but never back."""

    origin: float
    rate: float
    seed: str = ""

    def at(self, moment: float) -> float:
        passed = max(moment - self.origin, 0.0)
        if not self.seed:
            return self.rate * passed
        phase, turn = _phase(self.seed), 2 * math.pi / _DAY
        # the integral of rate * (1 + 0.3 sin), so it is monotonous
        sway = 0.3 / turn * (math.cos(turn * self.origin + phase) - math.cos(turn * (self.origin + passed) + phase))
        return self.rate * (passed + sway)


@dataclass(frozen=True, slots=True)
class Steps:
    """A counter that went up by one at each of these moments, on top of `base`."""

    moments: tuple[float, ...]
    base: float = 0.0

    def at(self, moment: float) -> float:
        return self.base + bisect_right(self.moments, moment)


def _phase(seed: str) -> float:
    return (zlib.crc32(seed.encode()) % 6_283) / 1_000
