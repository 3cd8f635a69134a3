"""The named conditions of steps that write nodes: schedulable or not, and which taints are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.nodes import evictable
from deployments.catalogue.nodes.machines import NODES, UNSCHEDULABLE
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import Node
from monitoring.checks.nodes import taint_text
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Snapshot


def needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """All nodes: there are few, and guards are judged on a list of one."""
    yield Objects(NODES)


def unschedulable(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{name}``: the node is cordoned, and the controller has said so by its taint."""
    node = _node(snapshot, args)
    if node is None:
        return _gone(args)
    if not node.spec.unschedulable:
        return Seen(Outlook.NOT_YET, f"{args['name']} still takes new pods.")
    if not any(taint.key == UNSCHEDULABLE for taint in node.spec.taints):
        return Seen(Outlook.NOT_YET, f"{args['name']} is cordoned; waiting for the taint {UNSCHEDULABLE}.")
    return Seen(Outlook.MET, f"{args['name']} is cordoned and takes no new pod.")


def schedulable(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{name}``: the node is not cordoned, and the controller has taken its taint away."""
    node = _node(snapshot, args)
    if node is None:
        return _gone(args)
    if node.spec.unschedulable:
        return Seen(Outlook.NOT_YET, f"{args['name']} is still cordoned.")
    if any(taint.key == UNSCHEDULABLE for taint in node.spec.taints):
        return Seen(Outlook.NOT_YET, f"Waiting for the taint {UNSCHEDULABLE} of {args['name']} to go.")
    return Seen(Outlook.MET, f"{args['name']} takes new pods.")


def cordoned(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Guard ``{name}``: somebody else has not uncordoned it meanwhile."""
    node = _node(snapshot, args)
    if node is None or not node.spec.unschedulable:
        return Seen(Outlook.REFUSED, f"{args['name']} is not cordoned any more.")
    return Seen(Outlook.MET, f"{args['name']} is cordoned.")


def taints(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{name, present: [key=value:Effect], absent: […]}``: these taints are on the node, those are not."""
    node = _node(snapshot, args)
    if node is None:
        return _gone(args)
    have = {taint_text(taint) for taint in node.spec.taints}
    lacking = [text for text in args.get("present", ()) if text not in have]
    left = [text for text in args.get("absent", ()) if text in have]
    if lacking:
        return Seen(Outlook.NOT_YET, f"{args['name']} lacks {listing(lacking)}.")
    if left:
        return Seen(Outlook.NOT_YET, f"{args['name']} still has {listing(left)}.")
    return Seen(Outlook.MET, f"Taints of {args['name']}: {listing(sorted(have), 8) or 'none'}.")


def drain_needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """All pods, and the DaemonSets whose pods may stay."""
    yield Objects("pods")
    yield Objects("daemonsets.apps")


def drained(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{name}``: only mirror pods and pods of DaemonSets are left on the node."""
    found = evictable.of_node(snapshot, args["name"])
    left = [evictable.title(pod) for pod in (*found.evicted, *found.ending)]
    if not left:
        sentence = f"No evictable pod is left on {args['name']}; {count(len(found.stay), 'pod')} stay there."
        return Seen(Outlook.MET, sentence)
    said = f"Still on {args['name']}: {listing(left)}."
    lines = () if memory.get("said") == said else (Line(said),)
    return Seen(Outlook.NOT_YET, said, lines, {**memory, "said": said})


def _node(snapshot: Snapshot, args: Mapping[str, Any]) -> Node | None:
    found = snapshot.get(NODES, "", args["name"])
    return found if isinstance(found, Node) else None


def _gone(args: Mapping[str, Any]) -> Seen:
    return Seen(Outlook.FAILED, f"Node {args['name']} is not there any more.")
