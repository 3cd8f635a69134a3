"""The workloads, pods and jobs family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.seen import Predicate
from deployments.catalogue.workloads import pods, restart, rollout

ACTIONS: tuple[Action, ...] = (restart.ACTION,)

CONDITIONS: dict[str, Predicate] = {
    "rolled_out": Predicate(rollout.needs, rollout.rolled_out),
    "workload_rolled_out": Predicate(rollout.needs, rollout.rolled_out),
    "not_paused": Predicate(rollout.needs, rollout.not_paused),
    "rollout_paused": Predicate(rollout.needs, rollout.is_paused),
    "pod_gone": Predicate(pods.needs, pods.gone),
    "pod_replaced": Predicate(pods.needs, pods.replaced),
    "pod_long_overdue": Predicate(pods.needs, pods.long_overdue),
}
