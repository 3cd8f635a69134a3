"""Do stateful pods stay off the nodes they must not be on, and does a rule hold them off?

Both are asked: where the pods really run, and whether affinity, node selector or a taint keeps the next one away. Pods
that are well placed by luck alone are *degraded*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.objects import Node, Pod, PodSpec, Workload
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, degraded, failing, ref, verified
from monitoring.checks.pods import alive, matching
from monitoring.checks.text import in_namespace, kubectl, listing
from monitoring.checks.workloads import PLURALS, Kind, selected
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Verdict


class Placement(Params, frozen=True):
    """Parameters of ``placement``."""

    namespace: Annotated[str, Meta(min_length=1, description="where the workloads are")]
    avoid: Annotated[tuple[str, ...], Meta(min_length=1, description="nodes on which none of them may run")]
    kind: Annotated[Kind, Meta(description="which workloads; stateful ones by default")] = "StatefulSet"
    selector: Annotated[
        str, Meta(description="labels of the workloads or of their pods; empty is all of this kind")
    ] = ""


def _needs(_: Snapshot, params: Placement) -> Iterable[Need]:
    yield Objects(PLURALS[params.kind], params.namespace)
    yield Objects("pods", params.namespace)
    yield Objects("nodes")


def _evaluate(snapshot: Snapshot, params: Placement, _: datetime) -> Verdict:
    found: list[Workload] = snapshot.objects(PLURALS[params.kind], params.namespace)
    items = [item for item in found if selected(item, params.selector)]
    pods: list[Pod] = snapshot.objects("pods", params.namespace)
    nodes = {node.metadata.name: node for node in snapshot.objects("nodes")}
    avoid = listing(params.avoid)
    if not items:
        sentence = f"There is no {params.kind}{in_namespace(params.namespace)} to be placed. Bring it back first."
        return failing("no_workload", sentence, f"no {params.kind}")
    mine = [pod for item in items for pod in matching(pods, item.spec.selector.match_labels) if alive(pod)]
    where = sorted({pod.spec.node_name for pod in mine if pod.spec.node_name})
    facts = {"nodes": where, "avoid": list(params.avoid), "workloads": len(items)}
    refs = (*(ref(item, PLURALS[params.kind]) for item in items[:5]), *(ref(pod, "pods") for pod in mine[:5]))
    more: dict[str, Any] = {"facts": facts, "refs": refs}
    wrong = [pod for pod in mine if pod.spec.node_name in params.avoid]
    if wrong:
        names = listing(f"{pod.metadata.name} on {pod.spec.node_name}" for pod in wrong)
        sentence = (
            f"{names}: it must not be there. Exclude the node in its affinity, then delete the pod so that it moves."
        )
        return failing("misplaced", sentence, names, **more)
    loose = [item.metadata.name for item in items if may_land(item.spec.template.spec, params.avoid, nodes)]
    if loose:
        sentence = (
            f"{listing(loose)} may land on {avoid} at the next restart: no affinity, node selector or taint holds it "
            "off. Exclude the node in its affinity."
        )
        return degraded("not_held", sentence, f"{listing(loose)} not held off", **more)
    run = f"; pods run on {listing(where)}" if where else "; no pod runs now"
    return verified(f"{_rule(items, params.avoid)}{run}.", listing(where) or "no pod", **more)


def _rule(items: Sequence[Workload], avoid: Sequence[str]) -> str:
    by_affinity = all(item.spec.template.spec.affinity for item in items)
    return f"Affinity NotIn [{', '.join(avoid)}] holds" if by_affinity else f"A rule holds them off {listing(avoid)}"


def may_land(spec: PodSpec, avoid: Sequence[str], nodes: Mapping[str, Node]) -> bool:
    return any(not excluded(spec, name, nodes.get(name)) for name in avoid)


def excluded(spec: PodSpec, name: str, node: Node | None) -> bool:
    """Whether the scheduler would not put a pod of this template on the node."""
    labels = {"kubernetes.io/hostname": name, **(node.metadata.labels if node else {})}
    if spec.node_selector and not spec.node_selector.items() <= labels.items():
        return True
    if node is not None and any(
        taint.effect in {"NoSchedule", "NoExecute"}
        and not tolerated(spec.tolerations, taint.key, taint.value, taint.effect)
        for taint in node.spec.taints
    ):
        return True
    terms = _terms(spec.affinity)
    return bool(terms) and not any(term_matches(term, labels, name) for term in terms)


def _terms(affinity: Any) -> list[Any]:
    """``requiredDuringSchedulingIgnoredDuringExecution`` terms, whatever shape the server sent."""
    node: Any = affinity
    for key in ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"):
        node = node.get(key) if isinstance(node, dict) else None
    return [term for term in node if isinstance(term, dict)] if isinstance(node, list) else []


def term_matches(term: Mapping[str, Any], labels: Mapping[str, str], name: str) -> bool:
    """Whether a node of these labels and this name fits one node selector term."""
    expressions = term.get("matchExpressions") or []
    fields = term.get("matchFields") or []
    if not expressions and not fields:
        return False  # an empty term matches no node
    return all(_holds(entry, labels) for entry in expressions) and all(
        _holds(entry, {"metadata.name": name}) for entry in fields
    )


def _holds(entry: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One node selector requirement (https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/)."""
    key, operator = str(entry.get("key", "")), entry.get("operator")
    values = [str(value) for value in entry.get("values") or []]
    have = labels.get(key)
    if operator == "NotIn":
        return have not in values
    if operator == "DoesNotExist":
        return have is None
    if have is None:
        return False
    if operator == "Exists":
        return True
    if operator == "In":
        return have in values
    if operator in {"Gt", "Lt"} and have.lstrip("-").isdigit() and values and values[0].lstrip("-").isdigit():
        return int(have) > int(values[0]) if operator == "Gt" else int(have) < int(values[0])
    return False


def tolerated(tolerations: Any, key: str, value: str, effect: str) -> bool:
    """Whether one of these tolerations (raw) admits a taint."""
    entries = [entry for entry in tolerations if isinstance(entry, dict)] if isinstance(tolerations, list) else []
    for entry in entries:
        if entry.get("effect") not in (None, "", effect):
            continue
        if entry.get("operator") == "Exists":
            if entry.get("key") in (None, "", key):
                return True
        elif entry.get("key") == key and (entry.get("value") or "") == value:
            return True
    return False


def _claim(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.namespace:
        return None
    return "placement", {"namespace": context.namespace, "avoid": [match["node"].lower()]}


TYPES = (
    CheckType(
        slug="placement",
        title="Placement holds",
        summary="No pod of these workloads runs on the avoided nodes, and a rule keeps it so.",
        params=Placement,
        needs=_needs,
        evaluate=_evaluate,
        command=lambda p: kubectl("get", "pods", namespace=p.namespace, labels=p.selector, output="wide"),
        expected=lambda p: f"none on {listing(p.avoid)}, held by a rule",
        claims=(
            claims.pattern(
                r"affinity\s+(?:rules?\s+)?(?:excluding|excludes|keeps? off)\s+`?(?P<node>[a-z][a-z0-9-]{1,60})", _claim
            ),
        ),
    ),
)
