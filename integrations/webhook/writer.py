"""Posts a message to an incoming webhook as Slack and its like take it: ``{"text": …}``. Imported by the engine alone.

The address is the secret (whoever knows it may write to the channel): no error names it, nor does any log line.
"""

from __future__ import annotations

from typing import Any

import httpx

from integrations.errors import Rejected, SourceError, Unreachable, from_status

#: the message is sent from a worker that other work waits for
SECONDS = 3.0


def post(url: str, text: str) -> None:
    """Send one message, once. Redirects are not followed: the address must not travel.

    :raises Rejected: no such address, or the receiver refuses. :raises SourceError: no answer, or another status.
    """
    body: dict[str, Any] = {"text": text}
    failure: SourceError
    try:
        answer = httpx.post(url, json=body, timeout=SECONDS, follow_redirects=False)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
        failure = Rejected("The notification address is not a URL that can be asked.")
    except httpx.HTTPError as error:
        failure = Unreachable(f"The notification address does not answer ({type(error).__name__}).", maybe_done=True)
    else:
        if answer.status_code < 300:
            return
        failure = from_status(
            answer.status_code, f"The notification address answers HTTP {answer.status_code}.", write=True
        )
    raise failure from None
