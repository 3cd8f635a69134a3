"""Plans, approvals and runs (design §6). The row is the job; a Celery message is only a wake-up."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from ulid import ULID

from deployments.states import LIVE, FollowState, RequestState, RunState, StepState


def new_ulid() -> str:
    """A sortable id of 26 characters."""
    return str(ULID())


class PlanRequest(models.Model):
    """A click on a remedy. Its page fills by the stream and becomes the Plan's."""

    id = models.CharField(primary_key=True, max_length=26, default=new_ulid, editable=False)
    cluster = models.CharField(max_length=63)
    action = models.SlugField(max_length=80)
    params = models.JSONField(default=dict)
    #: what the person came from (``item:<id>``), so that the run can be tied to it; deployments knows no items
    context = models.CharField(max_length=80, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    requested_at = models.DateTimeField()
    idempotency_key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in RequestState])
    sentence = models.TextField(blank=True)
    plan = models.ForeignKey("Plan", on_delete=models.PROTECT, null=True, related_name="requests")
    claimed_at = models.DateTimeField(null=True)
    #: how often a worker began; three without an end is a failure
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-requested_at"]

    def __str__(self) -> str:
        return f"{self.id} {self.action}"


class Plan(models.Model):
    """What would be done, exactly. Its id is the SHA-256 of what never changes: action, parameters, steps, targets."""

    hash = models.CharField(primary_key=True, max_length=64)
    cluster = models.CharField(max_length=63)
    action = models.SlugField(max_length=80)
    params = models.JSONField(default=dict)
    tier = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    #: steps with diffs, targets, verification, undo, blast radius, management note, kubectl lines (engine.document)
    document = models.JSONField()
    #: the latest reading of what must hold before it may run (outside the hash: it changes with the cluster)
    preconditions = models.JSONField(default=list)
    #: the latest answer to "may the writing identity do this?", one row per rule
    rights = models.JSONField(default=list)
    created_at = models.DateTimeField()
    #: when somebody last compared the targets with the cluster, and the sentence if they no longer fit
    compared_at = models.DateTimeField(null=True)
    moved = models.TextField(blank=True)
    #: why the latest comparison could not be made; the answer before it stands, with its age
    unread = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.hash[:8]} {self.action}"


class Run(models.Model):
    """One carrying-out of one Plan. Held by a lease with a fencing number; every write names its fence."""

    id = models.CharField(primary_key=True, max_length=26, default=new_ulid, editable=False)
    #: the short number people say ("run 42")
    number = models.PositiveIntegerField(unique=True)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="runs")
    cluster = models.CharField(max_length=63)
    action = models.SlugField(max_length=80)
    state = models.CharField(max_length=24, choices=[(s.value, s.value) for s in RunState])
    state_changed_at = models.DateTimeField()
    sentence = models.TextField(blank=True)
    context = models.CharField(max_length=80, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="runs")
    requested_at = models.DateTimeField()
    idempotency_key = models.CharField(max_length=64, unique=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.PositiveBigIntegerField(default=0)
    #: crashes since the last step that was finished
    crashes = models.PositiveSmallIntegerField(default=0)
    #: when a waiting run wants a worker again; empty while a worker holds it
    wake_at = models.DateTimeField(null=True)
    #: preconditions were read again and hold: the first effect may follow
    prepared_at = models.DateTimeField(null=True)
    #: when verifying gives up
    verify_until = models.DateTimeField(null=True)
    #: per target key the uid, fingerprint and leaves that the next effect must find: the plan's, then what we wrote
    expected = models.JSONField(default=dict)
    line_count = models.PositiveIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="cancelled_runs"
    )
    current_step = models.PositiveSmallIntegerField(default=0)
    #: receipts of the plan's verification checks: before the first step, the latest reading, and since when all hold
    before = models.JSONField(default=list)
    now = models.JSONField(default=list)
    holding_since = models.DateTimeField(null=True)
    undo_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="undos")
    #: the run whose plan, as it was read and approved, says that this one follows (or that it is undone by itself)
    covered_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="covers")
    #: while it waits for approval: when nobody needs to answer any more
    waiting_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-requested_at"]
        permissions = [
            ("make_plan", "May ask for a plan"),
            ("run_tier0", "May run tier 0 plans (read, refresh)"),
            ("run_tier1", "May run tier 1 plans (reversible)"),
            ("run_tier2", "May run tier 2 plans (disruptive)"),
            ("run_tier3", "May run tier 3 plans (destructive)"),
            ("approve_plan", "May approve somebody else's plan"),
            ("cancel_run", "May cancel a run"),
            ("stop_writes", "May stop all writes to a cluster"),
            ("break_glass", "May run without the second person, to be reviewed afterwards"),
        ]
        indexes = [
            models.Index(
                fields=["wake_at"], name="deployments_run_due", condition=models.Q(state__in=[s.value for s in LIVE])
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[s.value for s in RunState]), name="deployments_run_state"
            ),
            models.UniqueConstraint(
                fields=["plan"],
                condition=models.Q(state=RunState.WAITING_FOR_APPROVAL.value),
                name="deployments_run_waits_once",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.number} {self.state}"


class Step(models.Model):
    """One step of a run: intent before, outcome after. ``pre_image`` holds the fields the step writes, redacted."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    index = models.PositiveSmallIntegerField()
    verb = models.CharField(max_length=20)
    title = models.CharField(max_length=300)
    target_key = models.CharField(max_length=400, blank=True)
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in StepState])
    intent = models.JSONField(null=True)
    intent_at = models.DateTimeField(null=True)
    outcome = models.JSONField(null=True)
    outcome_at = models.DateTimeField(null=True)
    pre_image = models.JSONField(null=True)
    #: what would bring the target back (engine.restoring), of actions that can be undone; holds no secret
    restore = models.JSONField(null=True)
    irreversible = models.BooleanField(default=False)
    fence = models.PositiveBigIntegerField(default=0)
    #: begins with the first look at the step, ends with its outcome
    started_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    #: what a wait remembers between two looks (the state before the effect, lines already logged)
    memory = models.JSONField(default=dict)
    #: the latest sentence of the wait, or of the outcome
    sentence = models.TextField(blank=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["run", "index"], name="deployments_step_once")]

    @property
    def outcome_known(self) -> bool:
        """The server accepted the effect (and not only: somebody intended it)."""
        return "recovered" in (self.outcome or {})

    def __str__(self) -> str:
        return f"{self.run_id} {self.index} {self.title}"


class FollowUp(models.Model):
    """What a run is followed by without a click: what its plan announced, or its own undo. Started by the sweep."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="follow_ups")
    action = models.SlugField(max_length=80)
    params = models.JSONField(default=dict)
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=[(s.value, s.value) for s in FollowState])
    request = models.ForeignKey(PlanRequest, on_delete=models.SET_NULL, null=True, related_name="+")
    started = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, related_name="follows")
    sentence = models.TextField(blank=True)

    class Meta:
        ordering = ["due_at"]

    def __str__(self) -> str:
        return f"{self.action} after {self.run_id}: {self.state}"


class LogLine(models.Model):
    """A line of a run's log, numbered from 1 without gaps; redacted before it is stored."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    step_index = models.SmallIntegerField(default=-1)
    level = models.CharField(max_length=8, default="info")
    text = models.TextField()

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="deployments_logline_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.number}"


class Approval(models.Model):
    """A second person's word on one run of one plan: a yes that lapses, or a no that ends it.

    It is of the plan's hash, counts for this run alone, and once per person. Rows are never taken away: ``lapsed_at``
    says when a yes stopped counting (expired, given anew, the run went back to waiting).
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="approvals")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approvals")
    granted = models.BooleanField()
    reason = models.TextField()
    at = models.DateTimeField()
    expires_at = models.DateTimeField()
    lapsed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "by"], condition=models.Q(lapsed_at=None), name="deployments_approval_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.plan_id[:8]} {'granted' if self.granted else 'denied'}"


class Review(models.Model):
    """Somebody broke the glass: a run without its second person. Red until another person has read diff and log.

    One per cluster may be open; while it is, nobody breaks the glass again.
    """

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="review")
    cluster = models.CharField(max_length=63)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    reason = models.TextField()
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True)
    #: what the second person found in diff and log
    finding = models.TextField(blank=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["cluster"], condition=models.Q(closed_at=None), name="deployments_review_one_open"
            ),
            models.CheckConstraint(
                condition=models.Q(closed_by=None) | ~models.Q(closed_by=models.F("opened_by")),
                name="deployments_review_by_another",
            ),
            models.CheckConstraint(
                condition=models.Q(closed_by=None, closed_at=None)
                | models.Q(closed_by__isnull=False, closed_at__isnull=False),
                name="deployments_review_closed_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {'closed' if self.closed_at else 'open'}"


class ClusterPolicy(models.Model):
    """A policy (:mod:`deployments.policy`) that whoever is above brought for a cluster, under a name of theirs."""

    cluster = models.CharField(max_length=63)
    source = models.CharField(max_length=100)
    document = models.JSONField()
    hash = models.CharField(max_length=64)
    loaded_at = models.DateTimeField()
    loaded_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["source"]
        constraints = [models.UniqueConstraint(fields=["cluster", "source"], name="deployments_policy_once")]

    def __str__(self) -> str:
        return f"{self.cluster} {self.source}"


class WriteStop(models.Model):
    """The stop switch of a cluster: while the row is there no effect is made, by runs already queued either."""

    cluster = models.CharField(max_length=63, primary_key=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    reason = models.TextField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.cluster} since {self.at:%F %T}"


class Telling(models.Model):
    """How far the audit trail was told outside (:mod:`deployments.engine.telling`); one row per cluster."""

    cluster = models.CharField(max_length=63, primary_key=True)
    #: rows of the trail up to this one were sent, given up, or are nobody's business
    seq = models.PositiveBigIntegerField()
    #: of the message that is next: how often it was tried, and when it may be tried again
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    told_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.cluster} up to {self.seq}"


class Lock(models.Model):
    """One active run per target: every object a Plan writes and its owning Application, all or none."""

    target_key = models.CharField(primary_key=True, max_length=400)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="locks")
    fence = models.PositiveBigIntegerField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.target_key
