"""Where the lab listens, and the name by which others reach it. Knows no protocol beyond the look of a URL."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_WILDCARDS = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104 - compared with what a person asked for


@dataclass(frozen=True)
class Address:
    """`bind` is the address that listeners take; `advertise` goes into kubeconfig, .env and the certificate."""

    bind: str = LOOPBACK
    advertise: str = ""

    @property
    def local(self) -> str:
        """The address at which the lab reaches itself: a wildcard is none."""
        return _WILDCARDS.get(self.bind, self.bind)

    @property
    def name(self) -> str:
        return self.advertise or self.local

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """Every name under which a client may come."""
        return tuple(dict.fromkeys((self.name, self.local, LOOPBACK, "localhost", "kubernetes.default.svc")))


def url(scheme: str, host: str, port: int) -> str:
    """An URL without path; an IPv6 address gets its brackets."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
