"""The Argo CD family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.argo import calls, refresh
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (refresh.ACTION,)

CONDITIONS: dict[str, Predicate] = {
    "argocd_idle": Predicate(calls.application_needs, calls.idle),
    "argocd_running": Predicate(calls.application_needs, calls.running),
    "argocd_refreshed": Predicate(calls.application_needs, calls.refreshed),
    "argocd_only_differs": Predicate(calls.application_needs, calls.only_differs),
    "argocd_operation_done": Predicate(calls.application_needs, calls.operation_done),
}
