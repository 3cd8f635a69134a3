"""The Grafana family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.dashboards import (
    api,
    configure,
    importing,
    prometheus_ui,
    repair,
    secret,
    standalone,
)
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (
    repair.ACTION,
    standalone.ACTION,
    prometheus_ui.ACTION,
    configure.ACTION,
    importing.ACTION,
    secret.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "grafana_datasource_is": Predicate(api.datasource_needs, api.datasource_is),
    "grafana_datasource_gone": Predicate(api.datasource_needs, api.datasource_gone),
    "grafana_dashboard_is": Predicate(api.dashboard_needs, api.dashboard_is),
    "grafana_dashboard_gone": Predicate(api.dashboard_needs, api.dashboard_gone),
    "grafana_folder_is": Predicate(api.folder_needs, api.folder_is),
    "no_other_grafana": Predicate(standalone.no_other_needs, standalone.no_other),
    "prometheus_answers": Predicate(prometheus_ui.answers_needs, prometheus_ui.answers),
}
