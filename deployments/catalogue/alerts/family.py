"""The Alertmanager and Prometheus family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = ()

CONDITIONS: dict[str, Predicate] = {}
