"""What one turn of a run works with, and how a turn ends. No decisions here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from deployments.catalogue.action import Condition, StepSpec
from deployments.catalogue.seen import Line
from deployments.engine import document as documents
from deployments.engine.cluster import Cluster
from deployments.engine.document import Document
from deployments.engine.journal import Entry, Journal
from deployments.models import Run, Step
from deployments.states import RunState, StepState

#: seconds until the next look at the run
Pause = float
#: look again at once
GO_ON: Final = 0.0
#: the run has ended
END: Final = -1.0

#: between two looks of a wait
POLL = 1.0


@dataclass(slots=True)
class Turn:
    """One look at one run."""

    journal: Journal
    cluster: Cluster
    run: Run
    document: Document

    @property
    def index(self) -> int:
        """The step this turn is about."""
        return self.run.current_step

    @property
    def spec(self) -> StepSpec:
        return self.document.steps[self.index].spec

    @property
    def key(self) -> str:
        return self.document.steps[self.index].target

    @property
    def mark(self) -> str:
        return documents.mark_of(self.run.pk, self.index)

    def words(self, time: str, secret: str = documents.SECRET) -> dict[str, str]:
        """The placeholders of this step; without ``secret`` only its place is shown."""
        return documents.words(self.run.requested_by.get_username(), self.mark, time, secret)

    def current_step(self) -> Step:
        """The row of the step this turn is about."""
        return Step.objects.get(run_id=self.run.pk, index=self.index)

    def condition(self, condition: Condition) -> Condition:
        """A condition with its placeholders filled in."""
        return Condition(condition.name, documents.fill(condition.args, self.words("")))

    def log(self, entry: Entry, lines: Iterable[Line]) -> None:
        """Lines of a look, under this step."""
        for line in lines:
            entry.log(line.text, step=self.index, level=line.level)

    def end(
        self,
        state: RunState,
        sentence: str,
        step_state: StepState | None = None,
        *,
        then: Callable[[Entry], None] | None = None,
        **outcome: Any,
    ) -> Pause:
        """End the run in this step. What was done before is said, and what was not is marked as skipped.

        ``then`` is written in the same transaction.
        """
        with self.journal.write() as entry:
            if self.index < len(self.document.steps):
                step = entry.step(self.index)
                if step_state is not None:
                    step.state, step.outcome_at = step_state.value, entry.at
                    step.sentence = sentence
                    step.outcome = {**(step.outcome or {}), **outcome, "sentence": sentence}
                    entry.save(step)
            entry.run.steps.filter(state=StepState.PENDING.value).update(state=StepState.SKIPPED.value)
            entry.move(state, f"{sentence}{self.done_so_far()}")
            if then is not None:
                then(entry)
        return END

    def done_so_far(self) -> str:
        """What was made before the run ended early, as a sentence to append: also by a step whose wait then failed."""
        steps = list(self.run.steps.order_by("index"))
        made = [step.title for step in steps if "recovered" in (step.outcome or {})]
        if made:
            return f" Made before it ended: {'; '.join(made)}."
        unsure = any(step.state == StepState.UNKNOWN.value for step in steps)
        return "" if unsure or self.index >= len(self.document.steps) else " Nothing was changed."
