"""How the lab runs Debian's programs: when they are believed, what they are told, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.services.debian import SCRAPE_SECONDS, DebianPair
from lab.services.debian_config import Files, Plan, World
from lab.services.debian_history import last_minutes, sample_history
from lab.services.http import Answer, Request, answer
from lab.services.scratch import Scratch, clear_abandoned
from tests.lab.services.conftest import MONITORING, NOW, Desk

PLAN = Plan(5, "127.0.0.1:1", "127.0.0.1:2")


def world_of(desk: Desk) -> World:
    found = desk.services._look()
    assert found is not None
    return found


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends in time (a zombie of somebody else's child has ended)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


# -- when they are believed


class Told(DebianPair):
    """A pair whose Prometheus says what the test says."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world, lambda: self.now)
        self.now = NOW.timestamp()
        self.health: dict[str, str] = {}
        self.evaluated_at = self.now
        self._targets = world.targets

    async def ask(self, program: str, request: Request) -> Answer:
        if request.path.endswith("/rules"):
            at = datetime.fromtimestamp(self.evaluated_at, UTC).isoformat(timespec="microseconds")
            nanoseconds = at.replace("+00:00", "123Z")
            return answer({"data": {"groups": [{"lastEvaluation": nanoseconds}]}})
        targets = [
            {"discoveredLabels": {"__metrics_path__": f"/target/{key}/metrics"}, "health": word}
            for key, word in self.health.items()
        ]
        return answer({"data": {"activeTargets": targets}})

    def settled(self) -> bool:
        return asyncio.run(self._settled())


def test_prometheus_is_believed_when_it_sees_the_targets_as_the_cluster_does_and_has_judged_twice() -> None:
    pair = Told(world_of(Desk("grafana-two-default-datasources")))
    try:
        right = {key: "up" if target.up else "down" for key, target in pair._targets.items()}
        assert sorted(right.values()).count("down") == 1
        late = dict.fromkeys(right, "unknown")
        starved = {key: "down" if number % 2 else word for number, (key, word) in enumerate(right.items())}
        fewer = dict(list(right.items())[1:])
        for pair.health in (late, starved, fewer, {}):
            assert not pair.settled()
        pair.health = right
        assert not pair.settled()  # agreed, but not judged since
        pair.evaluated_at += SCRAPE_SECONDS - 1
        assert not pair.settled()
        pair.evaluated_at += 1
        assert pair.settled()
    finally:
        asyncio.run(pair.stop())


def test_a_new_disagreement_begins_the_waiting_anew() -> None:
    pair = Told(world_of(Desk("healthy")))
    try:
        right = dict.fromkeys(pair._targets, "up")
        pair.health = right
        assert not pair.settled()
        pair.health = {**right, next(iter(right)): "down"}
        pair.now += 60
        assert not pair.settled()
        pair.health, pair.evaluated_at = right, pair.now
        assert not pair.settled()
    finally:
        asyncio.run(pair.stop())


# -- what they are told


def test_every_target_stands_in_the_configuration_under_its_own_labels(tmp_path: Path) -> None:
    world = world_of(Desk("healthy"))
    assert Files(tmp_path).write(world, PLAN)
    jobs = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    listed = [group["labels"] for job in jobs for group in job["static_configs"]]
    assert len(listed) == len(world.targets) == len({labels["__metrics_path__"] for labels in listed})
    assert {labels["job"] for labels in listed} == {target.labels["job"] for target in world.database.targets}
    # file discovery takes an inotify instance a job, and a user has 128 of them
    assert not [job for job in jobs if "file_sd_configs" in job]
    assert (tmp_path / "prometheus.yml").stat().st_mode & 0o077 == 0


def test_the_programs_reload_only_for_what_has_changed(tmp_path: Path) -> None:
    desk = Desk("healthy")
    files = Files(tmp_path)
    assert files.write(world_of(desk), PLAN)
    assert world_of(desk) is world_of(desk)
    assert not files.write(world_of(desk), PLAN)
    grafana = next(
        piece["metadata"]["name"]
        for piece in desk.store.list("endpoints", "platform-monitoring")
        if piece["metadata"]["name"].endswith("grafana")
    )
    before = world_of(desk)
    desk.store.change("endpoints", "platform-monitoring", grafana, lambda obj: obj.update(subsets=[]))
    assert world_of(desk) is not before
    assert files.write(world_of(desk), PLAN)


def test_the_past_is_whole_openmetrics_in_small_pieces() -> None:
    database = world_of(Desk("healthy")).database
    recent = list(last_minutes(database, NOW.timestamp()))
    days = list(sample_history(database, NOW.timestamp()))
    assert len(days) == 15
    yesterday = list(days[1])
    for pieces in (recent, yesterday):
        assert pieces[-1] == "# EOF\n"
        heads = [line for piece in pieces for line in piece.splitlines() if line.startswith("# TYPE")]
        assert heads and len(heads) == len(set(heads))
        assert max(len(piece.splitlines()) for piece in pieces) <= 361  # a series of a day, with its head
    lines = [line for piece in yesterday for line in piece.splitlines() if line.startswith("up{")]
    series = {line.rsplit(" ", 2)[0] for line in lines}
    assert len(lines) == len(series) * 360 and len(series) > 50  # every four minutes, of all that was there that day
    moments = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert NOW.timestamp() - 2 * 86_400 - 2 <= min(moments) and max(moments) <= NOW.timestamp() - 86_400


# -- that nothing stays


def test_programs_that_do_not_start_leave_the_embedded_engine_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("prometheus", "prometheus-alertmanager"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho out of order\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    desk = Desk("healthy", engine="debian")

    async def run() -> Any:
        services = desk.services
        await services.start_listener("platform-monitoring", "kube-prometheus-stack-prometheus", "http-web")
        pair = services._pair
        assert pair is not None and pair._task is not None
        async with asyncio.timeout(60):
            await pair._task
        left = list(tmp_path.glob("lab-prometheus-*"))
        status, _, body = await services.handle(
            "platform-monitoring", "kube-prometheus-stack-prometheus", "http-web", "GET",
            "/api/v1/status/buildinfo", "", {}, b"",
        )  # fmt: skip
        await services.stop()
        return left, status, json.loads(body)["data"]["engine"]

    assert asyncio.run(run()) == ([], 200, "embedded")
    assert "Debian's Prometheus is not used" in caplog.text and "out of order" in caplog.text


def test_the_folder_of_a_killed_process_is_cleared_and_that_of_a_living_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import time; from lab.services.scratch import Scratch; "
        "s = Scratch('lab-test-'); (s.path / 'data').touch(); print(s.path, flush=True); time.sleep(600)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert other.stdout
    theirs = Path(other.stdout.readline().strip())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "lab-test-not-ours").mkdir()
    mine = Scratch("lab-test-")
    assert clear_abandoned("lab-test-") == []
    other.kill()
    other.communicate()
    assert clear_abandoned("lab-test-") == [theirs]
    assert {path.name for path in tmp_path.iterdir()} == {mine.path.name, "lab-test-not-ours"}
    mine.remove()
    mine.remove()
    assert not mine.path.exists()


def test_a_program_ends_when_its_lab_is_killed(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from lab.services.programs import Programs\n"
        "async def main():\n"
        "    programs = Programs(Path(sys.argv[1]))\n"
        "    await programs.start('sleep', '600')\n"
        "    run = asyncio.create_task(programs.run('tool.log', 'nice', '-n', '10', 'sleep', '601'))\n"
        "    while not programs._passing: await asyncio.sleep(0.01)\n"
        "    print(*[p.pid for p in [*programs._lasting, *programs._passing]], flush=True)\n"
        "    await run\n"
        "asyncio.run(main())"
    )
    lab = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert lab.stdout
    pids = [int(pid) for pid in lab.stdout.readline().split()]
    assert len(pids) == 2 and not any(gone(pid, 0.2) for pid in pids)
    lab.send_signal(signal.SIGKILL)
    lab.communicate()
    assert all(gone(pid) for pid in pids)


def test_every_rule_object_is_a_file_of_its_own_and_goes_with_it(tmp_path: Path) -> None:
    desk = Desk("healthy")
    files = Files(tmp_path)
    assert files.write(world_of(desk), PLAN)
    owner = desk.store.list("prometheuses.monitoring.coreos.com")[0]
    name = f"prometheus-{owner['metadata']['name']}-rulefiles-0"
    there = desk.store.need("configmaps", MONITORING, name)["data"]
    assert {path.name for path in (tmp_path / "rules").iterdir()} == set(there)
    first = min(there)
    desk.store.change("configmaps", MONITORING, name, lambda obj: obj["data"].pop(first))
    assert files.write(world_of(desk), PLAN)
    assert not (tmp_path / "rules" / first).exists()
    assert not files.write(world_of(desk), PLAN)
