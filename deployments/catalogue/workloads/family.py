"""The workloads, pods and jobs family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.seen import Predicate
from deployments.catalogue.workloads import (
    delete_pod,
    drop_container,
    evict_pod,
    force_delete_pod,
    jobs,
    pause,
    pods,
    recreate_job,
    recreate_strategy,
    restart,
    restart_operated,
    rollback,
    rollout,
    run_cronjob,
    scale,
    set_container,
    set_env,
)

ACTIONS: tuple[Action, ...] = (
    restart.ACTION,
    restart_operated.ACTION,
    rollback.ACTION,
    scale.ACTION,
    pause.PAUSE,
    pause.RESUME,
    drop_container.ACTION,
    set_env.ACTION,
    set_container.IMAGE,
    set_container.RESOURCES,
    recreate_strategy.ACTION,
    delete_pod.ACTION,
    evict_pod.ACTION,
    force_delete_pod.ACTION,
    recreate_job.ACTION,
    run_cronjob.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "rolled_out": Predicate(rollout.needs, rollout.rolled_out),
    "workload_rolled_out": Predicate(rollout.needs, rollout.rolled_out),
    "workload_observed": Predicate(rollout.needs, rollout.observed),
    "workload_scaled": Predicate(rollout.scaled_needs, rollout.scaled),
    "operated_rolled_out": Predicate(restart_operated.wait_needs, restart_operated.rolled_out),
    "not_paused": Predicate(rollout.needs, rollout.not_paused),
    "rollout_paused": Predicate(rollout.needs, rollout.is_paused),
    "pod_gone": Predicate(pods.needs, pods.gone),
    "pod_leaving": Predicate(pods.needs, pods.leaving),
    "pod_replaced": Predicate(pods.needs, pods.replaced),
    "pod_lost": Predicate(force_delete_pod.look_needs, force_delete_pod.lost),
    "job_done": Predicate(jobs.needs, jobs.done),
    "job_gone": Predicate(jobs.needs, jobs.gone),
}
