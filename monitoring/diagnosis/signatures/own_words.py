"""W9 to W18: what a program says itself before it ends, whatever program it is. One row for each cause.

The words are those of the Go, Python and Java programs that run on such platforms: Prometheus and Alertmanager, the
Prometheus operator, Argo CD, Loki, and what databases and kernels say. The last line that fits is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from re import Pattern

from integrations.kubernetes.objects import NetworkPolicy
from monitoring.checks.text import clean, listing
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.containers import ended_at, rollback, state_of
from monitoring.diagnosis.refusals import REFUSED
from monitoring.diagnosis.remedies import DELETE_POD, EXPAND_CLAIM, REVERT_RULE, Remedy, remedy
from monitoring.diagnosis.scene import Bad, Scene, claim_names, is_sidecar_name
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence of a program that names a cause."""

    id: str
    cause: str
    words: Pattern[str]
    title: str
    advice: str
    reference: str
    confidence: float = 0.85


# the first row that fits; inside a row the last line of the log
ROWS = (
    Words(
        "W9",
        "disk_full",
        pattern(r"no space left on device|disk quota exceeded|enospc|errno 28|database or disk is full"),
        "Its disk is full",
        "Make room or enlarge the volume; until then it cannot start.",
        "https://github.com/prometheus/prometheus/issues/8140",
        0.93,
    ),
    Words(
        "W11",
        "data_locked",
        pattern(
            r"lock db directory|resource temporarily unavailable|no locks available|lockfile|lock file .{0,80}exists|"
            r"another (?:instance|process) (?:is|has)|already locked"
        ),
        "Its data folder is locked",
        "Another pod still has it, or the volume does not lock as a disk does (NFS): end the other, or move the data.",
        "https://github.com/prometheus/prometheus/issues/4761",
        0.88,
    ),
    Words(
        "W11",
        "data_broken",
        pattern(
            r"corruption in segment|segment [^\n]{0,60}(?:corrupt|checksum)|unexpected end of json input|"
            r"opening storage failed[^\n]{0,200}(?:block|meta\.json|invalid|corrupt|head)|"
            r"found unsequential|invalid magic number|wal[^\n]{0,40}corrupt|failed to (?:load|"
            r"open)[^\n]{0,60}\b(?:wal|tsdb)\b"
        ),
        "Its data is broken",
        "Save the volume, then move the broken block or segment away; what it held is lost.",
        "https://prometheus.io/docs/prometheus/latest/storage/#operational-aspects",
        0.88,
    ),
    Words(
        "W17",
        "data_not_writable",
        pattern(
            r"(?:open|mkdir|create|unlink|rename|write|chown)[^\n]{0,200}(?:permission denied|operation not permitted|"
            r"read-only file system)|unable to create mmap-ed active query log|errno 13|errno 30|eacces"
        ),
        "It may not write its data folder",
        "Give the volume to the user it runs as: fsGroup, or the export's owner.",
        "https://github.com/prometheus-operator/prometheus-operator/issues/830",
        0.88,
    ),
    Words(
        "W16",
        "port_in_use",
        pattern(r"address already in use|eaddrinuse|errno 98|port \d{2,5} is already (?:in use|allocated)"),
        "Its port is taken",
        "Two containers of one pod, or two pods on the host's network, want the same port: give one another.",
        "https://kubernetes.io/docs/concepts/services-networking/",
        0.9,
    ),
    Words(
        "W14",
        "certificate_expired",
        pattern(
            r"certificate has expired|certificate is not yet valid|has expired or is not yet valid|"
            r"sslcertverificationerror[^\n]{0,120}expired|not_?after[^\n]{0,40}expired"
        ),
        "A certificate has expired",
        "Renew it; until then who checks it refuses the connection.",
        "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
        0.9,
    ),
    Words(
        "W14",
        "certificate_refused",
        pattern(
            r"x509: |certificate signed by unknown authority|certificate verify failed|unable to (?:verify|get local) "
            r"[^\n]{0,40}certificate|pkix path building failed|tls: failed to verify"
        ),
        "A certificate is not accepted",
        "Give it the CA of who it talks to, or that one a certificate for the name it is called by.",
        "https://kubernetes.io/docs/tasks/tls/managing-tls-in-a-cluster/",
        0.85,
    ),
    Words(
        "W12",
        "may_not_read_api",
        pattern(
            r"is forbidden: user \"?system:serviceaccount|cannot (?:list|watch|get|create|update|patch) resource|"
            r"forbidden[^\n]{0,60}serviceaccount"
        ),
        "It may not do what it needs in the cluster",
        "Its ClusterRole or the binding is gone or too small: restore it by a sync of its Application.",
        "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
        0.88,
    ),
    Words(
        "W24",
        "kind_not_installed",
        pattern(
            r"no matches for kind|the server could not find the requested resource|no kind is registered|"
            r"customresourcedefinition[^\n]{0,120}not found|failed to list \*?v\d[^\n]{0,120}could not find"
        ),
        "A kind it works with is not installed",
        "Install the CRDs of its version; a chart's upgrade does not do that by itself.",
        "https://github.com/prometheus-community/helm-charts/blob/main/charts/kube-prometheus-stack/UPGRADE.md",
        0.85,
    ),
    Words(
        "W13",
        "api_unreachable",
        pattern(
            r"(?:kubernetes\.default|/api/v1/namespaces|/apis/|10\.96\.0\.1|\b[\d.]{7,15}:(?:443|6443)\b)[^\n]{0,200}"
            r"(?:i/o timeout|connection refused|no route to host|network is unreachable|deadline exceeded|timed out)"
        ),
        "It does not reach the API server",
        "Look at the network of its node, at kube-proxy there, and at NetworkPolicies that hold its way out.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
        0.8,
    ),
    Words(
        "W10",
        "configuration_refused",
        pattern(
            r"error loading config|loading configuration file failed|couldn't load configuration|failed to (?:load|"
            r"parse|read|unmarshal)"
            r"[^\n]{0,60}(?:config|yaml|json|rules?|flags?)|yaml: (?:unmarshal|line)|parsing yaml file|"
            r"unknown (?:flag|field|"
            r"long flag|option|argument)|flag provided but not defined|invalid (?:config|argument|value|flag)|"
            r"undefined receiver|"
            r"bad_data|error parsing|parse error|unexpected argument|unrecognized arguments|missing required"
        ),
        "It refuses its configuration",
        "Correct what the line names; going back to the values before it helps until then.",
        "https://prometheus.io/docs/prometheus/latest/configuration/configuration/",
        0.85,
    ),
    Words(
        "W15",
        "name_not_resolved",
        pattern(
            r"no such host|server misbehaving|temporary failure in name resolution|name or service not known|"
            r"getaddrinfo (?:enotfound|eai_again)|could not translate host name|unknownhostexception"
        ),
        "A name it needs does not resolve",
        "Is the Service there, under this name and in this namespace? If it is, look at the cluster's DNS.",
        "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
        0.75,
    ),
    Words(
        "W15",
        "sign_in_refused",
        pattern(
            r"password authentication failed|access denied for user|authentication failed|invalid (?:username|"
            r"password)|"
            r"noauth authentication required|wrongpass|login failed|401 unauthorized|invalid credentials"
        ),
        "What it depends on does not let it in",
        "Its password is not the one the other side knows: align the two.",
        "https://kubernetes.io/docs/concepts/configuration/secret/",
        0.75,
    ),
    Words(
        "W15",
        "dependency_unreachable",
        pattern(
            r"(?:dial tcp|dial unix|connect(?:ing|ion)? to|could not connect|connectionerror|econnrefused|"
            r"connection to server|cannot connect|failed to connect)[^\n]{0,240}"
        ),
        "What it depends on does not answer",
        "Look at that Service and its pods, and at NetworkPolicies between the two.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/",
        0.7,
    ),
)
#: silence, not refusal: what a policy that drops packets looks like from inside
_SILENCE = pattern(r"timed? ?out|timeout|deadline exceeded|eai_again|server misbehaving|temporary failure")
_POLICIES = "networkpolicies.networking.k8s.io"
_OWN_PORT = pattern(r"(?:localhost|127\.0\.0\.1|\[::1\])")


def needs(scene: Scene) -> Iterable[Need]:
    """The policies that may be what a program waits behind, where one waits in vain."""
    if any(_SILENCE.search(line) for bad in scene.bad for line in bad.lines[-40:]):
        yield Objects(_POLICIES, scene.namespace)


def _policies(scene: Scene, bad: Bad, line: str) -> str:
    """NetworkPolicies that limit where this pod may connect to; only a hint, they may well allow this."""
    if not _SILENCE.search(line) or not scene.known(_POLICIES, scene.namespace):
        return ""
    every: list[NetworkPolicy] = scene.read(_POLICIES, scene.namespace)
    mine = [
        item.metadata.name
        for item in every
        if "Egress" in item.spec.policy_types
        and not item.spec.pod_selector.match_expressions
        and item.spec.pod_selector.match_labels.items() <= bad.pod.metadata.labels.items()
    ]
    return f"NetworkPolicy {listing(mine)} limits where this pod may connect to" if mine else ""


def of_containers(scene: Scene) -> Finding | None:
    """What its own containers say."""
    return _first(scene, [bad for bad in scene.bad if not bad.init])


def of_init(scene: Scene) -> Finding | None:
    """What has to come before them says."""
    return _first(scene, [bad for bad in scene.bad if bad.init])


def _first(scene: Scene, among: list[Bad]) -> Finding | None:
    for bad in among:
        if is_sidecar_name(bad.name, bad.image) or not bad.lines or (bad.recovered and not bad.crashes):
            continue
        for row in ROWS:
            line = _line(bad, row)
            if line:
                return _finding(scene, bad, row, line)
    return None


def _line(bad: Bad, row: Words) -> str:
    """The last line that fits. Of refused connections those to itself say nothing: it was not up yet."""
    for line in reversed(bad.lines):
        if row.words.search(line) and not REFUSED.search(line):
            if row.cause == "dependency_unreachable" and (_OWN_PORT.search(line) or not _fails(line)):
                continue
            if row.id == "W16" and not bad.crashes:
                continue
            return line
    return ""


_FAILING = pattern(r"refused|timed? ?out|timeout|unreachable|no route|reset|deadline|fail|error|econn")


def _fails(line: str) -> bool:
    return bool(_FAILING.search(line))


def _finding(scene: Scene, bad: Bad, row: Words, line: str) -> Finding:
    late = line in bad.lines[-15:]
    ends = "ends" if bad.crashes else "runs and is not ready"
    return finding(
        row.id,
        row.cause,
        row.title,
        f"{clean(bad.name, 60)} of {clean(bad.pod.metadata.name, 120)} {ends}: {row.title[0].lower()}{row.title[1:]}. "
        f"{row.advice}",
        (log_line(bad.name, line), state_of(bad), _policies(scene, bad, line)),
        row.confidence if late and bad.crashes else round(row.confidence * 0.7, 2),
        remedies=_remedies(scene, bad, row, line),
        at=ended_at(bad),
        reference=row.reference,
    )


def _remedies(scene: Scene, bad: Bad, row: Words, line: str) -> tuple[Remedy, ...]:
    namespace, pod = bad.pod.metadata.namespace, bad.pod.metadata.name
    if row.cause == "disk_full":
        return tuple(remedy(EXPAND_CLAIM, namespace=namespace, name=name) for name in claim_names(bad.pod)[:1])
    if row.cause == "data_locked":
        return (remedy(DELETE_POD, namespace=namespace, name=pod),)
    if row.id == "W13":
        return (remedy(DELETE_POD, namespace=namespace, name=pod),)
    if row.cause == "configuration_refused" and "rule" in line.lower():
        return (remedy(REVERT_RULE), *rollback(scene, bad))
    return rollback(scene, bad)


_PAGE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/"
SIGNATURES = (
    Signature(
        "W10",
        Layer.CONTAINER,
        "A program says itself why it ends: disk (W9), configuration (W10), data (W11), rights (W12), API server "
        "(W13), "
        "certificates (W14), what it depends on (W15), a port (W16), its data folder (W17), missing kinds (W24).",
        _PAGE,
        of_containers,
        needs,
        general=True,
    ),
    Signature(
        "W10", Layer.INIT, "An init container says why it ends, in the same words.", _PAGE, of_init, general=True
    ),
)
