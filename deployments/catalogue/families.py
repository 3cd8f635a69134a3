"""All families of the catalogue. Imports go one way: alerts, dashboards > nodes, workloads > argo > action."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.alerts import family as alerts
from deployments.catalogue.argo import family as argo
from deployments.catalogue.dashboards import family as dashboards
from deployments.catalogue.nodes import family as nodes
from deployments.catalogue.seen import Predicate
from deployments.catalogue.workloads import family as workloads

_FAMILIES = (argo, workloads, nodes, dashboards, alerts)

ACTIONS: tuple[Action, ...] = tuple(action for family in _FAMILIES for action in family.ACTIONS)
CONDITIONS: dict[str, Predicate] = {name: p for family in _FAMILIES for name, p in family.CONDITIONS.items()}
