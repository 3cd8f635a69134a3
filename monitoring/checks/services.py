"""Does a Service lead anywhere, and does it have its address? Also what other checks ask of Services."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.objects import EndpointSlice, Service
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, failing, ref, verified, worst
from monitoring.checks.text import clean, count, in_namespace, kubectl, listing, spelled
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Verdict

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"


class ServiceParams(Params, frozen=True):
    """What picks out Services."""

    namespace: Annotated[str, Meta(min_length=1, description="where the Service is")]
    selector: Annotated[str, Meta(description="labels of the Service, `a=b,c=d`")] = ""
    name: Annotated[str, Meta(description="its name, where no label tells it apart")] = ""


class ServiceHasEndpoints(ServiceParams, frozen=True):
    """Parameters of ``service_has_endpoints``."""

    minimum: Annotated[int, Meta(ge=1, description="ready addresses that must be behind it")] = 1

    def __post_init__(self) -> None:
        if not (self.selector or self.name):
            raise ValueError("name the Service by a selector or a name")


class LoadBalancerAddress(ServiceParams, frozen=True):
    """Parameters of ``load_balancer_address``."""

    address: Annotated[str, Meta(description="the address it must have; empty is any")] = ""

    def __post_init__(self) -> None:
        if not (self.selector or self.name or self.address):
            raise ValueError("name the Service by a selector, a name or its address")


def select(snapshot: Snapshot, params: ServiceParams) -> list[Service]:
    """The Services meant. Headless twins of the operator (``…-operated``) count only when named."""
    found: list[Service] = snapshot.objects("services", params.namespace, params.selector)
    return [item for item in found if not params.name or item.metadata.name == params.name]


def ready_addresses(snapshot: Snapshot, service: Service) -> list[str]:
    """Distinct ready addresses over all slices of a Service. An endpoint that does not say is ready, by the API's rule.

    A pod without a container port of the name that ``targetPort`` gives is listed by the endpoint slice controller as
    ready, in a slice without ports (``getEndpointPorts`` in k8s.io/endpointslice): nobody is led there.

    :raises Missing: slices were not read.
    """
    return _ready(piece for piece in _slices(snapshot, service) if piece.ports or not _by_name(service))


def _slices(snapshot: Snapshot, service: Service) -> list[EndpointSlice]:
    found: list[EndpointSlice] = snapshot.objects(
        SLICES, service.metadata.namespace, f"{SERVICE_LABEL}={service.metadata.name}"
    )
    return found


def _ready(slices: Iterable[EndpointSlice]) -> list[str]:
    return sorted(
        {
            address
            for piece in slices
            for endpoint in piece.endpoints
            if endpoint.conditions.ready is not False
            for address in endpoint.addresses
        }
    )


def _by_name(service: Service) -> bool:
    """Whether every port of a Service is found by the name of a container's port."""
    targets = [port.target_port for port in service.spec.ports]
    return bool(targets) and all(isinstance(t, str) and t and not t.isdigit() for t in targets)


def addresses(service: Service) -> list[str]:
    """What the load balancer gave: IPs or host names."""
    return [entry.ip or entry.hostname for entry in service.status.load_balancer.ingress if entry.ip or entry.hostname]


def front(service: Service) -> str:
    """The address people use: the load balancer's, else the cluster IP, else the name."""
    outside = addresses(service)
    inside = service.spec.cluster_ip if service.spec.cluster_ip != "None" else ""
    return clean(outside[0] if outside else inside or service.metadata.name, 80)


def proxy_line(params: ServiceParams, port: str, path: str) -> str:
    """A ``kubectl`` line that opens a path behind the Service through the API server, as the portal does."""
    chosen = ("service", params.name) if params.name else ("services",)
    first = "" if params.name else ".items[0]"
    ports = port or f"{{{first}.spec.ports[0].port}}"
    form = f"jsonpath={{{first}.metadata.name}}:{ports}"
    inner = kubectl("get", *chosen, namespace=params.namespace, labels=params.selector, output=form)
    return f'kubectl get --raw "/api/v1/namespaces/{params.namespace}/services/$({inner})/proxy{path}"'


def _absent(params: ServiceParams) -> Verdict:
    what = spelled(params.selector, params.name)
    subject = f"{what} has no Service" if what else "There is no Service"
    sentence = f"{subject}{in_namespace(params.namespace)}. Create it again by its Argo CD Application."
    return failing("no_service", sentence, "no Service", facts={"addresses": 0})


def _needs(_: Snapshot, params: ServiceHasEndpoints) -> Iterable[Need]:
    yield Objects("services", params.namespace)
    yield Objects(SLICES, params.namespace)


def _evaluate(snapshot: Snapshot, params: ServiceHasEndpoints, _: datetime) -> Verdict:
    found = select(snapshot, params)
    if not found:
        return _absent(params)
    return worst(_endpoints(snapshot, service, params) for service in found)


def _endpoints(snapshot: Snapshot, service: Service, params: ServiceHasEndpoints) -> Verdict:
    behind = ready_addresses(snapshot, service)
    observed = f"{count(len(behind), 'address', 'addresses')} behind {front(service)}"
    facts: dict[str, Any] = {
        "addresses": len(behind),
        "front": front(service),
        "type": service.spec.type,
        "name": service.metadata.name,
    }
    more: dict[str, Any] = {"facts": facts, "refs": (ref(service, "services"),)}
    if len(behind) >= params.minimum:
        return verified(f"{front(service)} leads to {listing(behind)}.", observed, **more)
    if behind:
        sentence = (
            f"{front(service)} has {len(behind)} of {params.minimum} ready addresses behind it. "
            "Look at the pods that are not ready."
        )
        return failing("too_few_endpoints", sentence, observed, **more)
    if _ready(_slices(snapshot, service)):
        names = listing(str(port.target_port) for port in service.spec.ports)
        sentence = (
            f"{front(service)} leads to port {clean(names, 120)}, which no container of its ready pods has, so whoever "
            "opens it gets no answer. Correct targetPort, or name the container's port so."
        )
        return failing("port_missing", sentence, observed, **more)
    sentence = (
        f"{front(service)} has no ready pod behind it, so whoever opens it gets no answer. "
        "Bring back the pods that the Service selects."
    )
    return failing("no_endpoints", sentence, observed, **more)


def _address_needs(_: Snapshot, params: LoadBalancerAddress) -> Iterable[Need]:
    yield Objects("services", params.namespace)


def _evaluate_address(snapshot: Snapshot, params: LoadBalancerAddress, _: datetime) -> Verdict:
    found = [item for item in select(snapshot, params) if item.spec.type == "LoadBalancer"]
    if not (params.selector or params.name):
        found = [item for item in found if params.address in addresses(item)]
    if found:
        return worst(_address(service, params) for service in found)
    others = select(snapshot, params) if params.selector or params.name else []
    if not others:
        if params.address and not (params.selector or params.name):
            sentence = f"No Service{in_namespace(params.namespace)} has the address {params.address}. Look at its pool."
            return failing("no_service", sentence, "no such address")
        return _absent(params)
    kind = others[0].spec.type
    sentence = (
        f"{others[0].metadata.name} is of type {kind}, so it gets no address outside. Set its type to LoadBalancer."
    )
    return failing("not_load_balancer", sentence, f"type {kind}", refs=(ref(others[0], "services"),))


def _address(service: Service, params: LoadBalancerAddress) -> Verdict:
    name, given = service.metadata.name, addresses(service)
    facts = {"address": given[0] if given else "", "name": name}
    more: dict[str, Any] = {"facts": facts, "refs": (ref(service, "services"),)}
    if not given:
        sentence = f"{name} waits for an address. Look at the load balancer's pool and its controller."
        return failing("address_pending", sentence, "pending", **more)
    if params.address and params.address not in given:
        sentence = (
            f"{name} has the address {listing(given)}, not {params.address}. Ask for the address by the annotation of "
            "the load balancer, or correct what is written down."
        )
        return failing("other_address", sentence, clean(given[0], 80), **more)
    numbers = [str(port.port) for port in service.spec.ports]
    ports = f"{'ports' if len(numbers) > 1 else 'port'} {listing(numbers) or 'none'}"
    return verified(f"{name} has the address {listing(given)}, {ports}.", clean(given[0], 80), **more)


def _endpoints_command(params: ServiceHasEndpoints) -> str:
    if params.name:
        return kubectl("get", "endpointslices", namespace=params.namespace, labels=f"{SERVICE_LABEL}={params.name}")
    # the slices of a Service carry its labels
    return kubectl("get", "endpointslices", namespace=params.namespace, labels=params.selector)


def _address_command(params: LoadBalancerAddress) -> str:
    words = ("service", params.name) if params.name else ("services",)
    return kubectl("get", *words, namespace=params.namespace, labels=params.selector)


_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_IP = r"\d{1,3}(?:\.\d{1,3}){3}"


def _claim_cluster_ip(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.namespace:
        return None
    return "service_has_endpoints", {"namespace": context.namespace, "name": match["name"]}


def _claim_address(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.namespace:
        return None
    named = match.groupdict().get("name")
    name = {"name": named} if named else {}
    return "load_balancer_address", {"namespace": context.namespace, **name, "address": match["ip"]}


TYPES = (
    CheckType(
        slug="service_has_endpoints",
        title="Service has endpoints",
        summary="Ready addresses are behind a Service, over all its slices.",
        params=ServiceHasEndpoints,
        needs=_needs,
        evaluate=_evaluate,
        command=_endpoints_command,
        expected=lambda p: f"≥ {count(p.minimum, 'ready address', 'ready addresses')}",
        claims=(claims.pattern(rf"ClusterIP:\s*`?(?P<name>{_NAME})`?\s*\(\d+\)", _claim_cluster_ip),),
    ),
    CheckType(
        slug="load_balancer_address",
        title="Has its address",
        summary="A Service of type LoadBalancer has an address, or the one it must have.",
        params=LoadBalancerAddress,
        needs=_address_needs,
        evaluate=_evaluate_address,
        command=_address_command,
        expected=lambda p: p.address or "an address of the load balancer",
        claims=(
            claims.pattern(
                rf"load\s?balancer(?:\s+service)?(?:\s+exists)?\s*:\s*(?:`?(?P<name>{_NAME})`?\s*\(\s*)?(?P<ip>{_IP})",
                _claim_address,
            ),
            claims.pattern(rf"\bload\s?balancer\b[^.;|\n]{{0,40}}?(?P<ip>{_IP})", _claim_address),
            claims.pattern(
                rf"\b(?:reachable|available|accessible|exposed)\s+(?:at|on|under|via)\s+(?:https?://)?(?P<ip>{_IP})",
                _claim_address,
            ),
            claims.pattern(
                rf"\bIP(?:\s+address)?(?:\s+of\s+[\w-]{{2,60}})?\s*(?:is\b|[:=])\s*(?P<ip>{_IP})", _claim_address
            ),
        ),
    ),
)
