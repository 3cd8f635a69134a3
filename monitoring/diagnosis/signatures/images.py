"""G7: an image that cannot be pulled, and why: the registry's own words, in the dialects of several runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from re import Pattern

from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, pattern, says
from monitoring.diagnosis.containers import rollback, rollout_words
from monitoring.diagnosis.remedies import Remedy
from monitoring.diagnosis.scene import Bad, Scene
from monitoring.verdict import Finding

#: kubelet's reasons (pkg/kubelet/images/types.go)
WAITING = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    story: str
    advice: str


# the first that fits: a registry that cannot be reached says nothing of the image, a limit nothing of the rights
_WHYS = (
    _Why(
        "image_rate_limited",
        pattern(r"toomanyrequests|too many requests|pull rate limit|\b429\b|request exceeded"),
        "the registry lets this address pull no more for now",
        "Wait, sign in to the registry, or pull through a mirror.",
    ),
    _Why(
        "image_wrong_platform",
        pattern(r"no match(?:ing manifest)? for (?:platform|linux|windows)|exec format error|no child with platform"),
        "there is none for this node's processor",
        "Use an image built for it, or keep the pod off that node.",
    ),
    _Why(
        "image_node_disk_full",
        pattern(r"no space left on device|disk quota exceeded"),
        "the node's disk is full",
        "Make room on that node.",
    ),
    _Why(
        "registry_certificate",
        pattern(r"x509|certificate|tls: failed|http: server gave http response to https client"),
        "the node does not accept the registry's certificate",
        "Give the registry a valid certificate, or the node its CA.",
    ),
    _Why(
        "registry_not_found_by_name",
        pattern(r"no such host|server misbehaving|temporary failure in name resolution|lookup [^\s]{1,200} (?:on|:)"),
        "the registry's name does not resolve on that node",
        "Look at the node's DNS, and at the spelling of the registry.",
    ),
    _Why(
        "registry_unreachable",
        pattern(
            r"i/o timeout|connection (?:refused|reset|timed out)|tls handshake timeout|network is unreachable|"
            r"no route to host|deadline exceeded|client\.timeout|proxyconnect|unexpected eof|: eof\b|"
            r"\b50[0-4] (?:internal|bad|service|gateway|server)"
        ),
        "the registry does not answer from that node",
        "Look at the way from the node to the registry: network, proxy, and the registry itself.",
    ),
    _Why(
        "image_broken",
        pattern(
            r"unexpected (?:commit )?digest|digest mismatch|does not match (?:the )?digest|"
            r"failed to (?:verify|validate) [^\n]{0,80}digest|failed to (?:extract|"
            r"apply) layer|checksum|invalid tar header|gzip: invalid"
        ),
        "what the registry or its mirror sends is broken",
        "Look at the mirror and at the node's disk, then let it be pulled again.",
    ),
    _Why(
        "image_signature",
        pattern(r"signature|cosign|image policy"),
        "its signature is not accepted",
        "Sign the image, or correct the policy.",
    ),
    _Why(
        "image_pull_denied",
        pattern(
            r"pull access denied|unauthorized|authentication required|no basic auth credentials|\bdenied\b|forbidden|"
            r"\b401\b|\b403\b|insufficient_scope|authorization failed"
        ),
        "the registry refuses, for want of credentials or because there is no such repository",
        "Look at the name, and at imagePullSecrets of the pod and its ServiceAccount.",
    ),
    _Why(
        "image_not_found",
        pattern(
            r"not found|manifest unknown|name unknown|does not exist|no such image|\b404\b|failed to resolve reference"
        ),
        "the registry has no such image or tag",
        "Correct its name and tag.",
    ),
    _Why(
        "image_name_invalid",
        pattern(
            r"invalid reference format|couldn't parse image|invalidimagename|failed to apply default image tag|"
            r"short-name|unqualified-search"
        ),
        "its name cannot be read",
        "Correct its spelling.",
    ),
    _Why(
        "image_never_pulled",
        pattern(r"not present with pull policy of never|errimageneverpull"),
        "it is not on the node and its policy says never to pull",
        "Load it on the node, or let it be pulled.",
    ),
)
_PLAIN = _Why(
    "image_pull", pattern(r"(?!)"), "nobody says why", "Correct its name and tag, or the way to the registry."
)


def find(scene: Scene) -> Finding | None:
    for bad in scene.bad:
        if bad.waiting not in WAITING:
            continue
        events = [
            event
            for event in scene.events_of(bad.pod.metadata.name, "Failed", "InspectFailed", "ErrImageNeverPull")
            if bad.image in event.message or bad.spec.image in event.message or "image" in event.message.lower()
        ]
        told = [bad.message, *(event.message for event in reversed(events)), bad.waiting]
        why = next((each for each in _WHYS if any(says(each.words, text) for text in told)), _PLAIN)
        said = next((event for event in reversed(events) if says(why.words, event.message)), None)
        return finding(
            "G7",
            why.cause,
            "The image cannot be pulled",
            f"The node cannot pull {clean(bad.spec.image or bad.image, 160)} for {clean(bad.name, 60)}: "
            f"{_ending(bad.message) if why is _PLAIN else why.story}. "
            f"{why.advice}",
            (
                f"{bad.pod.metadata.name} {bad.name}: {bad.waiting}: {clean(bad.message, 300)}",
                event_line(scene, said) if said and said.message[:200] not in bad.message else "",
                f"node {clean(bad.pod.spec.node_name, 80)}" if bad.pod.spec.node_name else "",
                rollout_words(scene, bad),
            ),
            0.97 if why is not _PLAIN else 0.9,
            remedies=_remedies(scene, bad, why),
        )
    return None


def _ending(message: str) -> str:
    """What no row knows: the runtime's last words, which stand behind the chain of who passed them on."""
    said = phrase(message[-400:].rpartition(": ")[2], 160)
    return said if (said and not message.startswith("Back-off pulling image")) or ": " in message else _PLAIN.story


def _remedies(scene: Scene, bad: Bad, why: _Why) -> tuple[Remedy, ...]:
    """Going back helps where the new template names an image that is not to be had."""
    return rollback(scene, bad) if why.cause not in {"image_rate_limited", "image_node_disk_full"} else ()


SIGNATURES = (
    Signature(
        "G7",
        Layer.CONTAINER,
        "The image of a container cannot be pulled; the registry's words say why.",
        "https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff",
        find,
    ),
)
