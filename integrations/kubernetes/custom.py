"""The fields Phaseboard reads of custom resources: Argo CD's and prometheus-operator's (see ``objects``).

Source of the fields: Argo CD's ``application-crd.yaml`` and prometheus-operator's API reference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from integrations.kubernetes.parts import Condition, KubeObject, Part


class HelmSource(Part, frozen=True):
    release_name: str = ""
    values: str = ""
    values_object: Any = None
    parameters: Any = None
    value_files: list[str] | None = None


class AppSource(Part, frozen=True):
    repo_url: str = msgspec.field(name="repoURL", default="")
    path: str = ""
    chart: str = ""
    target_revision: str = ""
    ref: str = ""
    helm: HelmSource | None = None
    #: kept raw: only whether and how the source is rendered matters
    directory: Any = None
    kustomize: Any = None
    plugin: Any = None


class Automated(Part, frozen=True):
    prune: bool = False
    self_heal: bool = False
    enabled: bool | None = None


class Backoff(Part, frozen=True):
    duration: str = ""
    factor: int | None = None
    max_duration: str = ""


class Retry(Part, frozen=True):
    limit: int | None = None
    backoff: Backoff | None = None


class SyncPolicy(Part, frozen=True):
    automated: Automated | None = None
    sync_options: list[str] = []
    retry: Retry | None = None


class Destination(Part, frozen=True):
    server: str = ""
    name: str = ""
    namespace: str = ""


class IgnoreRule(Part, frozen=True):
    """Differences that Argo CD is told not to see."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    json_pointers: list[str] = []
    jq_path_expressions: list[str] = []


class AppSpec(Part, frozen=True):
    project: str = ""
    source: AppSource | None = None
    sources: list[AppSource] | None = None
    destination: Destination = Destination()
    sync_policy: SyncPolicy = SyncPolicy()
    ignore_differences: list[IgnoreRule] = []


class SyncStatus(Part, frozen=True):
    status: str = ""
    revision: str = ""


class HealthStatus(Part, frozen=True):
    status: str = ""
    message: str = ""


class AppResource(Part, frozen=True):
    group: str = ""
    version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    health: HealthStatus | None = None
    requires_pruning: bool = False
    hook: bool = False


class SyncResultResource(Part, frozen=True):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    message: str = ""
    hook_type: str = ""
    hook_phase: str = ""


class SyncResult(Part, frozen=True):
    revision: str = ""
    resources: list[SyncResultResource] | None = None


class OperationState(Part, frozen=True):
    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_count: int = 0
    sync_result: SyncResult | None = None
    operation: Any = None


class AppCondition(Part, frozen=True):
    type: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class HistoryEntry(Part, frozen=True):
    id: int = 0
    revision: str = ""
    deployed_at: datetime | None = None
    deploy_started_at: datetime | None = None
    #: what was deployed at that revision; kept raw: a chart's version is no revision of its values
    source: Any = None
    sources: Any = None


class AppStatus(Part, frozen=True):
    sync: SyncStatus = SyncStatus()
    health: HealthStatus = HealthStatus()
    operation_state: OperationState | None = None
    conditions: list[AppCondition] = []
    resources: list[AppResource] = []
    history: list[HistoryEntry] = []
    reconciled_at: datetime | None = None
    source_type: str = ""


class Application(KubeObject, frozen=True):
    spec: AppSpec = AppSpec()
    operation: Any = None
    status: AppStatus = AppStatus()


class SyncWindow(Part, frozen=True):
    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: list[str] = []
    namespaces: list[str] = []
    clusters: list[str] = []
    time_zone: str = ""
    manual_sync: bool = False
    #: all of applications, namespaces and clusters have to match, not any of them (Argo CD 2.14)
    and_operator: bool = False


class AppProjectSpec(Part, frozen=True):
    sync_windows: list[SyncWindow] = []


class AppProject(KubeObject, frozen=True):
    spec: AppProjectSpec = AppProjectSpec()


class OperatorSpec(Part, frozen=True):
    """Prometheus and Alertmanager custom resources: what the report's claims are about."""

    replicas: int | None = None
    paused: bool = False
    version: str = ""
    retention: str = ""
    scrape_interval: str = ""
    evaluation_interval: str = ""
    storage: Any = None
    affinity: Any = None
    config_secret: str = ""
    service_monitor_selector: Any = None
    rule_selector: Any = None
    alertmanager_config_selector: Any = None


class OperatorStatus(Part, frozen=True):
    #: Reconciled and Available, since operator 0.57
    conditions: list[Condition] = []


class OperatorObject(KubeObject, frozen=True):
    spec: OperatorSpec = OperatorSpec()
    status: OperatorStatus = OperatorStatus()
