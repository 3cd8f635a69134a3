"""Are the machines there, ready, of the right role and version, and tainted as said? Which API server answers?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.objects import Node, Taint
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, degraded, failing, ref, unknown, verified
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, count, kubectl, listing, since
from monitoring.snapshot import Need, Objects, ServerVersion, Snapshot
from monitoring.verdict import Verdict

_MASTER = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_TAINT = re.compile(r"[A-Za-z0-9./_-]+(=[A-Za-z0-9._-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")


class Nodes(Params, frozen=True):
    """Parameters of ``nodes``."""

    count: Annotated[int, Meta(ge=1, description="nodes that must be ready")]
    exact: Annotated[bool, Meta(description="no more than the count either")] = False
    role: Annotated[str, Meta(description="count only this role: control-plane, worker or another role label")] = ""
    roles: Annotated[dict[str, int], Meta(description="how many of each role")] = {}
    version: Annotated[str, Meta(description="start of the kubelet version, like v1.30; empty is any")] = ""


class NodeTaints(Params, frozen=True):
    """Parameters of ``node_taints``."""

    node: Annotated[str, Meta(min_length=1, description="the node")]
    taints: Annotated[tuple[str, ...], Meta(min_length=1, description="`key=value:Effect` each")]

    def __post_init__(self) -> None:
        for taint in self.taints:
            if not _TAINT.fullmatch(taint):
                raise ValueError(f"{taint!r} is not a taint. Write it like storage=hdd:NoSchedule")


class ServerVersionParams(Params, frozen=True):
    """Parameters of ``server_version``."""

    minimum: Annotated[str, Meta(pattern=r"^v?\d+\.\d+", description="oldest version that is accepted, like v1.30")] = (
        "v1.20"
    )


def role_of(node: Node) -> str:
    """``control-plane`` or ``worker``."""
    return "control-plane" if any(key in node.metadata.labels for key in _MASTER) else "worker"


def has_role(node: Node, role: str) -> bool:
    return role_of(node) == role or f"node-role.kubernetes.io/{role}" in node.metadata.labels


def taint_text(taint: Taint) -> str:
    """``key=value:Effect`` as kubectl writes it."""
    return f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"


def _needs(_: Snapshot, __: Nodes | NodeTaints) -> Iterable[Need]:
    yield Objects("nodes")


def _evaluate(snapshot: Snapshot, params: Nodes, now: datetime) -> Verdict:
    every: list[Node] = snapshot.objects("nodes")
    nodes = [node for node in every if not params.role or has_role(node, params.role)]
    noun = params.role + " node" if params.role else "node"
    ready = [node for node in nodes if is_ready(node)]
    versions = sorted({node.status.node_info.kubelet_version for node in nodes} - {""})
    facts: dict[str, Any] = {
        "ready": len(ready),
        "desired": max(len(nodes), params.count),
        "version": listing(versions),
        "nodes": sorted(node.metadata.name for node in nodes),
    }
    more: dict[str, Any] = {"facts": facts, "refs": tuple(ref(node, "nodes") for node in nodes[:10])}
    observed = f"{len(ready)} of {facts['desired']} ready"
    bad = [node for node in nodes if not is_ready(node)]
    if bad:
        return failing("node_not_ready", _not_ready(bad, now), observed, **more)
    if len(nodes) < params.count:
        sentence = f"The cluster has {count(len(nodes), noun)}, {params.count} expected. Look at the missing machines."
        return failing("too_few_nodes", sentence, observed, **more)
    if params.exact and len(nodes) > params.count:
        sentence = f"The cluster has {count(len(nodes), noun)}, not {params.count}. Correct what is written down."
        return failing("more_nodes", sentence, observed, **more)
    short = [f"{role} {have} of {want}" for role, want in params.roles.items() if (have := _roles(nodes, role)) < want]
    if short:
        return failing("too_few_of_role", f"Too few nodes of a role: {listing(short)}.", listing(short), **more)
    odd = [node for node in nodes if not _is_version(node, params.version)]
    if odd:
        sentence = (
            f"{listing(f'{n.metadata.name} {n.status.node_info.kubelet_version}' for n in odd)}: "
            f"{params.version} expected. Upgrade the node, or correct what is expected."
        )
        return degraded("other_version", sentence, listing(versions), **more)
    cordoned = [node.metadata.name for node in nodes if node.spec.unschedulable]
    if cordoned:
        verb = "is cordoned and takes" if len(cordoned) == 1 else "are cordoned and take"
        sentence = f"{listing(cordoned)} {verb} no new pod. Uncordon when the work on it is done."
        return degraded("cordoned", sentence, f"{count(len(cordoned), 'node')} cordoned", **more)
    return verified(_good(nodes, params, versions), observed, **more)


def _good(nodes: Sequence[Node], params: Nodes, versions: Sequence[str]) -> str:
    if params.role:
        names = listing(sorted(node.metadata.name for node in nodes))
        return f"{len(nodes)} of {len(nodes)} {params.role} nodes ready: {names}, {listing(versions)}."
    masters = _roles(nodes, "control-plane")
    parts = f"{count(masters, 'master')}, {count(len(nodes) - masters, 'worker')}"
    return f"{len(nodes)} of {len(nodes)} nodes ready: {parts}, {listing(versions)}."


def _not_ready(bad: Sequence[Node], now: datetime) -> str:
    first = bad[0]
    found = condition(first.status.conditions, "Ready")
    start = since(found.last_transition_time, now) if found else ""
    silent = found is None or found.status == "Unknown"
    why = "its kubelet does not report" if silent else clean(found.message if found else "")
    others = f", and {count(len(bad) - 1, 'more node')}" if len(bad) > 1 else ""
    return f"{first.metadata.name}{others} not ready{start}: {why or 'no reason given'}. Look at its kubelet."


def is_ready(node: Node) -> bool:
    """Whether its kubelet says so."""
    found = condition(node.status.conditions, "Ready")
    return found is not None and found.status == "True"


def _roles(nodes: Sequence[Node], role: str) -> int:
    return sum(has_role(node, role) for node in nodes)


def _is_version(node: Node, wanted: str) -> bool:
    have = node.status.node_info.kubelet_version.removeprefix("v")
    want = wanted.removeprefix("v")
    return not want or have == want or have.startswith(f"{want}.")


def _evaluate_taints(snapshot: Snapshot, params: NodeTaints, _: datetime) -> Verdict:
    node: Node | None = snapshot.get("nodes", "", params.node)
    if node is None:
        sentence = f"{params.node} is not in the cluster, so its taints protect nothing. Look at the machine."
        return failing("no_node", sentence, "no such node")
    have = [taint_text(taint) for taint in node.spec.taints]
    lacking = [taint for taint in params.taints if taint not in have]
    more: dict[str, Any] = {"facts": {"taints": have}, "refs": (ref(node, "nodes"),)}
    if lacking:
        sentence = (
            f"{params.node} lacks {listing(lacking)}, so pods may land there. Put it back: "
            f"{kubectl('taint', 'node', params.node, *lacking)}"
        )
        return failing("taint_missing", sentence, listing(have) or "no taint", **more)
    return verified(f"{listing(params.taints)} on {params.node}.", listing(have), **more)


def _version_needs(_: Snapshot, __: ServerVersionParams) -> Iterable[Need]:
    yield ServerVersion()


def _evaluate_version(snapshot: Snapshot, params: ServerVersionParams, _: datetime) -> Verdict:
    reply = snapshot.reply(ServerVersion())
    body = reply.body if isinstance(reply.body, dict) else {}
    version = clean(str(body.get("gitVersion", "")), 40)
    have, want = _numbers(version), _numbers(params.minimum)
    if not have or not want:
        return unknown(
            "no_version", "The API server answered without a version. Look at what is in front of it.", "no version"
        )
    facts = {"version": version}
    if have < want:
        sentence = f"The API server is {version}, {params.minimum} or newer expected. Upgrade the control plane."
        return failing("too_old", sentence, version, facts=facts)
    return verified(f"The API server answers, {version}.", version, facts=facts)


def _numbers(version: str) -> tuple[int, int] | None:
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match.group(1)), int(match.group(2))) if match else None


def _expected(params: Nodes) -> str:
    roles = ", ".join(f"{number} {role}" for role, number in params.roles.items())
    role = f" {params.role}" if params.role else ""
    return f"{params.count}{role} ready{': ' + roles if roles else ''}{', ' + params.version if params.version else ''}"


def _claim_nodes(match: Any, _: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    found = match.groupdict()
    masters, workers = found.get("masters"), found.get("workers")
    roles = {"control-plane": int(masters), "worker": int(workers)} if masters and workers else {}
    number = int(found["count"])
    return ("nodes", {"count": number, "exact": True, **({"roles": roles} if roles else {})}) if number else None


def _claim_version(match: Any, _: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "nodes", {"count": 1, "version": f"v{match['version']}"}


def _claim_taints(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    taints = [found.group(0) for found in _TAINT.finditer(match["taints"])]
    for text in (context.text[: match.start()], *context.parents):
        named = re.search(r"\b((?:worker|master|node|cp|storage)[a-z0-9-]*\d)\b", text[: claims.MAX_LINE].lower())
        if named and taints:
            return "node_taints", {"node": named.group(1), "taints": taints}
    return None


TYPES = (
    CheckType(
        slug="nodes",
        title="Nodes are ready",
        summary="So many nodes are ready, of these roles and this version, and none is cordoned.",
        params=Nodes,
        needs=_needs,
        evaluate=_evaluate,
        command=lambda _: kubectl("get", "nodes", output="wide"),
        expected=_expected,
        claims=(
            claims.pattern(
                r"(?P<count>\d{1,4})\s+nodes\b(?:\s*\(\s*(?P<masters>\d{1,3})\s+(?:masters?|control[- ]plane\w*)\s*,\s*"
                r"(?P<workers>\d{1,4})\s+workers?)?",
                _claim_nodes,
            ),
            claims.pattern(r"\bnodes\s*[:=]\s*(?P<count>\d{1,4})(?=\s*(?:$|[,;)|]|ready\b|total\b))", _claim_nodes),
            claims.pattern(
                r"\bkubernetes\s+(?:version\s*[:=]?\s*)?v?(?P<version>1\.\d{1,2}(?:\.\d{1,3})?)\b(?![+.])",
                _claim_version,
            ),
        ),
    ),
    CheckType(
        slug="node_taints",
        title="Taints are set",
        summary="A node carries these taints.",
        params=NodeTaints,
        needs=_needs,
        evaluate=_evaluate_taints,
        command=lambda p: kubectl("get", "node", p.node, output="jsonpath={.spec.taints}"),
        expected=lambda p: listing(p.taints),
        claims=(claims.pattern(r"taints?\s*:\s*(?P<taints>.+)$", _claim_taints),),
    ),
    CheckType(
        slug="server_version",
        title="API server answers",
        summary="The Kubernetes API answers and is new enough.",
        params=ServerVersionParams,
        needs=_version_needs,
        evaluate=_evaluate_version,
        command=lambda _: kubectl("version"),
        expected=lambda p: f"{p.minimum} or newer",
        watched=False,
        poll_seconds=15,
    ),
)
