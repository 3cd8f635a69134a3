"""Jobs and CronJobs, and what limits workloads from outside: disruption budgets and autoscalers (see ``objects``)."""

from __future__ import annotations

from datetime import datetime

from integrations.kubernetes.parts import Condition, KubeObject, LabelSelector, ObjectReference, Part


class JobSpec(Part, frozen=True):
    completions: int | None = None
    backoff_limit: int | None = None
    suspend: bool = False


class JobStatus(Part, frozen=True):
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: list[Condition] = []


class Job(KubeObject, frozen=True):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class CronJobSpec(Part, frozen=True):
    schedule: str = ""
    suspend: bool = False
    concurrency_policy: str = ""


class CronJobStatus(Part, frozen=True):
    active: list[ObjectReference] = []
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None


class CronJob(KubeObject, frozen=True):
    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()


class BudgetSpec(Part, frozen=True):
    #: None selects no pod; an empty one selects every pod of the namespace (policy/v1)
    selector: LabelSelector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str = ""


class BudgetStatus(Part, frozen=True):
    observed_generation: int = 0
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class Budget(KubeObject, frozen=True):
    """A PodDisruptionBudget."""

    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


class ScaleTarget(Part, frozen=True):
    kind: str = ""
    name: str = ""


class AutoscalerSpec(Part, frozen=True):
    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int | None = None
    max_replicas: int = 0


class Autoscaler(KubeObject, frozen=True):
    """A HorizontalPodAutoscaler."""

    spec: AutoscalerSpec = AutoscalerSpec()
