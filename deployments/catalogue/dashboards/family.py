"""The Grafana family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.argo import waits
from deployments.catalogue.dashboards import (
    api,
    configure,
    fix_defaults,
    importing,
    prometheus_ui,
    repair,
    repair_steps,
    secret,
    standalone,
)
from deployments.catalogue.seen import Predicate
from deployments.catalogue.workloads import rollout

ACTIONS: tuple[Action, ...] = (
    repair.ACTION,
    standalone.ACTION,
    prometheus_ui.ACTION,
    configure.ACTION,
    importing.ACTION,
    secret.ACTION,
    fix_defaults.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "grafana_datasource_is": Predicate(api.datasource_needs, api.datasource_is),
    "grafana_datasource_gone": Predicate(api.datasource_needs, api.datasource_gone),
    "grafana_dashboard_is": Predicate(api.dashboard_needs, api.dashboard_is),
    "grafana_dashboard_gone": Predicate(api.dashboard_needs, api.dashboard_gone),
    "grafana_folder_is": Predicate(api.folder_needs, api.folder_is),
    "grafana_comes_up": Predicate(rollout.needs, repair_steps.comes_up),
    "grafana_sync_done": Predicate(waits.application_needs, repair_steps.sync_done),
    "grafana_only_differs": Predicate(waits.application_needs, repair_steps.only_grafana),
    "no_other_grafana": Predicate(standalone.no_other_needs, standalone.no_other),
    "prometheus_answers": Predicate(prometheus_ui.answers_needs, prometheus_ui.answers),
}
