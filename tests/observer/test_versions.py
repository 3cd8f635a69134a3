"""Which version a source says it is."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.observer.observer import _note_version
from monitoring.snapshot import Fetch, Need, Reply, ServerVersion

BUILD = Fetch("prometheus", "/api/v1/status/buildinfo")


@pytest.mark.parametrize(
    ("need", "body", "expected"),
    [
        (ServerVersion(), {"gitVersion": "v1.30.10"}, {"kubernetes": "v1.30.10"}),
        (BUILD, {"data": {"version": "2.48.1"}}, {"prometheus": "2.48.1"}),
        (
            BUILD,
            {"data": {"version": "2.48.1", "engine": "embedded"}},
            {"prometheus": "2.48.1, the lab's embedded engine"},
        ),
        (BUILD, ["not what was asked"], {}),
        (Fetch("grafana", "/api/health"), {"version": "10.2.2"}, {"grafana": "10.2.2"}),
    ],
)
def test_a_source_names_its_version_and_the_labs_prometheus_its_engine(
    need: Need, body: Any, expected: dict[str, str]
) -> None:
    versions: dict[str, str] = {}

    _note_version(versions, need, Reply(body=body))

    assert versions == expected
