"""Scenarios: the worlds the lab can start with. Each is a small module that changes the healthy one.

A scenario module has `SCENARIO = Scenario(...)`. It may change files of the repository, remove or add objects, and say
which Application's last sync failed. It never tells a controller anything: only objects and files carry it over.
"""

from __future__ import annotations

from lab.scenarios.world import NAMES, Built, build

__all__ = ["NAMES", "Built", "build"]
