"""What only a person can say. The word comes from the item's Attestation, which this layer does not know."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from monitoring.checks.base import CheckType, Params, unknown
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Verdict


class Attestation(Params, frozen=True):
    """Parameters of ``attestation``."""

    statement: Annotated[str, Meta(min_length=1, max_length=300, description="what the person attests")]
    valid_days: Annotated[int, Meta(ge=1, le=366, description="for how long")] = 90


def _needs(_: Snapshot, __: Attestation) -> Iterable[Need]:
    return ()


def _evaluate(_: Snapshot, params: Attestation, __: datetime) -> Verdict:
    sentence = f"No check can see this; a person has to attest: {params.statement}"
    return unknown("not_attested", sentence, "not attested")


TYPES = (
    CheckType(
        slug="attestation",
        title="Attested by a person",
        summary="A person's word, with an expiry, for what no check can see.",
        params=Attestation,
        needs=_needs,
        evaluate=_evaluate,
        command=lambda _: "",
        expected=lambda p: p.statement,
        source="person",
        watched=False,
        limit_seconds=366 * 86400,
    ),
)
