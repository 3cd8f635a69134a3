"""Who asks: bearer tokens, and the tokens that TokenRequest makes for ServiceAccounts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from lab.api.errors import Obj, unauthorized

ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @property
    def all_groups(self) -> tuple[str, ...]:
        return (*self.groups, "system:authenticated")

    @property
    def info(self) -> Obj:
        body: Obj = {"username": self.name, "groups": list(self.all_groups)}
        return {**body, "uid": self.uid} if self.uid else body


ANONYMOUS = User("system:anonymous")
DEFAULT_TOKENS = {
    "tok-admin": User("admin", ("system:masters",), "admin"),
    "tok-view": User("viewer", ("viewers",), "viewer"),
}


def service_account_user(namespace: str, name: str, uid: str) -> User:
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
        uid,
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_HEADER = _encode(json.dumps({"alg": "HS256"}).encode())


@dataclass(slots=True)
class Tokens:
    """Static tokens plus a signing key for ServiceAccount tokens (JWT form, HMAC; only the lab reads them)."""

    static: dict[str, User] = field(default_factory=lambda: dict(DEFAULT_TOKENS))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def issue(self, account: Obj, seconds: int, audiences: list[str], now: float) -> str:
        """A token for the ServiceAccount object, valid for `seconds` from `now` (Unix time)."""
        metadata = account["metadata"]
        claims = {
            "aud": audiences,
            "exp": int(now) + seconds,
            "iat": int(now),
            "iss": ISSUER,
            "jti": secrets.token_hex(8),
            "kubernetes.io": {
                "namespace": metadata["namespace"],
                "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
            },
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        signed = f"{_HEADER}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{_encode(self._sign(signed))}"

    def _sign(self, text: str) -> bytes:
        return hmac.new(self.key, text.encode(), hashlib.sha256).digest()

    def claims(self, token: str, now: float) -> dict[str, Any] | None:
        """The claims of a valid ServiceAccount token, else None."""
        signed, _, signature = token.rpartition(".")
        try:
            if not signed or not hmac.compare_digest(_decode(signature), self._sign(signed)):
                return None
            claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        except ValueError:
            return None
        return claims if claims["exp"] > now else None

    def user(self, authorization: str, now: float) -> tuple[User, dict[str, Any] | None]:
        """The user of an Authorization header and, for ServiceAccounts, the claims. Raises ApiError 401."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        if token in self.static:
            return self.static[token], None
        claims = self.claims(token, now)
        if claims is None:
            raise unauthorized()
        bound = claims["kubernetes.io"]
        account = bound["serviceaccount"]
        return service_account_user(bound["namespace"], account["name"], account["uid"]), claims
