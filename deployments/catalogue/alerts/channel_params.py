"""What a notification channel is made of, as a person gives it; and the AlertmanagerConfig that says so.

Credentials are never given: a Slack webhook, a password or a webhook's address that is one stand in a Secret of the
same namespace, and the channel refers to it by name and key. Fields are those of AlertmanagerConfig v1alpha1, the
version every chart ships.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from common.redaction import redact
from deployments.catalogue import texts
from deployments.catalogue.action import MARK, Params
from monitoring.checks.alerting import TEST_LABEL

API_VERSION = "monitoring.coreos.com/v1alpha1"
RECEIVER = "ops"
#: instead of severities: every alert
ALL = "all"
_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_OPTIONAL = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_KEY = r"^[-._a-zA-Z0-9]{0,253}$"
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]")
#: a piece of an address that looks made up by a machine is the credential itself (Slack, Teams, Discord …)
_TOKEN = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_~.@+=%-]{20,}")
_SEVERITY = re.compile(r"[A-Za-z0-9_.-]{1,40}")

Kind = Literal["webhook", "slack", "email"]
Scope = Literal["cluster", "namespace"]


class ChannelParams(Params, frozen=True):
    """Whom to tell, by what, and of which alerts."""

    kind: Annotated[Kind, msgspec.Meta(description="How people are told")]
    url: Annotated[
        str, msgspec.Meta(max_length=1024, description="Webhook: the address, when it is no credential itself")
    ] = ""
    secret_name: Annotated[
        str,
        msgspec.Meta(
            pattern=_OPTIONAL, description="Secret that holds Slack's webhook address, the webhook's, or the password"
        ),
    ] = ""
    secret_key: Annotated[str, msgspec.Meta(pattern=_KEY, description="Key in that Secret")] = ""
    channel: Annotated[str, msgspec.Meta(max_length=80, description="Slack: the channel, like #alerts")] = ""
    recipient: Annotated[str, msgspec.Meta(max_length=320, description="E-mail: who gets it")] = ""
    sender: Annotated[str, msgspec.Meta(max_length=320, description="E-mail: who it is from")] = ""
    smarthost: Annotated[
        str, msgspec.Meta(max_length=260, description="E-mail: the server that takes it, as host:port")
    ] = ""
    username: Annotated[
        str, msgspec.Meta(max_length=320, description="E-mail: user name at that server; empty: no sign-in")
    ] = ""
    require_tls: Annotated[bool, msgspec.Meta(description="E-mail: refuse a server without TLS")] = True
    severities: Annotated[
        tuple[str, ...],
        msgspec.Meta(max_length=8, description="Severities to tell of; all: every alert but heartbeats"),
    ] = ("critical", "warning")
    scope: Annotated[
        Scope, msgspec.Meta(description="Alerts of the whole cluster, or only of the channel's own namespace")
    ] = "cluster"
    alertmanager: Annotated[
        str, msgspec.Meta(pattern=_OPTIONAL, description="Alertmanager object; empty: the only one")
    ] = ""
    namespace: Annotated[
        str, msgspec.Meta(pattern=_OPTIONAL, description="Namespace of the channel; empty: Alertmanager's own")
    ] = ""
    name: Annotated[
        str, msgspec.Meta(pattern=_OPTIONAL, description="Name of the AlertmanagerConfig; empty: portal-<kind>")
    ] = ""

    def __post_init__(self) -> None:
        _CHECKS[self.kind](self)
        for severity in self.severities:
            if not _SEVERITY.fullmatch(severity):
                raise texts.Refused("severities", "severities are words like critical")
        if bool(self.secret_name) != bool(self.secret_key):
            missing = "secret_key" if self.secret_name else "secret_name"
            raise texts.Refused(missing, "secret_name and secret_key belong together")

    @property
    def object_name(self) -> str:
        return self.name or f"portal-{self.kind}"

    @property
    def secret_holds(self) -> str:
        """What the Secret is to hold, for people."""
        return {"slack": "Slack's webhook address", "email": "the password", "webhook": "the webhook's address"}[
            self.kind
        ]

    def receiver_of(self, namespace: str) -> str:
        """What Alertmanager calls the receiver."""
        return f"{namespace}/{self.object_name}/{RECEIVER}"


def _webhook(params: ChannelParams) -> None:
    if bool(params.url) == bool(params.secret_name):
        raise texts.Refused(
            "url", "a webhook needs url, or secret_name and secret_key when its address is a credential"
        )
    if params.url:
        _address(params.url)
    _only(params, "webhook", ("channel", "recipient", "sender", "smarthost", "username"))


def _address(url: str) -> None:
    """The sentences never repeat the address: it may be a credential after all."""
    if re.search(r"[\s\x00-\x1f]", url):
        raise texts.Refused("url", "url must have no spaces")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise texts.Refused("url", "url is no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise texts.Refused("url", "url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise texts.Refused("url", "url holds a user name or password: put the address into a Secret and name that")
    if parts.fragment:
        raise texts.Refused("url", "url must have no #")
    if is_credential(url):
        raise texts.Refused("url", "url looks like a credential itself: put it into a Secret and name that")


def is_credential(url: str) -> bool:
    """Whether an address looks like a credential itself: a long made-up piece in it, or a password."""
    pieces = re.split(r"[/?&=;]", url.partition("://")[2])[1:]
    return any(_TOKEN.fullmatch(piece) for piece in pieces) or redact(url, 2000) != url


def _slack(params: ChannelParams) -> None:
    if not params.secret_name:
        raise texts.Refused(
            "secret_name", "slack needs secret_name and secret_key: its webhook address is a credential"
        )
    if not re.fullmatch(r"[#@]?[^\s#@]{1,79}", params.channel):
        raise texts.Refused("channel", "slack needs a channel, like #alerts")
    _only(params, "slack", ("url", "recipient", "sender", "smarthost", "username"))


def _email(params: ChannelParams) -> None:
    for field in ("recipient", "sender"):
        if not _MAIL.fullmatch(getattr(params, field)):
            raise texts.Refused(field, f"email needs {field}, like ops@example.org")
    host, colon, port = params.smarthost.rpartition(":")
    if not (colon and _HOST.fullmatch(host) and port.isdigit() and 0 < int(port) < 65536):
        raise texts.Refused("smarthost", "email needs smarthost as host:port, like mail.example.org:587")
    if bool(params.username) != bool(params.secret_name):
        missing = "secret_name" if params.username else "username"
        raise texts.Refused(missing, "email: username and the Secret with the password belong together")
    _only(params, "email", ("url", "channel"))


def _only(params: ChannelParams, kind: str, fields: tuple[str, ...]) -> None:
    for field in fields:
        if getattr(params, field):
            raise texts.Refused(field, f"{field} means nothing for {kind}")


_CHECKS = {"webhook": _webhook, "slack": _slack, "email": _email}


# -- the object


def body(params: ChannelParams, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
    """The whole AlertmanagerConfig: one route, the tests' own below it, and one receiver."""
    metadata: dict[str, Any] = {
        "name": params.object_name,
        "namespace": namespace,
        "annotations": {MARK: "${run.mark}"},
        **({"labels": labels} if labels else {}),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "AlertmanagerConfig",
        "metadata": metadata,
        "spec": {"route": _route(params), "receivers": [_receiver(params)]},
    }


def matchers(params: ChannelParams) -> list[dict[str, str]]:
    """Which alerts it takes."""
    if params.severities and ALL not in params.severities:
        return [{"name": "severity", "matchType": "=~", "value": "|".join(map(re.escape, params.severities))}]
    return [{"name": "alertname", "matchType": "!~", "value": "Watchdog|InfoInhibitor"}]


def _route(params: ChannelParams) -> dict[str, Any]:
    test = {
        "receiver": RECEIVER,
        "matchers": [{"name": TEST_LABEL, "matchType": "=", "value": "true"}],
        # each test is a group of its own and goes out at once
        "groupBy": ["alertname", "run"],
        "groupWait": "1s",
    }
    return {
        "receiver": RECEIVER,
        "groupBy": ["alertname", "namespace"],
        "groupWait": "30s",
        "groupInterval": "5m",
        "repeatInterval": "4h",
        "matchers": matchers(params),
        "routes": [test],
    }


def _receiver(params: ChannelParams) -> dict[str, Any]:
    secret = {"name": params.secret_name, "key": params.secret_key}
    if params.kind == "webhook":
        address = {"url": params.url} if params.url else {"urlSecret": secret}
        return {"name": RECEIVER, "webhookConfigs": [{**address, "sendResolved": True}]}
    if params.kind == "slack":
        return {"name": RECEIVER, "slackConfigs": [{"apiURL": secret, "channel": params.channel, "sendResolved": True}]}
    mail: dict[str, Any] = {
        "to": params.recipient,
        "from": params.sender,
        "smarthost": params.smarthost,
        "requireTLS": params.require_tls,
        "sendResolved": True,
    }
    if params.username:
        mail |= {"authUsername": params.username, "authPassword": secret}
    return {"name": RECEIVER, "emailConfigs": [mail]}
