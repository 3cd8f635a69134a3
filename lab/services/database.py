"""One embedded Prometheus: what it has scraped, its rules, and a PromQL source over both."""

from __future__ import annotations

from collections.abc import Callable

from lab.services.cluster import Cluster, Obj, created
from lab.services.exporters import Context, exposition, scraped
from lab.services.exporters.programs import Notifications
from lab.services.promql import Labels, Matcher, Moment, Node, PromQLError, Samples, Value, Vector, parse
from lab.services.rules import Alert, Evaluator, Group, load
from lab.services.storage import Storage
from lab.services.targets import Target, discover

_STALE_AFTER = 5.0  # seconds after which an unchanged cluster is scraped again


class Database:
    """Scraped on demand: every question first takes what the cluster looks like now."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster, self._clock = cluster, clock
        oldest = [moment for moment in map(created, cluster.list("nodes")) if moment is not None]
        self.storage = Storage(min(oldest, default=clock()))
        self.targets: list[Target] = []
        self.groups: list[Group] = []
        self.alerts: list[Alert] = []
        self.interval = 30.0
        self.scraped_at = 0.0
        self._evaluator = Evaluator()
        self._recording: dict[str, list[tuple[Node, Labels]]] = {}
        self._open: set[str] = set()  # recording rules being evaluated, so that a circle ends
        self._seen: int | None = None

    def refresh(self, owner: Obj, notifications: Notifications, generation: int | None = None) -> None:
        """Scrape and evaluate, unless that was done for the same generation of the cache a moment ago."""
        now = self._clock()
        if generation is not None and generation == self._seen and now - self.scraped_at < _STALE_AFTER:
            return
        self._seen, self.scraped_at = generation, now
        self.targets = discover(owner, self._cluster)
        context = Context(self._cluster, notifications, sum(self.storage.head().values()))
        self.storage.take(now, (one for t in self.targets for one in scraped(t, exposition(t, context))))
        self.interval = self.targets[0].interval if self.targets else 30.0
        self.groups = load(owner, self._cluster)
        self._recording = {}
        for rule in (rule for group in self.groups for rule in group.rules):
            if not rule.alerting and rule.node is not None:
                self._recording.setdefault(rule.name, []).append((rule.node, rule.labels))
        self.alerts = self._evaluator.run(self.groups, self, now, self.storage.epoch)

    def query(self, text: str, moment: float) -> Value:
        """The result of an expression. Raises PromQLError."""
        return Moment(self, moment).value(parse(text))

    # -- a source of series

    def instant(self, name: str, matchers: tuple[Matcher, ...], moment: float) -> Vector:
        found: Vector = []
        for track in self.storage.select(name, matchers):
            value = track.at(moment)
            if value is not None:
                found.append((track.labels, value))
        if name in self._recording:
            found += self._recorded(name, matchers, moment)
        if name in ("ALERTS", ""):
            found += [each for each in self._alert_series(moment) if all(m.fits(each[0]) for m in matchers)]
        return found

    def window(
        self, name: str, matchers: tuple[Matcher, ...], start: float, end: float
    ) -> list[tuple[Labels, Samples]]:
        step = self.interval * max(1, int((end - start) / self.interval / 3_000))  # at most 3,000 samples a series
        found = [(track.labels, track.within(start, end, step)) for track in self.storage.select(name, matchers)]
        if name in self._recording or name == "ALERTS":
            found += self._sampled(name, matchers, start, end)
        return [(labels, samples) for labels, samples in found if samples]

    def _sampled(
        self, name: str, matchers: tuple[Matcher, ...], start: float, end: float
    ) -> list[tuple[Labels, Samples]]:
        """A range of series that are computed: evaluated at most 60 times."""
        step = max(self.interval, (end - start) / 60)
        moment = (start // step + 1) * step
        series: dict[tuple[tuple[str, str], ...], tuple[Labels, Samples]] = {}
        while moment <= end:
            for labels, value in self.instant(name, matchers, moment):
                series.setdefault(tuple(sorted(labels.items())), (labels, []))[1].append((moment, value))
            moment += step
        return list(series.values())

    def _recorded(self, name: str, matchers: tuple[Matcher, ...], moment: float) -> Vector:
        if name in self._open:
            return []
        self._open.add(name)
        try:
            found: Vector = []
            for node, own in self._recording[name]:
                value = Moment(self, moment).value(node)
                for labels, number in value if isinstance(value, list) else []:
                    result = {**labels, **own, "__name__": name}
                    if all(matcher.fits(result) for matcher in matchers):
                        found.append((result, number))
            return found
        except PromQLError:
            return []  # the rule's own health says so
        finally:
            self._open.discard(name)

    def _alert_series(self, moment: float) -> Vector:
        return [
            ({**alert.labels, "__name__": "ALERTS", "alertstate": alert.state(moment)}, 1.0)
            for alert in self.alerts
            if alert.active_at <= moment
        ]
