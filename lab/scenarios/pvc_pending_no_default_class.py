"""As before the team's first commit: no StorageClass is the default, and the values name none.

The claims of Prometheus and Alertmanager stay Pending, and so do their pods.
"""

from lab.controllers.volumes import CLASSES, DEFAULT_CLASS
from lab.scenarios.builder import Builder
from lab.scenarios.world import Scenario


def _values(text: str) -> str:
    return text.replace("                  storageClassName: nfs-client\n", "")


def _no_default(world: Builder) -> None:
    for found in world.list(CLASSES):
        found["metadata"].get("annotations", {}).pop(DEFAULT_CLASS, None)
        if not found["metadata"].get("annotations"):
            found["metadata"].pop("annotations", None)


SCENARIO = Scenario(values=_values, change=_no_default)
