"""All is well: the stack of the report with Grafana running."""

from lab.scenarios.world import Scenario

SCENARIO = Scenario()
