"""Projects, phases and items: what a team said it would do, tied to checks and runs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from deployments.models import Run
from monitoring.models import Check


class Origin(models.TextChoices):
    """Who said so: the project definition, which may take it back, or an imported report."""

    DEFINITION = "definition"
    REPORT = "report"


class Project(models.Model):
    """One project definition (a YAML file in ``projects/``) on one cluster."""

    key = models.SlugField(unique=True, max_length=60)
    title = models.CharField(max_length=120)
    cluster = models.CharField(max_length=63)
    definition_hash = models.CharField(max_length=64, blank=True)
    #: keys of the components that this definition put on the status page
    component_keys = models.JSONField(default=list)

    class Meta:
        permissions = [
            ("view_board", "May read the board"),
            ("request_check", "May ask for a fresh reading"),
            ("attest_item", "May attest an item"),
            ("manage_project", "May exempt items, import reports and change the project"),
        ]

    def __str__(self) -> str:
        return self.title


class Phase(models.Model):
    """A phase of a project. ``claimed_percent`` is what the hand-written report said, beside what the cluster says."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="phases")
    key = models.SlugField(max_length=60)
    number = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=120)
    claimed_percent = models.PositiveSmallIntegerField(null=True)
    claimed_on = models.DateField(null=True)
    #: the phase that must be proven before this one may start
    gate = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="opens")
    #: when every item behind the gate was first proven; a phase that has begun is not held back by its gate again
    opened_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="checklists_phase_once")]

    def __str__(self) -> str:
        return f"{self.number} {self.title}"


class Item(models.Model):
    """A line of the checklist. Its identity is ``(project, key)``, never its title."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="items")
    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="items")
    key = models.SlugField(max_length=80)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    position = models.PositiveIntegerField(default=0)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="items")
    due_on = models.DateField(null=True)
    #: catalogue slugs, best first
    remedies = models.JSONField(default=list)
    #: keys of the items that must be proven first
    blocked_by = models.JSONField(default=list)
    #: other titles under which reports name this item
    aliases = models.JSONField(default=list)
    #: needs a person's word: proven only while an Attestation is valid
    needs_attestation = models.BooleanField(default=False)
    #: what the person says and for how long: ``{"statement": "...", "valid_days": 90}``
    attestation = models.JSONField(default=dict)
    exempt_until = models.DateField(null=True)
    exempt_by = models.CharField(max_length=150, blank=True)
    exempt_why = models.TextField(blank=True)
    #: where the item came from: ``{"report": "...", "lines": [a, b]}``
    provenance = models.JSONField(default=dict)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.DEFINITION)
    retired = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="checklists_item_once")]

    def __str__(self) -> str:
        return self.title


class ItemCheck(models.Model):
    """Binds an item to a check."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="item_checks")
    check_ref = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="item_checks")
    title = models.CharField(max_length=120)
    position = models.PositiveSmallIntegerField(default=0)
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.DEFINITION)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["item", "check_ref"], name="checklists_itemcheck_once")]

    def __str__(self) -> str:
        return f"{self.item_id} {self.title}"


class ItemSpan(models.Model):
    """A stretch of time in which an item had one word and cause; written with the Span that moved it."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="spans")
    word = models.CharField(max_length=24)
    cause = models.CharField(max_length=80, blank=True)
    sentence = models.TextField(blank=True)
    #: was verified before and stopped being so by itself
    regressed = models.BooleanField(default=False)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["opened_at"]
        indexes = [models.Index(fields=["item", "opened_at"], name="checklists_itemspan_history")]
        constraints = [
            models.UniqueConstraint(
                fields=["item"], condition=models.Q(closed_at=None), name="checklists_itemspan_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.item_id} {self.word}"


class RunItem(models.Model):
    """A run that was started to repair an item."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="run_items")
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="run_items")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "item"], name="checklists_runitem_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.item_id}"


class Attestation(models.Model):
    """A person's word for what no check can see, with an expiry."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="attestations")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    statement = models.TextField()
    at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.item_id} {self.at:%F}"


class Report(models.Model):
    """An imported progress report, whole, with what was understood of it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reports")
    digest = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    dated_on = models.DateField(null=True)
    markdown = models.TextField()
    understood = models.JSONField(default=dict)
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    imported_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "digest"], name="checklists_report_once")]

    def __str__(self) -> str:
        return self.title


class Decision(models.Model):
    """A decision taken, with its reason and alternatives (from a report or from choosing a remedy)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="decisions")
    key = models.SlugField(max_length=80)
    title = models.CharField(max_length=200)
    body = models.JSONField(default=dict)
    report = models.ForeignKey(Report, on_delete=models.SET_NULL, null=True, related_name="decisions")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="checklists_decision_once")]

    def __str__(self) -> str:
        return self.title


class Choice(models.Model):
    """What a team has to decide, with its options as the cluster stands; read beside the observer."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="choices")
    key = models.SlugField(max_length=40)
    #: ``deployments.catalogue.dashboards.options.Option`` as JSON, the likeliest first
    options = models.JSONField(default=list)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="checklists_choice_once")]

    def __str__(self) -> str:
        return f"{self.key} {self.at:%F %T}"


class Lesson(models.Model):
    """A lesson learned, from a report."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="lessons")
    key = models.SlugField(max_length=80)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    report = models.ForeignKey(Report, on_delete=models.SET_NULL, null=True, related_name="lessons")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="checklists_lesson_once")]

    def __str__(self) -> str:
        return self.title


class Diagnosis(models.Model):
    """Why an item is not proven, as it was last found beside the observer. Pages read it; they ask no cluster."""

    item = models.OneToOneField(Item, on_delete=models.CASCADE, primary_key=True, related_name="diagnosis")
    #: the stretch it explains: a new one is diagnosed anew
    span = models.ForeignKey(ItemSpan, on_delete=models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
    #: ``monitoring.verdict.Finding`` as JSON, most likely first
    findings = models.JSONField(default=list)

    class Meta:
        verbose_name_plural = "diagnoses"

    def __str__(self) -> str:
        return f"{self.item_id} {self.at:%F %T}"


class ReportDraft(models.Model):
    """A report looked at before it is imported. Its claims are judged beside the observer; nothing else is kept."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="drafts")
    markdown = models.TextField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    made_at = models.DateTimeField()
    #: ``Preview.to_json()``: by the stored evidence at first, by the cluster once ``judged_at`` is set
    understood = models.JSONField(default=dict)
    judged_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["made_at"], name="checklists_draft_open", condition=models.Q(judged_at=None))]

    def __str__(self) -> str:
        return f"{self.pk} {self.made_at:%F %T}"
