"""The lab's "Git": the team's repository and the chart it deploys, rendered to objects.

Argo CD's controller asks `Repository.manifests`; nothing here talks to a cluster or knows a scenario.
"""

from __future__ import annotations

from lab.git.chart import ChartError, render
from lab.git.repository import Repository, SourceError

__all__ = ["ChartError", "Repository", "SourceError", "render"]
