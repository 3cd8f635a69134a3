"""All families of the catalogue. Imports go one way: alerts, dashboards > nodes, workloads > argo > action; proposals
> argo."""

from __future__ import annotations

from deployments.catalogue import undoing
from deployments.catalogue.action import Action
from deployments.catalogue.alerts import family as alerts
from deployments.catalogue.argo import family as argo
from deployments.catalogue.dashboards import family as dashboards
from deployments.catalogue.nodes import family as nodes
from deployments.catalogue.proposals import family as proposals
from deployments.catalogue.seen import Predicate
from deployments.catalogue.workloads import family as workloads

_FAMILIES = (argo, proposals, workloads, nodes, dashboards, alerts, undoing)

ACTIONS: tuple[Action, ...] = tuple(action for family in _FAMILIES for action in family.ACTIONS)
CONDITIONS: dict[str, Predicate] = {}
for _family in _FAMILIES:
    # a name stands in stored plans: two meanings of one would be found at three in the morning
    assert not CONDITIONS.keys() & _family.CONDITIONS.keys(), CONDITIONS.keys() & _family.CONDITIONS.keys()
    CONDITIONS.update(_family.CONDITIONS)
