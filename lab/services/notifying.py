"""Who is to be told of which alerts, and when: Alertmanager's groups, and the deliveries they lead to. Pure state.

Alertmanager counts a notification when it begins (`…_notifications_total`), each try to send it when the try has ended
(`…_notification_requests_total`, `…_requests_failed_total`), and a failure only when it gives up, one group interval
later (`…_notifications_failed_total`): its source, `notify/notify.go`, and measured with 0.25.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.services.promql import Labels
from lab.services.routing import Channel, Config, Route

Key = tuple[str, str, tuple[tuple[str, str], ...]]
_FIRST_RETRY, _RETRY_FACTOR, _LONGEST_RETRY = 0.5, 1.5, 60.0
_LEAST_PATIENCE = 10.0
_GIVE_UP_AFTER = 3  # group intervals for which it is tried to tell that alerts are resolved


@dataclass(frozen=True)
class Told:
    """One alert as a receiver hears of it."""

    fingerprint: str
    labels: Labels
    annotations: Labels
    starts_at: float
    ends_at: float
    generator: str
    muted: bool = False


@dataclass
class Delivery:
    """Something to be sent by one channel; tried again until `deadline`."""

    group: Group
    number: int
    channel: Channel
    firing: tuple[Told, ...]
    resolved: tuple[Told, ...]
    due: float
    deadline: float
    tries: int = 0
    on_its_way: bool = False


@dataclass
class Group:
    """Alerts of one route and receiver with equal grouping labels."""

    route: Route
    labels: Labels
    next_flush: float
    #: when an alert of it was last there
    seen_at: float = 0.0
    #: by the channel's number: what it was last told is firing, and when
    told: dict[int, tuple[dict[str, Told], float]] = field(default_factory=dict)


@dataclass
class Counts:
    """Moments at which something was counted, of one integration."""

    sent: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    requests_failed: list[float] = field(default_factory=list)


class Notifying:
    """See the module."""

    def __init__(self) -> None:
        self.groups: dict[Key, Group] = {}
        self.deliveries: list[Delivery] = []
        self.counts: dict[str, Counts] = {}

    def forget(self) -> None:
        """A new configuration was loaded: groups begin anew, what is on its way is not waited for."""
        self.groups.clear()
        self.deliveries.clear()

    def flush(self, config: Config, alerts: Iterable[tuple[Told, float]], now: float) -> None:
        """Group the alerts (each with the time it came in) and begin the notifications that are due."""
        members: dict[Key, dict[str, Told]] = {}
        for alert, received_at in alerts:
            for route in config.route.matched(alert.labels):
                labels = route.group_of(alert.labels)
                key = (route.path, route.receiver, tuple(sorted(labels.items())))
                self.groups.setdefault(key, Group(route, labels, received_at + route.group_wait))
                members.setdefault(key, {})[alert.fingerprint] = alert
        for key, group in list(self.groups.items()):
            present = members.get(key, {})
            if present:
                group.seen_at = now
            if now >= group.next_flush and not self._pending(group):
                self._begin(config.receivers.get(group.route.receiver, ()), group, present)
                periods = int((now - group.next_flush) / group.route.group_interval) + 1
                group.next_flush += periods * group.route.group_interval
            # the last news of a group is that nothing of it fires any more
            owed = any(firing for firing, _ in group.told.values())
            if not present and (not owed or now - group.seen_at > _GIVE_UP_AFTER * group.route.group_interval):
                del self.groups[key]

    def _begin(self, channels: tuple[Channel, ...], group: Group, present: dict[str, Told]) -> None:
        for number, channel in enumerate(channels):
            before, at = group.told.get(number, ({}, 0.0))
            firing = {key: alert for key, alert in present.items() if not alert.muted}
            resolved = {key: alert for key, alert in before.items() if key not in present}
            again = bool(firing) and group.next_flush - at >= group.route.repeat_interval
            if not (firing.keys() - before.keys() or (resolved and channel.sends_resolved) or again):
                if resolved:
                    group.told[number] = ({k: a for k, a in before.items() if k not in resolved}, at)
                continue
            self._of(channel).sent.append(group.next_flush)
            patience = max(group.route.group_interval, _LEAST_PATIENCE)
            told = tuple(resolved.values()) if channel.sends_resolved else ()
            self.deliveries.append(
                Delivery(
                    group, number, channel, tuple(firing.values()), told, group.next_flush, group.next_flush + patience
                )
            )

    def due(self, now: float) -> list[Delivery]:
        """What is to be tried now. The caller tries each once and reports it by `answered`."""
        return [each for each in self.deliveries if each.due <= now and not each.on_its_way]

    def answered(self, delivery: Delivery, now: float, *, delivered: bool, retry: bool = False) -> None:
        """A try has ended. `retry`: the receiver may take it another time (no answer, or a 5xx)."""
        counts = self._of(delivery.channel)
        counts.requests.append(now)
        delivery.on_its_way = False
        delivery.tries += 1
        if not delivered:
            counts.requests_failed.append(now)
        if delivery not in self.deliveries:
            return
        if delivered:
            self.deliveries.remove(delivery)
            firing = {alert.fingerprint: alert for alert in delivery.firing}
            delivery.group.told[delivery.number] = (firing, now)
        elif not retry or now >= delivery.deadline:
            self._failed(delivery, now)
        else:
            wait = min(_FIRST_RETRY * _RETRY_FACTOR ** (delivery.tries - 1), _LONGEST_RETRY)
            delivery.due = now + wait

    def _pending(self, group: Group) -> bool:
        """While a group's last flush is still tried, the next one waits."""
        return any(delivery.group is group for delivery in self.deliveries)

    def _failed(self, delivery: Delivery, moment: float) -> None:
        self.deliveries.remove(delivery)
        self._of(delivery.channel).failed.append(moment)

    def _of(self, channel: Channel) -> Counts:
        return self.counts.setdefault(channel.kind, Counts())
