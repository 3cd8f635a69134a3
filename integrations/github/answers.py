"""What GitHub's answers mean: which are errors, of which kind, in which words. Pure.

Source: GitHub's REST API, version 2022-11-28: a used-up rate limit is a 403 or a 429 (``Retry-After``, or
``X-RateLimit-Remaining: 0`` with ``X-RateLimit-Reset``); what is there already is a 422 with *already exists*; a
renamed repository is a redirect; what a token may not see is a 404.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from integrations.errors import Conflict, Rejected, SourceError, TooManyRequests, Unauthorized, from_status
from integrations.http import Answer

#: a rate limit is waited for no longer than this at a time (seconds)
_MOST_WAIT = 3600.0


def failure(answer: Answer, what: str, *, now: float, write: bool) -> SourceError | None:
    """The error of an answer; None for one that may be used (a GET's 404 in GitHub's own form is such a one).

    ``what`` is method and path, for people; ``now`` the Unix time, for the rate limit; ``write``: it may have changed
    something.
    """
    decoded = answer.json()
    if answer.status < 300:
        if decoded is None and answer.body.strip():
            return Rejected(
                f"{what}: the answer is not JSON. Is PORTAL_GITHUB_URL the API of GitHub?", maybe_done=write
            )
        return None
    if answer.status < 400:
        said = f"{what} is redirected (HTTP {answer.status}): the repository was renamed or moved, name it anew in Git."
        return Rejected(said, status=answer.status)
    if answer.status == 404 and not write and isinstance(decoded, Mapping):
        return None
    said = f"GitHub answers {what}: {_words(answer)}"
    limited = _limited(answer, now)
    if limited is not None:
        return TooManyRequests(f"{said}. Its rate limit is used up.", status=answer.status, retry_after=limited)
    if answer.status == 401:
        return Unauthorized("GitHub does not accept the token in PORTAL_GITHUB_TOKEN_FILE (HTTP 401).", status=401)
    if answer.status == 404 and not isinstance(decoded, Mapping):
        return Rejected(f"{said}. Is PORTAL_GITHUB_URL the API of GitHub?", status=404)
    if answer.status == 422 and "already exists" in _words(answer).lower():
        # somebody made it, perhaps we: whoever sent this looks before anything else
        return Conflict(said, status=422, reason="AlreadyExists", maybe_done=write)
    if answer.status == 404:
        said += ". It is not there, or the token may not write it (Contents and Pull requests: read and write)"
    return from_status(answer.status, said, write=write)


def _limited(answer: Answer, now: float) -> float | None:
    """Seconds to wait when this is a rate limit (the first or GitHub's secondary one); else None."""
    if answer.status not in (403, 429):
        return None
    after, left = answer.headers.get("retry-after", ""), answer.headers.get("x-ratelimit-remaining", "")
    if after.isdecimal() and len(after) < 9:
        return min(float(after), _MOST_WAIT)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if left == "0":
        known = reset.isdecimal() and len(reset) < 12
        return min(max(float(reset) - now, 1.0), _MOST_WAIT) if known else 60.0
    return 60.0 if answer.status == 429 or "rate limit" in _words(answer).lower() else None


def _words(answer: Answer) -> str:
    """GitHub's message with what it says of single fields."""
    decoded = answer.json()
    message = str(decoded.get("message") or "") if isinstance(decoded, Mapping) else ""
    parts = [message, *_details(decoded)]
    said = "; ".join(dict.fromkeys(part for part in parts if part))
    return f"{said} (HTTP {answer.status})" if said else f"HTTP {answer.status}"


def _details(decoded: object) -> Iterator[str]:
    errors = decoded.get("errors") if isinstance(decoded, Mapping) else None
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, Mapping):
            yield str(error.get("message") or f"{error.get('field', 'a field')}: {error.get('code', 'refused')}")
        else:
            yield str(error)
