"""The embedded PromQL engine on a handful of series whose answers can be worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from lab.services.curves import Constant, Counter, Curve, Steps
from lab.services.promql import ExecutionError, Moment, PromQLError, parse
from lab.services.storage import Series, Storage

NOW = 1_000_020.0


class Source:
    """A storage read at a scrape interval of 30 s."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def instant(self, name: str, matchers: Any, moment: float) -> Any:
        tracks = self.storage.select(name, matchers)
        values = [(track.labels, track.at(moment)) for track in tracks]
        return [(labels, value) for labels, value in values if value is not None]

    def window(self, name: str, matchers: Any, start: float, end: float) -> Any:
        return [(track.labels, track.within(start, end, 30)) for track in self.storage.select(name, matchers)]


def series(curve: float | Curve, name: str, since: float | None = None, **labels: str) -> Series:
    return Series(
        {"__name__": name, **labels}, curve if not isinstance(curve, (int, float)) else Constant(curve), since
    )


@pytest.fixture
def ask() -> Any:
    storage = Storage(epoch=0.0)
    storage.take(
        NOW,
        [
            series(1, "up", job="node", instance="a", namespace="x"),
            series(0, "up", job="node", instance="b", namespace="x"),
            series(1, "up", job="kubelet", instance="a", namespace="y"),
            series(Counter(0.0, 2.0), "requests_total", job="node", instance="a"),
            series(Steps((NOW - 100,), base=4), "restarts_total", pod="p", namespace="x"),
            series(1, "info", instance="a", version="v1"),
            series(10, "size", instance="a", device="d1"),
            series(30, "size", instance="a", device="d2"),
            series(5, "avail", instance="a", device="d1"),
            series(3, "young", since=NOW - 60),
        ],
    )

    def answer(text: str, at: float = NOW) -> Any:
        value = Moment(Source(storage), at).value(parse(text))
        if not isinstance(value, list):
            return value
        return sorted(((dict(sorted(labels.items())), round(v, 6)) for labels, v in value), key=repr)

    return answer


def values(result: Any) -> list[float]:
    return sorted(value for _, value in result)


CASES: dict[str, list[float]] = {
    "up": [0, 1, 1],
    'up{job="node"}': [0, 1],
    'up{job!="node"}': [1],
    'up{job=~"no.*|x"}': [0, 1],
    'up{job!~"no.*"}': [1],
    'up{job=~"no"}': [],
    "up == 0": [0],
    "up == bool 0": [0, 0, 1],
    "count(up == 1)": [2],
    "sum(up)": [2],
    "avg(up)": [0.666667],
    "sum by (job) (up)": [1, 1],
    "sum(up) by (job)": [1, 1],
    "min without (instance) (up)": [0, 1],
    "max(up) - 1": [0],
    "topk(1, size)": [30],
    "quantile(0.5, size)": [20],
    "100 * avail / size": [50],
    "size / ignoring(device, version) group_left() info": [10, 30],
    "size * on(instance) group_left(version) info": [10, 30],
    'up{job="node"} and on(instance) up{job="kubelet"}': [1],
    'up{job="node"} unless on(instance) up{job="kubelet"}': [0],
    "up or size": [0, 1, 1, 10, 30],
    "rate(requests_total[5m])": [2],
    "increase(requests_total[5m])": [600],
    "irate(requests_total[5m])": [2],
    "increase(restarts_total[5m]) > 0": [1.111111],
    "changes(restarts_total[5m])": [1],
    "count_over_time(up[5m])": [10, 10, 10],
    "count_over_time(young[5m])": [3],
    'max_over_time(up{job="node"}[10m]) == 0': [0],
    "max_over_time(sum(up)[5m:1m])": [2],
    "requests_total offset 1m": [2 * (NOW - 60)],
    f"requests_total @ {NOW - 90:.0f}": [2 * (NOW - 90)],
    f"requests_total @ {NOW - 90:.0f} offset 1m": [2 * (NOW - 150)],
    f"max_over_time(up{{job='node'}}[10m] @ {NOW:.0f}) == 0": [0],
    "absent(nothing)": [1],
    "absent(up)": [],
    "absent(up == 2)": [1],
    "vector(1)": [1],
    "vector(time())": [NOW],
    "clamp_max(size, 20)": [10, 20],
    "-size": [-30, -10],
    "2 ^ 3 ^ 2 * vector(1)": [512],
    "-2 ^ 2 * vector(1)": [-4],
    "abs(-size)": [10, 30],
    'label_replace(info, "short", "$1", "version", "v(.*)")': [1],
    "young offset 5m": [],
}


@pytest.mark.parametrize("text", CASES)
def test_expressions_that_rules_and_panels_use(ask: Any, text: str) -> None:
    assert values(ask(text)) == pytest.approx(CASES[text])


def test_labels_of_results_follow_prometheus(ask: Any) -> None:
    assert ask("up == 0") == [({"__name__": "up", "instance": "b", "job": "node", "namespace": "x"}, 0)]
    assert ask("up == bool 0")[0][0].get("__name__") is None
    assert ask('sum by (job, nothing) (up{job="node"})') == [({"job": "node"}, 1)]
    assert ask("avail / size") == [({"device": "d1", "instance": "a"}, 0.5)]
    assert ask("size * on(instance) group_left(version) info")[0][0]["version"] == "v1"
    assert ask('absent(up{job="none", x=~"y"})') == [({"job": "none"}, 1)]
    assert ask('label_replace(info, "short", "$1", "version", "v(.*)")')[0][0]["short"] == "1"


def test_scalars_stay_scalars(ask: Any) -> None:
    assert ask("1 + 2 * 3") == 7
    assert ask("1 == bool 2") == 0
    assert ask("time()") == NOW
    assert math.isnan(ask("scalar(up)"))
    assert ask("1 / 0") == math.inf
    assert ask('"text"') == "text"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "up{",
        "up)",
        "sum(",
        "up[5m]",
        "rate(up)",
        "up @ up",
        "(up + 1) @ 5",
        "{}",
        '{job=~".*"}',
        'up{job=~"("}',
        "1 == 2",
        "1 and 2",
        "frobnicate(up)",
        "rate(up[5x])",
        "sum by job (up)",
        "up offset up",
        "rate(sum(up)[5m])",
        "topk(up)",
        "clamp(up, 1)",
        "(" * 80 + "up" + ")" * 80,
        "x" * 10_001,
    ],
)
def test_what_cannot_be_read_is_bad_data(ask: Any, text: str) -> None:
    with pytest.raises(PromQLError) as raised:
        ask(text)
    assert raised.value.status == 400
    assert str(raised.value)


@pytest.mark.parametrize("text", ["size / on(instance) size", "size + on(instance) up", "info + on(instance) size"])
def test_series_that_cannot_be_paired_are_an_execution_error(ask: Any, text: str) -> None:
    with pytest.raises(ExecutionError):
        ask(text)


def test_a_changed_series_goes_on_with_its_history() -> None:
    storage = Storage(epoch=0.0)
    storage.take(1000.0, [series(1, "up"), series(5, "gone")])
    storage.take(2000.0, [series(0, "up")])
    storage.take(3000.0, [series(0, "up"), series(7, "gone"), series(1, "new", since=2500.0)])
    (up,) = storage.select("up", ())
    assert [up.at(t) for t in (500.0, 1999.0, 2000.0, 9000.0)] == [1, 1, 0, 0]
    (gone,) = storage.select("gone", ())
    assert [gone.at(t) for t in (500.0, 2000.0, 2999.0, 3000.0)] == [5, None, None, 7]
    (new,) = storage.select("new", ())
    assert [new.at(t) for t in (2400.0, 2500.0)] == [None, 1]


def test_counters_never_go_back() -> None:
    curve = Counter(origin=0.0, rate=3.0, seed="x")
    readings = [curve.at(float(t)) for t in range(0, 200_000, 500)]
    assert readings == sorted(readings)
    assert readings[0] == 0
