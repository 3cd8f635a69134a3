"""The frame of one request to GitHub about a branch of the portal's own, as a step. Pure."""

from __future__ import annotations

from functools import partial

from deployments.catalogue.action import StepSpec
from deployments.catalogue.proposals import hub

_SECONDS = 120


def step(kind: str, repository: str, branch: str) -> partial[StepSpec]:
    """A step about this branch (``kind``: Branch, Commit or PullRequest): what it says and asks is added.

    One run at a time makes, or takes back, one change: the name is a target's, so it has no slashes.
    """
    target = f"{repository}:{branch.removeprefix(hub.PREFIX)}".replace("/", ":")
    return partial(
        StepSpec,
        how="GitHub's API",
        resource=f"{kind}.github",
        namespace="",
        name=target,
        timeout_seconds=_SECONDS,
    )
