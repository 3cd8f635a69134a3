"""What was read: sources, checks, their current evidence and their history (design §5).

Status is derived from these facts and the clock at read time; nothing here stores *stale*.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Source(models.Model):
    """One system read for one cluster: ``kubernetes``, ``argocd``, ``prometheus``, ``alertmanager``, ``grafana``.

    One row is touched per confirmation, never one per check. ``watches`` holds, per resource key, when its watch
    was last known to be alive (ISO 8601); ``confirmed_at`` is the oldest of them, or the time of the last good poll.
    """

    cluster = models.CharField(max_length=63)
    name = models.CharField(max_length=40)
    mode = models.CharField(max_length=8, choices=[("watch", "watch"), ("poll", "poll")], default="poll")
    reachable = models.BooleanField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    watches = models.JSONField(default=dict)
    address = models.CharField(max_length=300, blank=True)
    identity = models.CharField(max_length=200, blank=True)
    version = models.CharField(max_length=60, blank=True)
    latency_ms = models.FloatField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    error_at = models.DateTimeField(null=True)
    #: how old a confirmation may be before everything read from here is stale
    limit_seconds = models.PositiveIntegerField(default=60)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cluster", "name"], name="monitoring_source_once")]
        ordering = ["cluster", "name"]

    def __str__(self) -> str:
        return f"{self.cluster}/{self.name}"


class SourceSpan(models.Model):
    """A stretch of time in which a source did or did not answer."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="spans")
    reachable = models.BooleanField()
    error = models.CharField(max_length=300, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(closed_at=None), name="monitoring_sourcespan_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.reachable} {self.opened_at:%F %T}"


class Check(models.Model):
    """A check type with its parameters, once per cluster however many items use it."""

    cluster = models.CharField(max_length=63)
    type = models.CharField(max_length=60)
    params = models.JSONField(default=dict)
    params_hash = models.CharField(max_length=64)
    #: evidence older than this many seconds reads stale
    limit_seconds = models.PositiveIntegerField(default=60)
    #: no item uses it any more: not evaluated, history kept
    retired = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["cluster", "type", "params_hash"], name="monitoring_check_once")]

    def __str__(self) -> str:
        return f"{self.cluster} {self.type} {self.params_hash[:8]}"


class Evidence(models.Model):
    """The current reading of a check. Written by the observer alone."""

    check_ref = models.OneToOneField(Check, on_delete=models.CASCADE, related_name="evidence", primary_key=True)
    word = models.CharField(max_length=10)
    sentence = models.TextField()
    expected = models.CharField(max_length=300, blank=True)
    observed = models.CharField(max_length=300, blank=True)
    cause = models.CharField(max_length=80, blank=True)
    facts = models.JSONField(default=dict)
    #: source, query or object references with resourceVersion, digest of the reply, time, checker version
    receipt = models.JSONField(default=dict)
    #: the kubectl, PromQL or curl line a person can run to see the same
    command = models.TextField(blank=True)
    source = models.CharField(max_length=40)
    #: watch-backed: age is the source's confirmation; else age is ``observed_at``
    watched = models.BooleanField(default=False)
    observed_at = models.DateTimeField()
    evaluated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "evidence"

    def __str__(self) -> str:
        return f"{self.check_ref_id} {self.word}"


class Span(models.Model):
    """A stretch of time with one word and one cause. A transition is a Span's opening; rows are only ever closed."""

    check_ref = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="spans")
    word = models.CharField(max_length=10)
    cause = models.CharField(max_length=80, blank=True)
    sentence = models.TextField(blank=True)
    receipt = models.JSONField(default=dict)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["opened_at"]
        indexes = [models.Index(fields=["check_ref", "opened_at"], name="monitoring_span_history")]
        constraints = [
            models.UniqueConstraint(
                fields=["check_ref"], condition=models.Q(closed_at=None), name="monitoring_span_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.check_ref_id} {self.word} {self.opened_at:%F %T}"


class CheckRequest(models.Model):
    """Somebody asks for a fresh reading. The observer polls these each second and is woken through Redis."""

    cluster = models.CharField(max_length=63)
    check_ref = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="requests")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    requested_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["cluster"], condition=models.Q(done_at=None), name="monitoring_request_open")]

    def __str__(self) -> str:
        return f"{self.check_ref_id} {self.requested_at:%F %T}"


class Component(models.Model):
    """A part of the platform on the status page: its word is its checks', its facts come from their evidence."""

    cluster = models.CharField(max_length=63)
    key = models.SlugField(max_length=60)
    title = models.CharField(max_length=100)
    group = models.CharField(max_length=100, blank=True)
    detail = models.CharField(max_length=200, blank=True)
    position = models.PositiveIntegerField(default=0)
    checks = models.ManyToManyField(Check, related_name="components")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["cluster", "key"], name="monitoring_component_once")]

    def __str__(self) -> str:
        return self.title


class Leader(models.Model):
    """Which observer leads a cluster: one row, taken over when its heartbeat is 10 s old."""

    cluster = models.CharField(max_length=63, primary_key=True)
    holder = models.CharField(max_length=100)
    fence = models.PositiveBigIntegerField(default=1)
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.cluster} {self.holder}"
