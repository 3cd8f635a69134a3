"""``python -m tests.faults.storm --runs 20 --seed 7``: repairs with a kill -9 at a random point each, by the ledger.

Prints one line per run and a table of how long each run needed after its kill; exits 1 on the first broken promise. The
same seed gives the same points.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.harness import Stage

_STEPS = (1, 3, 5)
_STEPWISE = ("before_intent", "after_intent", "after_effect", "after_outcome", "step_done")
_ANYWHERE = ("claimed", "prepared", "in_wait", "in_verify", "before_end")
_EXPECTED = {"patch applications.argoproj.io kube-prometheus-stack": 3}


def main() -> int:
    """Run the storm. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    points = [f"{point}:{step}" for point in _STEPWISE for step in _STEPS] + list(_ANYWHERE)
    took: list[float] = []
    with tempfile.TemporaryDirectory(prefix="storm-") as directory:
        stage = Stage(Path(directory))
        try:
            stage.start()
            for number in range(1, options.runs + 1):
                point = dice.choice(points)
                seconds, broken = _one(stage, point)
                sys.stdout.write(f"{number:>4} {point:<18} {seconds:6.1f} s {broken or 'ok'}\n")
                sys.stdout.flush()
                if broken:
                    return 1
                took.append(seconds)
        finally:
            stage.stop()
    sys.stdout.write(
        f"{len(took)} runs, seed {options.seed}: 0 lost, 0 repeated; "
        f"median {statistics.median(took):.1f} s, longest {max(took):.1f} s\n"
    )
    return 0


def _one(stage: Stage, point: str) -> tuple[float, str]:
    """One run with one kill: its time, and what was broken."""
    stage.broken()
    before = stage.last_seq()
    stage.point(point)
    run = stage.accept(hold_seconds="1")
    began = time.monotonic()
    try:
        row = stage.ended(run)
    except AssertionError as error:
        return time.monotonic() - began, str(error)
    seconds = time.monotonic() - began
    if stage.fault.exists():
        return seconds, f"the run never reached {point}"
    if row["state"] != "succeeded":
        return seconds, f"{row['state']}: {row['sentence']}"
    effects = stage.effects(before)
    return seconds, "" if effects == _EXPECTED else f"the ledger has {dict(effects)}"


if __name__ == "__main__":
    sys.exit(main())
