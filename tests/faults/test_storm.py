"""A small storm in every test run: each trouble once, on chance actions. ``make storm`` is the large one."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.faults.harness import Stage
from tests.faults.storm import ALL, Outcome, cluster_for, storm
from tests.faults.web import served

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(1800)]

_POINTS = "E01"


def test_no_trouble_breaks_a_promise(tmp_path: Path) -> None:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    seed = int(os.environ.get("STORM_SEED", "11"))
    # every point is walked in memory (test_engine), four with real processes (test_kill); here two by chance
    points = random.Random(seed).sample([trouble for trouble in ALL if trouble.name.startswith(_POINTS)], 2)
    chosen = [*(trouble for trouble in ALL if not trouble.name.startswith(_POINTS)), *points]
    told: list[Outcome] = []
    stage = Stage(tmp_path, cluster=cluster_for(tmp_path))
    try:
        stage.start()
        stage.person = served(stage)
        done = storm(stage, len(chosen), seed, told.append, chosen)
    finally:
        stage.stop()
    assert [o for o in done if o.broken] == []
    assert {o.trouble for o in done} == {trouble.name for trouble in chosen}
