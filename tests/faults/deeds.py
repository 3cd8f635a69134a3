"""Two more actions of the storm: a Job that is created, and a silence, which is a call to Alertmanager and no write.

Alertmanager keeps no ledger; its silences are one, because each carries the mark of the step that asked for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.faults.harness import Stage
from tests.faults.identities import WRITER

NAMESPACE = "platform-monitoring"
_CRONJOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"
_POD = {
    "restartPolicy": "Never",
    "containers": [{"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", "echo reported"]}],
}
_CRONJOB = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "storm", "namespace": NAMESPACE},
    "spec": {
        "schedule": "0 3 * * *",
        "suspend": True,
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": {"spec": _POD}}},
    },
}
_SILENCES = "/api/v2/silences"
_PROXIED = f"/api/v1/namespaces/{NAMESPACE}/services/kube-prometheus-stack-alertmanager:9093/proxy"
_MARK = re.compile(r"\[phaseboard ([0-9A-Z]{26}\.\d+)\]")


def has_cronjobs(stage: Stage) -> bool:
    """Whether the server has CronJobs as the portal knows them: batch/v1, since Kubernetes 1.21."""
    return bool(stage.api.get(_CRONJOBS).status_code != 404)


def run_cronjob(stage: Stage, _number: int) -> dict[str, Any]:
    """A Job is created; its CronJob is made the first time."""
    if stage.api.get(f"{_CRONJOBS}/storm").status_code == 404:
        stage.api.post(_CRONJOBS, json=_CRONJOB).raise_for_status()
    return {"action": "run-cronjob-now", "params": {"namespace": NAMESPACE, "name": "storm"}}


def silence(_stage: Stage, number: int) -> dict[str, Any]:
    """A silence for an alert that nothing raises."""
    params = {"matchers": f'alertname="Storm{number}"', "duration": "30m", "comment": "the storm"}
    return {"action": "silence-alerts", "params": params}


def silences(stage: Stage, runs: Sequence[str]) -> list[dict[str, Any]]:
    """The silences that these runs asked for, as entries of a ledger."""
    beside = Path(f"{stage.environment['PORTAL_KUBECONFIG']}.env").read_text()
    direct = re.search(r"^PORTAL_ALERTMANAGER_URL=(\S+)$", beside, re.M)
    answer = httpx.get(f"{direct[1]}{_SILENCES}", trust_env=False) if direct else stage.api.get(_PROXIED + _SILENCES)
    found = []
    for each in answer.raise_for_status().json():
        mark = _MARK.search(each["comment"])
        if mark and mark[1].partition(".")[0] in runs:
            found.append(_entry(each["id"], mark[1]))
    return found


def _entry(silence_id: str, mark: str) -> dict[str, Any]:
    where = {"resource": "silences.alertmanager", "ns": "", "name": silence_id, "uid": silence_id}
    return {"seq": 0, "verb": "create", "subresource": "", "user": WRITER, "mark": mark, "before": "", **where}
