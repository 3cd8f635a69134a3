"""What pods of a set may not ask for: a way out to their node, or somebody else's rights.

The limits are the *baseline* of the Pod Security Standards
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), as far as they stand in a manifest. Who may
create a pod in a namespace may run as any ServiceAccount there, so a set may only use its own ones and ``default``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


def breakouts(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a pod template reaches out to the node, as short words."""
    return tuple(dict.fromkeys(_breakouts(spec)))


def account(spec: Mapping[str, Any]) -> str:
    """The ServiceAccount its pods run as."""
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")


def _breakouts(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _HOST if spec.get(key))
    for volume in _dicts(spec.get("volumes")):
        if "hostPath" in volume:
            yield f"hostPath of volume {volume.get('name', '?')}"
    if _unconfined(spec.get("securityContext")):
        yield "seccomp Unconfined"
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in _dicts(spec.get(key)):
            yield from _of_container(container, str(container.get("name", "?")))


def _of_container(container: Mapping[str, Any], name: str) -> Iterator[str]:
    context = container.get("securityContext")
    context = context if isinstance(context, Mapping) else {}
    if context.get("privileged"):
        yield f"{name} privileged"
    if context.get("procMount") not in (None, "Default"):
        yield f"{name} procMount {context['procMount']}"
    if _unconfined(context):
        yield f"{name} seccomp Unconfined"
    capabilities = context.get("capabilities")
    added = capabilities.get("add") if isinstance(capabilities, Mapping) else None
    for capability in added if isinstance(added, list) else []:
        if str(capability).upper().removeprefix("CAP_") not in _CAPABILITIES:
            yield f"{name} capability {capability}"
    for port in _dicts(container.get("ports")):
        if port.get("hostPort"):
            yield f"{name} hostPort {port['hostPort']}"


def _unconfined(context: Any) -> bool:
    profile = context.get("seccompProfile") if isinstance(context, Mapping) else None
    return isinstance(profile, Mapping) and profile.get("type") == "Unconfined"


def _dicts(value: Any) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
