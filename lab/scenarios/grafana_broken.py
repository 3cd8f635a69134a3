"""The report's hour: the last sync failed at its retry limit, then the Grafana Deployment was removed by hand (A2)."""

from lab.scenarios import monitoring
from lab.scenarios.world import Scenario

SCENARIO = Scenario(
    change=monitoring.remove_grafana,
    failed={
        monitoring.APP: (
            19.0,
            "one or more synchronization tasks completed unsuccessfully",
            f"Deployment/{monitoring.GRAFANA}",
        )
    },
    events=True,
)
