"""True sentences of kubelets, registries, schedulers, servers and programs, each with the cause it names.

They come from public issue threads and from the programs' sources; wherever one names another cause than its row says,
the pattern is wrong, not the sentence. Each goes through a whole recorded case, so that ranking is tried as well.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from monitoring.diagnosis import diagnose
from monitoring.snapshot import from_case
from tests.diagnosis.recorded import FOLDER, load, subjects

WORDS: dict[str, list[dict[str, Any]]] = yaml.load(
    (FOLDER.parent / "words.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
)


def _rows(family: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("said", "expected"), [(row["said"], row["is"]) for row in WORDS[family]])


def _first(name: str, change: Any) -> tuple[str, str]:
    case = copy.deepcopy(load(FOLDER / f"{name}.yaml"))
    change(case)
    found = diagnose(from_case(case), subjects(case)[0], case["taken_at"])
    return found[0].id, found[0].cause


@_rows("images")
def test_a_registry_says_why_an_image_cannot_be_pulled(said: str, expected: str) -> None:
    def change(case: dict[str, Any]) -> None:
        for pod in case["objects"]["pods"]:
            for status in pod["status"].get("containerStatuses", []):
                if status.get("state", {}).get("waiting"):
                    status["state"]["waiting"] = {"reason": "ErrImagePull", "message": said}
        case["objects"]["events"] = []

    assert _first("G7_registry_rate_limit", change) == ("G7", expected)


@_rows("logs")
def test_a_program_says_why_it_ends(said: str, expected: list[str]) -> None:
    def change(case: dict[str, Any]) -> None:
        usual = ['level=info msg="Starting"', 'level=info msg="config loaded"']
        case["logs"] = {next(iter(case["logs"])): [*usual, said, 'level=info msg="bye"']}

    assert _first("U0_crash_with_an_unknown_log", change) == tuple(expected)


@_rows("refusals")
def test_the_api_server_says_why_it_refuses_a_pod(said: str, expected: str) -> None:
    def change(case: dict[str, Any]) -> None:
        for event in case["objects"]["events"]:
            event["message"] = said

    assert _first("W2_pod_security", change) == ("W2", expected)


@_rows("mounts")
def test_a_node_says_why_it_cannot_mount(said: str, expected: str) -> None:
    def change(case: dict[str, Any]) -> None:
        case["objects"]["events"] = [
            {
                "metadata": {"name": "m", "namespace": "observability"},
                "involvedObject": {"kind": "Pod", "name": "prometheus-obs-0"},
                "reason": "FailedMount",
                "type": "Warning",
                "count": 5,
                "message": said,
            }
        ]

    assert _first("G18_nfs_denied", change) == ("G18", expected)
