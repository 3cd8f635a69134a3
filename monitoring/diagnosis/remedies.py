"""The slugs of catalogue actions that findings name, with the parameters a finding knows. Only names: the actions
themselves are the catalogue's business, and a test in portal holds the two against each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

REPAIR = "repair-grafana-in-place"
STANDALONE = "grafana-standalone"
USE_PROMETHEUS = "use-prometheus-ui"
DATASOURCES = "configure-datasources"
DASHBOARDS = "import-dora-dashboards"
ADMIN_SECRET = "create-grafana-admin-secret"  # noqa: S105 - the name of an action
ONE_DEFAULT = "fix-duplicate-default-datasource"
RESTART = "rollout-restart"
RESUME_ROLLOUT = "resume-rollout"
ROLLBACK = "rollback-deployment"
SCALE = "scale-workload"
DELETE_POD = "delete-pod"
FORCE_DELETE_POD = "force-delete-pod"
RECREATE_JOB = "recreate-job"
CORDON = "cordon"
UNCORDON = "uncordon"
DRAIN = "drain"
TAINT = "taint"
UNTAINT = "untaint"
DEFAULT_CLASS = "set-default-storage-class"
EXPAND_CLAIM = "expand-claim"
REFRESH = "refresh-application"
SYNC = "sync-application"
SYNC_RESOURCES = "sync-selected-resources"
TERMINATE = "terminate-operation"
CLEAR_HOOK = "clear-stuck-hook"
CLEAR_OPERATION = "clear-stale-operation"
PAUSE_SYNC = "pause-auto-sync"
RESUME_SYNC = "resume-auto-sync"
STOP_DELETION = "stop-cascading-deletion"
ROLLBACK_APP = "roll-back-application"
HELM_VALUES = "set-helm-values"
CHANNEL = "create-notification-channel"
TEST_ALERT = "send-test-alert"
FIX_MONITOR = "fix-monitor-selection"
REVERT_RULE = "revert-bad-rule"

#: every slug a finding may name
REMEDIES = frozenset(value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str))


@dataclass(frozen=True, slots=True)
class Remedy:
    """An action, and what of its parameters is known."""

    slug: str
    parameters: dict[str, str] = field(default_factory=dict)


def remedy(slug: str, **parameters: str) -> Remedy:
    """An action with the parameters that are known; empty ones are left to the person."""
    return Remedy(slug, {key: value for key, value in parameters.items() if value})


def unique(remedies: Iterable[Remedy]) -> list[Remedy]:
    """Each action once, the first of its kind."""
    found: dict[str, Remedy] = {}
    for each in remedies:
        found.setdefault(each.slug, each)
    return list(found.values())
