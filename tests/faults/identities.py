"""The portal's two identities on any API server: their tokens, and the writing one's rights taken away and given back.

The ServiceAccounts and their roles are those of ``deploy/rbac.yaml``, which every scenario of the lab holds; nothing
here is wider. Works through a client with an admin's rights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

HOME, READS, WRITES = "phaseboard", "portal-observer", "portal-operator"
WRITER = f"system:serviceaccount:{HOME}:{WRITES}"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_MERGE = {"Content-Type": "application/merge-patch+json"}
_TOKEN_SECONDS = 24 * 3600


def token(api: httpx.Client, name: str) -> str:
    """A token of one of the two ServiceAccounts, good for a day (TokenRequest)."""
    path = f"/api/v1/namespaces/{HOME}/serviceaccounts/{name}/token"
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    return str(api.post(path, json=body).raise_for_status().json()["status"]["token"])


def kubeconfig(path: Path, server: str, authority: str, bearer: str) -> None:
    """Write a kubeconfig with one context; ``authority`` is base64 as in the file, empty: not verified."""
    trust = {"certificate-authority-data": authority} if authority else {"insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "portal",
        "clusters": [{"name": "portal", "cluster": {"server": server, **trust}}],
        "users": [{"name": "portal", "user": {"token": bearer}}],
        "contexts": [{"name": "portal", "context": {"cluster": "portal", "user": "portal"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))


class Rights:
    """The bindings of the writing identity, as they were; ``revoke`` takes it out of each, ``restore`` puts it back."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api
        self._held: dict[str, list[dict[str, Any]]] = {}

    def revoke(self, *, reading: bool = True) -> None:
        """Every right of the writing identity to change something is gone when this returns.

        ``reading``: also what it may read, which both identities share otherwise; without it, it can still look.
        """
        for kind in ("rolebindings", "clusterrolebindings"):
            for binding in self._api.get(f"{_RBAC}/{kind}").raise_for_status().json()["items"]:
                subjects = binding.get("subjects") or []
                names = {subject["name"] for subject in subjects}
                if WRITES in names and (reading or READS not in names):
                    path = _path(kind, binding["metadata"])
                    self._held[path] = subjects
                    self._set(path, [subject for subject in subjects if subject["name"] != WRITES])

    def restore(self) -> None:
        """As they were before."""
        for path, subjects in self._held.items():
            self._set(path, subjects)
        self._held = {}

    def _set(self, path: str, subjects: list[dict[str, Any]]) -> None:
        self._api.patch(path, json={"subjects": subjects}, headers=_MERGE).raise_for_status()


def _path(kind: str, metadata: dict[str, Any]) -> str:
    where = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{_RBAC}{where}/{kind}/{metadata['name']}"
