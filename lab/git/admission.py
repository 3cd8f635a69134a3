"""The chart's hooks around the operator's admission webhooks: one Job makes the certificate, one patches it in.

The webhook configurations themselves are left out: the lab has no admission webhooks.
"""

from __future__ import annotations

from typing import Any

from lab.git.templates import Release

_RBAC = "rbac.authorization.k8s.io"
_BOTH = "pre-install,pre-upgrade,post-install,post-upgrade"
_BEFORE, _AFTER = "pre-install,pre-upgrade", "post-install,post-upgrade"


def hooks(release: Release) -> list[dict[str, Any]]:
    """ServiceAccount, rights and the two Jobs; nothing when webhooks or their patching are switched off."""
    if not release.get("prometheusOperator.enabled"):
        return []
    values: dict[str, Any] = release.get("prometheusOperator.admissionWebhooks")
    if not values["enabled"] or not values["patch"]["enabled"]:
        return []
    name, where = f"{release.name}-admission", release.namespace
    account = {"kind": "ServiceAccount", "name": name, "namespace": where}
    cluster_rules = [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            "verbs": ["get", "update"],
        }
    ]
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create"]}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(release, name, _BOTH, where)},
        *_rights(release, name, "ClusterRole", cluster_rules, account),
        *_rights(release, name, "Role", rules, account),
        _job(release, "create", _BEFORE),
        _job(release, "patch", _AFTER),
    ]


def _meta(release: Release, name: str, hook: str, where: str = "") -> dict[str, Any]:
    app = "kube-prometheus-stack-admission"
    meta: dict[str, Any] = {
        "name": name,
        "labels": {"app": app, "app.kubernetes.io/component": "prometheus-operator-webhook", "release": release.name},
        "annotations": {"helm.sh/hook": hook, "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"},
    }
    return {**meta, "namespace": where} if where else meta


def _rights(
    release: Release, name: str, kind: str, rules: list[dict[str, Any]], account: dict[str, Any]
) -> list[dict[str, Any]]:
    meta = _meta(release, name, _BOTH, release.namespace if kind == "Role" else "")
    role = {"apiGroup": _RBAC, "kind": kind, "name": name}
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [account],
        },
    ]


def _job(release: Release, work: str, hook: str) -> dict[str, Any]:
    patch = release.get("prometheusOperator.admissionWebhooks.patch")
    image, where = patch["image"], release.namespace
    secret, operator = f"{release.name}-admission", f"{release.name}-operator"
    arguments = {
        "create": [f"--host={operator},{operator}.{where}.svc"],
        "patch": [f"--webhook-name={secret}", "--patch-failure-policy="],
    }[work]
    container: dict[str, Any] = {
        "name": work,
        "image": f"{image['registry']}/{image['repository']}:{image['tag']}",
        "imagePullPolicy": image["pullPolicy"],
        "args": [work, *arguments, f"--namespace={where}", f"--secret-name={secret}"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if patch["resources"]:
        container["resources"] = patch["resources"]
    pod: dict[str, Any] = {
        "restartPolicy": "OnFailure",
        "serviceAccountName": secret,
        "securityContext": {"runAsGroup": 2000, "runAsNonRoot": True, "runAsUser": 2000},
        "containers": [container],
    }
    for key in ("nodeSelector", "affinity", "tolerations"):
        if patch[key]:
            pod[key] = patch[key]
    meta = _meta(release, f"{secret}-{work}", hook, where)
    spec: dict[str, Any] = {"template": {"metadata": {"name": meta["name"], "labels": meta["labels"]}, "spec": pod}}
    if patch["ttlSecondsAfterFinished"]:
        spec["ttlSecondsAfterFinished"] = patch["ttlSecondsAfterFinished"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}
