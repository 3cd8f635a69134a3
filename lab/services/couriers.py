"""Delivers what Alertmanager notifies: webhook and Slack by HTTP, e-mail by SMTP, to addresses this machine can reach.

Names of the demo cluster's Services do not resolve here, as they would not from outside a real one. Nothing is faked:
who does not answer was not told. No proxy, no redirects; a try takes five seconds at most.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import NamedTuple

import aiohttp

from lab.services.cluster import Obj
from lab.services.http import iso
from lab.services.notifying import Delivery, Told

_SECONDS = 5.0
_NO_TIME = "0001-01-01T00:00:00Z"  # how Go writes the end of an alert that fires


class Outcome(NamedTuple):
    """`retry`: another try may do better (no answer, 5xx, 429)."""

    delivered: bool
    retry: bool = False


#: (what to send, the configuration's `global` part) -> how it went
Courier = Callable[[Delivery, Obj], Awaitable[Outcome]]


async def deliver(delivery: Delivery, options: Obj) -> Outcome:
    """One try. Never raises for the receiver's sake."""
    kind, settings = delivery.channel.kind, delivery.channel.settings
    if kind == "webhook":
        return await _post(str(settings.get("url")), webhook_body(delivery))
    if kind == "slack":
        address = str(settings.get("api_url") or options.get("slack_api_url"))
        return await _post(address, _slack_body(delivery, settings))
    if kind == "email":
        return await asyncio.to_thread(_mail, delivery, settings, options)
    return Outcome(delivered=False)  # the lab speaks no other language


def webhook_body(delivery: Delivery) -> Obj:
    """The webhook message, version 4."""
    alerts = [_alert(each, firing=True) for each in delivery.firing]
    alerts += [_alert(each, firing=False) for each in delivery.resolved]
    labels = delivery.group.labels
    named = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return {
        "receiver": delivery.group.route.receiver,
        "status": "firing" if delivery.firing else "resolved",
        "alerts": alerts,
        "groupLabels": labels,
        "commonLabels": _common([each["labels"] for each in alerts]),
        "commonAnnotations": _common([each["annotations"] for each in alerts]),
        "externalURL": "",
        "version": "4",
        "groupKey": f"{delivery.group.route.path}:{{{named}}}",
        "truncatedAlerts": 0,
    }


def _alert(told: Told, *, firing: bool) -> Obj:
    return {
        "status": "firing" if firing else "resolved",
        "labels": told.labels,
        "annotations": told.annotations,
        "startsAt": iso(told.starts_at),
        "endsAt": _NO_TIME if firing else iso(told.ends_at),
        "generatorURL": told.generator,
        "fingerprint": told.fingerprint,
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    first, rest = (maps[0], maps[1:]) if maps else ({}, [])
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in rest)}


def _title(delivery: Delivery) -> str:
    word = f"FIRING:{len(delivery.firing)}" if delivery.firing else "RESOLVED"
    return f"[{word}] {' '.join(delivery.group.labels.values())}"


def _slack_body(delivery: Delivery, settings: Obj) -> Obj:
    color = "danger" if delivery.firing else "good"
    attachment = {"title": _title(delivery), "fallback": _title(delivery), "color": color}
    return {"channel": settings.get("channel", ""), "username": "Alertmanager", "attachments": [attachment]}


async def _post(address: str, body: Obj) -> Outcome:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(address, json=body, allow_redirects=False) as answer,
        ):
            return Outcome(answer.status // 100 == 2, retry=answer.status >= 500 or answer.status == 429)
    except aiohttp.InvalidURL:
        return Outcome(delivered=False)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return Outcome(delivered=False, retry=True)


def _mail(delivery: Delivery, settings: Obj, options: Obj) -> Outcome:
    """Blocking; runs in a thread. A server that does not offer TLS although it is required is not written to."""

    def value(name: str) -> str:
        return str(settings.get(name) or options.get(f"smtp_{name}") or "")

    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = _title(delivery), value("from"), str(settings.get("to"))
    message.set_content("\n".join(" ".join(f"{k}={v}" for k, v in each.labels.items()) for each in delivery.firing))
    host, _, port = value("smarthost").rpartition(":")
    required = settings.get("require_tls", options.get("smtp_require_tls", True))
    try:
        with smtplib.SMTP(host, int(port), timeout=_SECONDS) as server:
            if required:
                server.starttls()
            if value("auth_username"):
                server.login(value("auth_username"), value("auth_password"))
            server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError):
        return Outcome(delivered=False, retry=True)
    return Outcome(delivered=True)
