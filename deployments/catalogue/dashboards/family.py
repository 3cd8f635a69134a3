"""The Grafana family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.dashboards import repair
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (repair.ACTION,)

CONDITIONS: dict[str, Predicate] = {}
