"""A18 and G9: somebody deleted the monitoring Application with everything it deploys, and stopped Argo CD half-way.

Argo CD had come as far as Grafana's ClusterRole and its binding when the Application was told to be skipped. It is
still being deleted: its finalizer waits, and would take the rest with it. Grafana's sidecars may not list anything any
more and crash.
"""

from lab.controllers.argocd.controller import FINALIZER, SKIP
from lab.scenarios import monitoring
from lab.scenarios.builder import Builder
from lab.scenarios.world import Scenario

_RBAC = "rbac.authorization.k8s.io"
_SINCE = 22.0  # minutes
_SIDECARS = """          sidecar:
            image:
              tag: 2.0.3
            datasources:
              defaultDatasourceEnabled: false
"""


def _values(text: str) -> str:
    """Both sidecars on, of the generation that ends at the first refusal."""
    before, rest = text.split("          sidecar:\n", 1)
    after = rest[rest.index("          datasources:\n            datasources.yaml:") :]
    return before + _SIDECARS + after


def _half(world: Builder) -> None:
    world.remove(f"clusterroles.{_RBAC}", None, f"{monitoring.GRAFANA}-clusterrole")
    world.remove(f"clusterrolebindings.{_RBAC}", None, f"{monitoring.GRAFANA}-clusterrolebinding")
    app = monitoring.application(world, monitoring.APP)
    app["metadata"] |= {
        "deletionTimestamp": world.time(_SINCE),
        "deletionGracePeriodSeconds": 0,
        "finalizers": [FINALIZER],
    }
    app["metadata"].setdefault("annotations", {})[SKIP] = "true"


SCENARIO = Scenario(values=_values, change=_half)
