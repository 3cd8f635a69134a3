"""The parameters that actions of this family share: which object, and how long it may take."""

from __future__ import annotations

from typing import Annotated

import msgspec

from deployments.catalogue.action import Params
from deployments.catalogue.workloads.targets import Kind

NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"

Name = Annotated[str, msgspec.Meta(pattern=NAME, description="Name")]
Namespace = Annotated[str, msgspec.Meta(pattern=_NAMESPACE, description="Namespace")]
Hold = Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long it must stay ready (seconds)")]
Patience = Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long it may take (seconds)")]


class DeploymentParams(Params, frozen=True):
    """Which Deployment, and how long its rollout may take."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="Deployment")]
    hold_seconds: Hold = 30
    rollout_seconds: Patience = 600


class WorkloadParams(Params, frozen=True):
    """Which workload, and how long its rollout may take."""

    namespace: Namespace
    name: Name
    kind: Annotated[Kind, msgspec.Meta(description="Kind")] = "Deployment"
    hold_seconds: Hold = 30
    rollout_seconds: Patience = 600


class PodParams(Params, frozen=True):
    """Which pod, and how long its end may take."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="Pod")]
    wait_seconds: Patience = 300
