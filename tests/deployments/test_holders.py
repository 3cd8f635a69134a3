"""Who holds a field, from real managedFields trees."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.holders import named

LIVE: dict[str, Any] = {
    "metadata": {
        "labels": {"app.kubernetes.io/name": "grafana"},
        "managedFields": [
            {
                "manager": "argocd-controller",
                "operation": "Apply",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
                    "f:spec": {
                        "f:replicas": {},
                        "f:template": {
                            "f:spec": {
                                "f:containers": {'k:{"name":"grafana"}': {".": {}, "f:image": {}, "f:name": {}}},
                                "f:nodeSelector": {},
                            }
                        },
                    },
                },
            },
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "subresource": "status",
                "fieldsV1": {"f:status": {"f:replicas": {}}},
            },
        ],
    },
    "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "side"}, {"name": "grafana", "image": "x"}]}},
    },
}


@pytest.mark.parametrize(
    ("path", "manager"),
    [
        ("spec.replicas", "argocd-controller"),
        ('metadata.labels["app.kubernetes.io/name"]', "argocd-controller"),
        ("spec.template.spec.containers[1].image", "argocd-controller"),
        ("spec.template.spec.nodeSelector.disk", "argocd-controller"),
        ("spec.template.spec.containers[0].image", None),
        ("spec.paused", None),
        ("status.replicas", None),
        ("metadata.annotations.mine", None),
    ],
)
def test_the_manager_of_the_field_is_named(path: str, manager: str | None) -> None:
    row = named([{"path": path, "before": 1, "after": 2}], LIVE)[0]
    assert row.get("manager") == manager


@pytest.mark.parametrize("broken", [None, [None], [{"manager": "x", "fieldsV1": {"k:{oops": {}}}], [{"fieldsV1": 3}]])
def test_broken_trees_name_nobody(broken: Any) -> None:
    live = {"metadata": {"managedFields": broken}, "spec": {"replicas": 1}}
    assert "manager" not in named([{"path": "spec.replicas", "before": 1, "after": 2}], live)[0]
