"""G3: Grafana's SQLite file is on the network disk, and a rolling update has started a second Grafana on it.

Somebody gave Grafana more memory. NFS lets both pods mount the volume, the old one holds the database's lock, the new
one never gets it and is killed by its liveness probe; the rollout waits for the new one, so the old one is never taken
away.
"""

from lab.scenarios import monitoring
from lab.scenarios.world import Scenario

_DISK = "            enabled: true\n            storageClassName: nfs-client\n            size: 10Gi\n"
_MEMORY = "              memory: 1Gi\n"


def _values(text: str) -> str:
    return text.replace("          persistence:\n            enabled: false\n", f"          persistence:\n{_DISK}")


def _before(text: str) -> str:
    return text.replace(_MEMORY, "              memory: 768Mi\n")


SCENARIO = Scenario(
    values=_values,
    before=_before,
    failed={
        monitoring.APP: (
            12.0,
            "one or more synchronization tasks completed unsuccessfully",
            f"Deployment/{monitoring.GRAFANA}",
        )
    },
)
