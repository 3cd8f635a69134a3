"""Server-side apply takes fields over from this portal's own managers and from nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import Apply
from deployments.engine.cluster import Write, sent
from integrations.errors import Conflict

MARK = ".metadata.annotations.portal.remediation/run"


class Server:
    """Refuses an apply that is not forced, for these causes; a forced one is taken."""

    def __init__(self, *causes: tuple[str, str]) -> None:
        self.causes = tuple(
            {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}" using v1', "field": field}
            for manager, field in causes
        )
        self.asked: list[dict[str, Any]] = []

    def patch(self, _resource: str, _namespace: str, _name: str, body: Any, **how: Any) -> dict[str, Any]:
        self.asked.append({"version": body["metadata"].get("resourceVersion"), **how})
        if not how.get("force"):
            raise Conflict("Apply failed", causes=self.causes)
        return {"metadata": {"resourceVersion": "8"}}


def apply(server: Server, *, version: str = "7", dry_run: bool = False) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    write = Write("configmaps", "shop", "a", Apply(body, "shop"), "portal-remediation/shop", "u", version)
    return sent(server, write, dry_run=dry_run)  # type: ignore[arg-type]  # only its patch is asked for


def test_what_only_the_portal_itself_holds_is_taken_over_at_the_same_version() -> None:
    server = Server(("portal-remediation/set-label", MARK), ("portal-remediation/undo-run", ".data.a"))
    assert apply(server)["metadata"]["resourceVersion"] == "8"
    assert [(asked["version"], asked.get("force", False)) for asked in server.asked] == [("7", False), ("7", True)]


def test_a_dry_run_shows_what_the_write_will_do() -> None:
    server = Server(("portal-remediation/set-label", MARK))
    apply(server, version="", dry_run=True)
    assert [asked["dry_run"] for asked in server.asked] == [True, True]


@pytest.mark.parametrize(
    "causes",
    [
        [("argocd-controller", ".spec.replicas")],
        [("portal-remediation/set-label", MARK), ("argocd-controller", ".spec.replicas")],
        [("somebody", MARK)],
        [("kubectl portal-remediation/x", MARK)],
        [],
    ],
)
def test_what_anybody_else_holds_is_never_taken_over(causes: list[tuple[str, str]]) -> None:
    server = Server(*causes)
    with pytest.raises(Conflict):
        apply(server)
    assert len(server.asked) == 1


def test_a_conflict_on_what_was_not_there_is_somebody_elses() -> None:
    """Without a version nothing holds the rest of the object still."""
    server = Server(("portal-remediation/set-label", MARK))
    with pytest.raises(Conflict):
        apply(server, version="")
    assert len(server.asked) == 1
