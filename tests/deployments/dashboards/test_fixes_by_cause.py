"""A fix follows from what a finding says is the cause, not from its id alone."""

from __future__ import annotations

import pytest

from deployments.catalogue.dashboards.chart import fixes_for
from monitoring.verdict import Finding


@pytest.mark.parametrize(("cause", "fixes"), [("multi_attach", ("recreate",)), ("mount_denied", ())])
def test_only_two_pods_on_one_volume_ask_for_another_strategy(cause: str, fixes: tuple[str, ...]) -> None:
    found = Finding("G18", cause, "The volume cannot be mounted", "It waits.", ("x",), 0.92)
    assert fixes_for([found]) == fixes
