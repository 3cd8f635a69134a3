"""The Argo CD family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.argo import (
    autosync,
    hooks,
    inventory,
    recreate,
    refresh,
    rescue,
    rollback,
    set_values,
    sync,
    terminate,
    waited_hook,
    waits,
)
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (
    refresh.ACTION,
    sync.SYNC,
    sync.SELECTED,
    terminate.TERMINATE,
    terminate.CLEAR,
    hooks.ACTION,
    autosync.PAUSE,
    autosync.RESUME,
    rollback.ACTION,
    set_values.ACTION,
    recreate.ACTION,
    rescue.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "argocd_idle": Predicate(waits.application_needs, waits.idle),
    "argocd_running": Predicate(waits.application_needs, waits.running),
    "argocd_refreshed": Predicate(waits.application_needs, waits.refreshed),
    "argocd_only_differs": Predicate(waits.application_needs, waits.only_differs),
    "argocd_operation_done": Predicate(waits.application_needs, waits.operation_done),
    "argocd_differs_within": Predicate(waits.application_needs, sync.differs_within),
    "argocd_stale": Predicate(waits.application_needs, terminate.stale),
    "argocd_state_cleared": Predicate(waits.application_needs, terminate.state_cleared),
    "argocd_hook_gone": Predicate(waited_hook.hook_needs, waited_hook.hook_gone),
    "argocd_hook_held": Predicate(waited_hook.hook_needs, waited_hook.hook_held),
    "argocd_auto_sync": Predicate(waits.application_needs, autosync.auto_sync),
    "argocd_manual": Predicate(waits.application_needs, rollback.manual),
    "argocd_history_entry": Predicate(waits.application_needs, rollback.history_entry),
    "argocd_not_cascading": Predicate(waits.application_needs, inventory.not_cascading),
    "argocd_cascading": Predicate(waits.application_needs, inventory.cascading),
    "argocd_app_gone": Predicate(inventory.whole_needs, inventory.app_gone),
    "argocd_recreated": Predicate(inventory.whole_needs, inventory.recreated),
    "argocd_compared": Predicate(waits.application_needs, inventory.compared),
    "argocd_children_kept": Predicate(inventory.children_needs, inventory.children_kept),
}
