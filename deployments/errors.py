"""Why a person's request is not done, as one sentence for them. Nothing here is a bug or an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied

if TYPE_CHECKING:
    from deployments.models import Run


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error
    """The request is understood and not done: ``str()`` says why and what to do."""


class NotAllowed(Refusal, PermissionDenied):
    """This person may not do this. Also Django's own denial, so that a view that forgets it answers 403."""


class Unfit(Refusal):
    """The plan cannot be run as it stands: unmet preconditions, moved targets, an unknown plan."""


class TargetBusy(Refusal):
    """Another run holds one of the targets: ``run`` is that run, to be shown instead."""

    def __init__(self, run: Run, sentence: str) -> None:
        super().__init__(sentence)
        self.run = run


class TooOften(Refusal):
    """A rate limit: the sentence says when there is room again."""


class Unconfirmed(Refusal):
    """The person did not type what they were asked to type."""
