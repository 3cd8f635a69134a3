"""The Argo CD family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.argo import refresh, waits
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (refresh.ACTION,)

CONDITIONS: dict[str, Predicate] = {
    "argocd_idle": Predicate(waits.application_needs, waits.idle),
    "argocd_running": Predicate(waits.application_needs, waits.running),
    "argocd_refreshed": Predicate(waits.application_needs, waits.refreshed),
    "argocd_only_differs": Predicate(waits.application_needs, waits.only_differs),
    "argocd_operation_done": Predicate(waits.application_needs, waits.operation_done),
}
