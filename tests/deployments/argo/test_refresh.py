"""Refresh and hard refresh: one patch, answered by Argo CD's own comparison."""

from __future__ import annotations

import pytest

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import calls
from deployments.catalogue.seen import Outlook
from tests.deployments.argo.world import STACK, above, body, look, merged, planned, seen, stack, unmet

SLUG = "refresh-application"


@pytest.mark.parametrize("mode", ["normal", "hard"])
def test_a_refresh_is_one_annotation(mode: str) -> None:
    draft = planned(SLUG, seen(stack(), above()), mode=mode)
    assert unmet(draft) == []
    assert body(draft, 0)["metadata"]["annotations"][calls.REFRESH] == mode
    assert set(body(draft, 0)) == {"metadata"}
    assert draft.params == {"application": STACK, "namespace": "argocd", "mode": mode}
    assert planned(SLUG, seen(stack(), above()), **draft.params) == draft


def test_what_is_being_deleted_or_not_there_is_not_refreshed() -> None:
    going = {"metadata": {"deletionTimestamp": "2025-11-23T13:00:00Z"}}
    assert any("being deleted" in said for said in unmet(planned(SLUG, seen(stack(going)))))
    with pytest.raises(CannotPlan, match="There is no Application"):
        planned(SLUG, seen(above()))


def test_it_is_refreshed_when_the_annotation_is_gone_and_the_comparison_newer_than_the_write() -> None:
    asked = merged(stack(), {"metadata": {"annotations": {calls.REFRESH: "hard"}}})
    before = look("argocd_refreshed", seen(asked))
    assert before.outlook == Outlook.NOT_YET
    memory = {**before.memory, "effect_at": "2025-11-23T13:59:00.500000+00:00"}
    assert look("argocd_refreshed", seen(stack()), memory).outlook == Outlook.NOT_YET, "taken, not compared yet"
    newer = stack({"status": {"reconciledAt": "2025-11-23T13:59:00Z"}})
    assert look("argocd_refreshed", seen(newer), memory).outlook == Outlook.MET
    assert look("argocd_refreshed", seen(above()), memory).outlook == Outlook.REFUSED
