"""The chart's own routing: every alert goes to the receiver `null`, and nobody is told that production is broken.

The checkout's Deployment asks for an image that its registry does not have, so alerts fire and reach Alertmanager.
"""

from lab.scenarios.builder import Builder
from lab.scenarios.cluster import DAY, container, workload
from lab.scenarios.world import Scenario

_IMAGE = "registry.platform.example/shop/checkout:2025.11.3"


def _checkout(world: Builder) -> None:
    labels = {"app.kubernetes.io/name": "checkout"}
    pod = {"containers": [container("checkout", _IMAGE, ports=[{"name": "http", "containerPort": 8080}])]}
    world.add(workload("Deployment", "checkout", "prod", labels, pod, replicas=2), 2 * DAY)


SCENARIO = Scenario(change=_checkout)
