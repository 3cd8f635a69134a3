"""W19, W20: the pods are ready and nobody reaches them: the Service selects others, asks another port, is nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import Pod, Service, Workload
from monitoring.checks.argocd import APPLICATIONS
from monitoring.checks.grafana import HEALTH
from monitoring.checks.pods import is_ready
from monitoring.checks.services import addresses, ready_addresses
from monitoring.checks.text import clean, count, listing
from monitoring.checks.workloads import PLURALS
from monitoring.diagnosis.argo_words import for_app
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, older, pattern, says
from monitoring.diagnosis.owning import named
from monitoring.diagnosis.remedies import SYNC_RESOURCES, Remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Missing, Need, Objects
from monitoring.verdict import Finding

_PATIENCE = 60
_POOL = pattern(
    r"(?:no available ips?|not (?:allowed|available) (?:in|for)|already in use|unknown pool|can't change sharing|"
    r"exhausted|failed to allocate)"
)


def _behind(scene: Scene, service: Service) -> list[str] | None:
    try:
        return ready_addresses(scene.snapshot, service)
    except Missing:
        return None


def leads_nowhere(scene: Scene) -> Finding | None:
    """W19."""
    if not scene.known("pods", scene.namespace):
        return None
    every: list[Pod] = scene.read("pods", scene.namespace)
    for service in scene.services:
        if not service.spec.selector or _behind(scene, service) != []:
            continue
        chosen = [
            p
            for p in every
            if p.metadata.namespace == service.metadata.namespace
            and service.spec.selector.items() <= p.metadata.labels.items()
        ]
        ready = [pod for pod in chosen if is_ready(pod)]
        if ready:
            found = _no_port(scene, service, ready)
            if found is not None:
                return found
            continue
        near = _meant(scene, service)
        if not chosen and near is not None and any(is_ready(pod) for pod in scene.pods + _pods_of(scene, near)):
            return _other_labels(scene, service, near)
    return None


def _pods_of(scene: Scene, item: Workload) -> list[Pod]:
    labels = item.spec.selector.match_labels
    every: list[Pod] = scene.read("pods", item.metadata.namespace)
    return [pod for pod in every if labels and labels.items() <= pod.metadata.labels.items()]


#: the label that says what a pod is; a Service that selects another value was made for another product
_PRODUCT = ("app.kubernetes.io/name", "k8s-app", "app")
#: two values so much alike are one of them misspelt
_ALIKE = 0.8


def _meant(scene: Scene, service: Service) -> Workload | None:
    """The workload a Service was made for: of its name, or whose product it selects but for a slip."""
    every: list[Workload] = [
        item
        for key in PLURALS.values()
        if scene.known(key, service.metadata.namespace)
        for item in scene.read(key, service.metadata.namespace)
    ]
    every.sort(key=lambda item: (item.metadata.name != service.metadata.name, item.metadata.name))
    return next((item for item in every if _is_for(service, item) and not _served(scene, item)), None)


def _is_for(service: Service, item: Workload) -> bool:
    have = item.spec.template.metadata.labels
    for key in _PRODUCT:
        wanted = service.spec.selector.get(key)
        if wanted and key in have:
            return SequenceMatcher(None, wanted, have[key]).ratio() >= _ALIKE
    return item.metadata.name == service.metadata.name


def _served(scene: Scene, item: Workload) -> bool:
    """Whether another Service, not a headless one, leads to its pods: then this one is not missing for them."""
    have = item.spec.template.metadata.labels.items()
    services: list[Service] = scene.read("services", item.metadata.namespace)
    fronts = [other for other in services if other.spec.cluster_ip != "None"]
    return any(other.spec.selector and other.spec.selector.items() <= have for other in fronts)


def _other_labels(scene: Scene, service: Service, item: Workload) -> Finding:
    have = item.spec.template.metadata.labels
    wrong = [f"{k}={v}" for k, v in sorted(service.spec.selector.items()) if have.get(k) != v]
    right = [
        f"{k}={have[k]}" for k in sorted(service.spec.selector) if k in have and have[k] != service.spec.selector[k]
    ]
    return finding(
        "W19",
        "service_selects_nothing",
        "Its Service selects no pod",
        f"Service {service.metadata.name} selects {listing(wrong)}, and the pods of {item.metadata.name} carry "
        f"{listing(right) or 'no such label'}, so nothing is behind it. Correct the selector in Git.",
        (
            f"Service {service.metadata.name}: selector "
            f"{clean(listing(f'{k}={v}' for k, v in sorted(service.spec.selector.items())), 240)}",
            f"{item.metadata.name}: pod labels {clean(listing((f'{k}={v}' for k, v in sorted(have.items())), 8), 240)}",
        ),
        0.92,
        remedies=_remedies(scene, service),
    )


def _no_port(scene: Scene, service: Service, ready: list[Pod]) -> Finding | None:
    """A target port by a name that no container has leaves the slice empty (endpointslice-controller)."""
    names = {port.name for pod in ready for c in pod.spec.containers for port in c.ports}
    lost = [
        p
        for p in service.spec.ports
        if isinstance(p.target_port, str)
        and p.target_port
        and not p.target_port.isdigit()
        and p.target_port not in names
    ]
    if not lost:
        return None
    return finding(
        "W19",
        "service_port_missing",
        "Its Service asks a port that its pods do not have",
        f"Service {service.metadata.name} leads to port {listing(str(p.target_port) for p in lost)}, and its pods have "
        f"{listing(sorted(filter(None, names))) or 'no named port'}. Correct targetPort in Git.",
        (
            f"Service {service.metadata.name}: targetPort {listing(str(p.target_port) for p in lost)}",
            f"{ready[0].metadata.name}: ports {_ports_of(ready[0])}",
            f"{count(len(ready), 'ready pod')} selected, no address behind it",
        ),
        0.92,
        remedies=_remedies(scene, service),
    )


def _ports_of(pod: Pod) -> str:
    """``grafana 3000``, for each port its containers name."""
    return (
        listing(f"{port.name} {port.container_port}".strip() for c in pod.spec.containers for port in c.ports) or "none"
    )


def other_port(scene: Scene) -> Finding | None:
    """W19: a number that no container names; only where the Service is seen not to answer."""
    for service in scene.services:
        behind = _behind(scene, service)
        refused = _refused(scene, service)
        if not behind or not refused:
            continue
        ports = {port.container_port for pod in scene.pods for c in pod.spec.containers for port in c.ports}
        wrong = [
            p
            for p in service.spec.ports
            if isinstance(p.target_port, int) and p.target_port and ports and p.target_port not in ports
        ]
        if wrong:
            return finding(
                "W19",
                "service_asks_other_port",
                "Its Service asks a port on which nothing listens",
                f"Service {service.metadata.name} leads to port {listing(str(p.target_port) for p in wrong)}, and its "
                f"pods listen on {listing(str(port) for port in sorted(ports))}. Correct targetPort in Git.",
                (
                    f"Service {service.metadata.name}: targetPort {listing(str(p.target_port) for p in wrong)}",
                    clean(refused, 300),
                ),
                0.85,
                remedies=_remedies(scene, service),
            )
    return None


def _refused(scene: Scene, service: Service) -> str:
    """What the API server says when it cannot get through to what is behind a Service."""
    for need, reply in scene.snapshot.replies.items():
        about = getattr(need, "service", "") == service.metadata.name or getattr(need, "source", "") == scene.kind
        if about and reply.error and ("refused" in reply.error or "dial tcp" in reply.error):
            return reply.error
    return ""


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "service":
        for key in PLURALS.values():
            yield Objects(key, scene.namespace)
    if scene.kind == "grafana" and scene.asks("grafana_health", "link_answers", "service_has_endpoints"):
        yield HEALTH
    if scene.asks("load_balancer_address") and _waiting(scene):
        yield Objects("services")


def _waiting(scene: Scene) -> list[Service]:
    return [s for s in scene.services if s.spec.type == "LoadBalancer" and not addresses(s)]


def no_address(scene: Scene) -> Finding | None:
    """W20."""
    wanted = str(scene.subject.get("address") or "")
    for service in scene.services:
        if service.spec.type != "LoadBalancer" or not scene.asks("load_balancer_address"):
            continue
        given = addresses(service)
        asked = (
            wanted
            or service.spec.load_balancer_ip
            or service.metadata.annotations.get("metallb.io/loadBalancerIPs", "")
            or service.metadata.annotations.get("metallb.universe.tf/loadBalancerIPs", "")
        )
        if given and (not wanted or wanted in given):
            continue
        if not given and not older(scene, service.metadata.creation_timestamp, _PATIENCE):
            continue
        events = scene.events_of(service.metadata.name)
        told = next(
            (
                e
                for e in reversed(events)
                if says(_POOL, e.message) or e.reason in {"AllocationFailed", "SyncLoadBalancerFailed"}
            ),
            None,
        )
        holder = _holder(scene, service, asked)
        why = f"{holder} has it" if holder else clean(told.message, 200) if told else "nobody gives it one"
        has = (
            f"has {listing(given)}, not {clean(asked, 60)}"
            if given
            else f"waits for {clean(asked, 60) or 'an address'}"
        )
        return finding(
            "W20",
            "address_taken" if holder else "other_address" if given else "address_pending",
            "Its Service has not its address",
            f"Service {service.metadata.name} {has}: {why}. Look at the load balancer's pool and its controller.",
            (
                f"Service {service.metadata.name}: type LoadBalancer, ingress {listing(given) or 'none'}, asked for "
                f"{clean(asked, 60) or 'any'}",
                event_line(scene, told) if told else "",
                f"{holder} has {clean(asked, 60)}" if holder else "",
            ),
            0.9 if told or holder else 0.6,
            remedies=_remedies(scene, service),
        )
    return None


def _holder(scene: Scene, service: Service, asked: str) -> str:
    """The other Service that has the address."""
    if not asked or not scene.known("services"):
        return ""
    for other in scene.read("services"):
        same = (other.metadata.namespace, other.metadata.name) == (service.metadata.namespace, service.metadata.name)
        if not same and asked in addresses(other):
            return f"Service {other.metadata.namespace}/{other.metadata.name}"
    return ""


def _remedies(scene: Scene, service: Service) -> tuple[Remedy, ...]:
    """A sync of the Service alone, where Argo CD says that it differs from Git."""
    meta = service.metadata
    apps: list[Application] = scene.read(APPLICATIONS, str(named(scene.subject).get("namespace") or ""))
    for app in apps:
        for item in app.status.resources:
            same = (item.kind, item.namespace, item.name) == ("Service", meta.namespace, meta.name)
            if same and not item.group and item.status == "OutOfSync":
                return (for_app(app, SYNC_RESOURCES, resources=f"Service/{meta.namespace}/{meta.name}"),)
    return ()


_PAGE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/"
SIGNATURES = (
    Signature(
        "W19",
        Layer.NETWORK,
        "A Service selects no pod, or leads to a port its ready pods do not have.",
        _PAGE,
        leads_nowhere,
        needs,
    ),
    Signature("W19", Layer.NETWORK, "A Service leads to a port on which nothing listens.", _PAGE, other_port),
    Signature(
        "W20",
        Layer.NETWORK,
        "A Service of type LoadBalancer has no address, or not the one it should have.",
        "https://metallb.io/troubleshooting/",
        no_address,
    ),
)
