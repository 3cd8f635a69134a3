"""What every decoded object is built from: the base structs, metadata and conditions (see ``objects``)."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A piece of an object; unknown fields are ignored."""


class OwnerReference(Part, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(Part, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    #: when it should be gone: the request's time and the grace period
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []


class KubeObject(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Any object: what every check may ask of it."""

    metadata: Meta = Meta()


class Condition(Part, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class LabelRequirement(Part, frozen=True):
    key: str = ""
    operator: str = ""
    values: list[str] = []


class LabelSelector(Part, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: list[LabelRequirement] = []


class ObjectReference(Part, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""
