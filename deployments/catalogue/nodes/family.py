"""The nodes, storage and object sets family: its actions and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.nodes import (
    apply_set,
    classes,
    cordon,
    delete_set,
    drain,
    expand,
    labels,
    node_states,
    object_states,
    rebind,
    storage_states,
    taints,
)
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (
    cordon.CORDON,
    cordon.UNCORDON,
    drain.ACTION,
    taints.TAINT,
    taints.UNTAINT,
    labels.SET,
    labels.REMOVE,
    classes.ACTION,
    expand.ACTION,
    rebind.ACTION,
    apply_set.ACTION,
    delete_set.ACTION,
)

CONDITIONS: dict[str, Predicate] = {
    "node_unschedulable": Predicate(node_states.needs, node_states.unschedulable),
    "node_schedulable": Predicate(node_states.needs, node_states.schedulable),
    "node_cordoned": Predicate(node_states.needs, node_states.cordoned),
    "node_drained": Predicate(node_states.drain_needs, node_states.drained),
    "node_taints": Predicate(node_states.needs, node_states.taints),
    "one_default_class": Predicate(storage_states.class_needs, storage_states.one_default),
    "class_not_default": Predicate(storage_states.class_needs, storage_states.not_default),
    "volume_bound": Predicate(rebind.volume_needs, rebind.bound),
    "claim_resized": Predicate(storage_states.claim_needs, storage_states.resized),
    "label_is": Predicate(object_states.needs, object_states.label_is),
    "object_applied": Predicate(object_states.needs, object_states.applied),
    "object_gone": Predicate(object_states.needs, object_states.gone),
}
