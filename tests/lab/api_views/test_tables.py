"""What kubectl shows: columns, status words and ages of the lab's Tables."""

from __future__ import annotations

from typing import Any

import pytest

from lab.api.cells import human
from lab.api.tables import json_path, table

NOW = "2025-11-23T14:00:00Z"
CREATED = "2025-11-23T13:00:00Z"


def named(name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": CREATED}, **fields}


def row(group: str, kind: str, obj: dict[str, Any], wide: bool = False) -> dict[str, Any]:
    result = table((group, "v1", kind), [obj], NOW)
    cells = result["rows"][0]["cells"]
    return {
        column["name"]: cell
        for column, cell in zip(result["columnDefinitions"], cells, strict=True)
        if wide or not column["priority"]
    }


def pod(*states: dict[str, Any], phase: str = "Running", **status: Any) -> dict[str, Any]:
    statuses = [{"name": f"c{i}", "restartCount": 0, **state} for i, state in enumerate(states)]
    return named(
        spec={"containers": [{"name": f"c{i}"} for i in range(len(states))]},
        status={"phase": phase, "containerStatuses": statuses, **status},
    )


RUNNING = {"ready": True, "state": {"running": {}}}
CRASHED = {
    "ready": False,
    "restartCount": 7,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"finishedAt": "2025-11-23T13:58:00Z"}},
}


def test_a_pod_reads_as_kubectl_prints_it() -> None:
    assert row("", "Pod", pod(RUNNING, CRASHED)) == {
        "Name": "x",
        "Ready": "1/2",
        "Status": "CrashLoopBackOff",
        "Restarts": "7 (2m ago)",
        "Age": "60m",
    }
    assert row("", "Pod", pod(RUNNING))["Status"] == "Running"
    assert row("", "Pod", pod({"state": {"terminated": {"exitCode": 2}}}))["Status"] == "ExitCode:2"
    assert row("", "Pod", pod(RUNNING, reason="Evicted", phase="Failed"))["Status"] == "Evicted"


def test_init_containers_come_first_in_the_status_word() -> None:
    inits: dict[str, Any] = {"initContainers": [{}, {}], "containers": [{}]}
    waiting = named(spec=inits, status={"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}, {}]})
    assert row("", "Pod", waiting)["Status"] == "Init:0/2"
    failed = {"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    waiting["status"]["initContainerStatuses"] = [failed, {}]
    assert row("", "Pod", waiting)["Status"] == "Init:Error"


def test_a_deleted_pod_is_terminating() -> None:
    gone = pod(RUNNING)
    gone["metadata"]["deletionTimestamp"] = NOW
    assert row("", "Pod", gone)["Status"] == "Terminating"


def test_nodes_services_and_classes() -> None:
    node = named(
        spec={"unschedulable": True},
        status={"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.30.10"}},
    )
    node["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
    expected = {"Status": "Ready,SchedulingDisabled", "Roles": "control-plane", "Version": "v1.30.10"}
    assert expected.items() <= row("", "Node", node).items()
    service = named(
        spec={"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30001}]},
        status={"loadBalancer": {"ingress": [{"ip": "10.1.5.185"}]}},
    )
    assert row("", "Service", service)["External-IP"] == "10.1.5.185"
    assert row("", "Service", service)["Port(s)"] == "80:30001/TCP"
    service["status"] = {}
    assert row("", "Service", service)["External-IP"] == "<pending>"
    default = named("nfs-client", provisioner="p")
    default["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    assert row("storage.k8s.io", "StorageClass", default)["Name"] == "nfs-client (default)"


def test_wide_columns_are_marked_as_such() -> None:
    deployment = named(spec={"replicas": 2, "template": {"spec": {"containers": [{"name": "a", "image": "i:1"}]}}})
    assert set(row("apps", "Deployment", deployment)) == {"Name", "Ready", "Up-to-date", "Available", "Age"}
    assert row("apps", "Deployment", deployment, wide=True)["Images"] == "i:1"


def test_custom_columns_follow_their_path() -> None:
    app = named(status={"sync": {"status": "OutOfSync"}, "conditions": [{"type": "Ready", "status": "True"}]})
    columns: list[dict[str, Any]] = [
        {"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "None", "type": "string", "jsonPath": ".status.nothing", "priority": 1},
    ]
    result = table(("argoproj.io", "v1alpha1", "Application"), [app], NOW, crd_columns=columns)
    assert [c["name"] for c in result["columnDefinitions"]] == ["Name", "Sync Status", "Ready", "Since", "None"]
    assert result["rows"][0]["cells"] == ["x", "OutOfSync", "True", "60m", ""]
    bare = table(("argoproj.io", "v1alpha1", "Application"), [app], NOW, crd_columns=[])
    assert [c["name"] for c in bare["columnDefinitions"]] == ["Name", "Age"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (r".metadata.annotations.a\.b/c", 1),
        (".l[1].x", 2),
        (".l[*].x", 0),
        (".metadata['annotations']", {"a.b/c": 1}),
        (".no.x", None),
    ],
)
def test_json_paths_of_columns(path: str, value: Any) -> None:
    assert json_path({"metadata": {"annotations": {"a.b/c": 1}}, "l": [{"x": 0}, {"x": 2}]}, path) == value


AGES = {-3: "0s", 119: "119s", 120: "2m", 190: "3m10s", 660: "11m", 10800: "3h", 12000: "3h20m"}
AGES |= {90000: "25h", 266400: "3d2h", 864000: "10d", 63244800: "2y2d"}


@pytest.mark.parametrize(("seconds", "text"), AGES.items())
def test_ages_are_human(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_endpoints_show_the_ready_addresses_with_their_ports() -> None:
    def shown(*subsets: dict[str, Any]) -> str:
        found = row("", "Endpoints", named(subsets=list(subsets)))
        assert list(found) == ["Name", "Endpoints", "Age"]
        return str(found["Endpoints"])

    two = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 443}]}
    assert shown() == "<none>"
    assert shown(two) == "10.0.0.1:80,10.0.0.2:80,10.0.0.1:443 + 1 more..."
    assert shown({"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}) == ""
    assert shown({"addresses": [{"ip": "10.0.0.1"}]}) == "10.0.0.1"
    assert shown({"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}) == "[fd00::1]:80"
