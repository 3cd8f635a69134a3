"""The Alertmanager and Prometheus family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.alerts import channel, channel_states, delivery, loading, monitors, rules, sending, silences
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (
    channel.ACTION,
    sending.ACTION,
    silences.SILENCE,
    silences.EXPIRE,
    monitors.ACTION,
    rules.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "alertmanager_reaches": Predicate(channel_states.needs, channel_states.reaches),
    "alertmanager_alert_shown": Predicate(delivery.shown_needs, delivery.shown),
    "alertmanager_test_delivered": Predicate(delivery.needs, delivery.delivered),
    "alertmanager_silenced": Predicate(silences.mark_needs, silences.silenced),
    "alertmanager_silence_expired": Predicate(silences.mark_needs, silences.expired),
    "prometheus_target_up": Predicate(loading.target_needs, loading.target_up),
    "prometheus_rule_loaded": Predicate(loading.rule_needs, loading.rule_loaded),
    "prometheus_group_gone": Predicate(loading.rule_needs, loading.group_gone),
}
