"""Nothing at all, not even a node: for the API contract."""

from lab.scenarios.world import Scenario

SCENARIO = Scenario(nothing=True)
