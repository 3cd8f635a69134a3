"""The smallest parts of a page as tags: icon, chip, blocks, strip, age, tier. Pure; repeated often, so cached.

Everything that comes from outside goes through ``format_html``. Widths are attributes and classes: the policy forbids
``style``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import template
from django.template.defaultfilters import stringfilter
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from heroicons.templatetags.heroicons import heroicon_micro, heroicon_outline

from common.clock import now
from portal import times
from portal.words import shown

register = template.Library()

#: drawn solid at 14 to 16 px: states and small marks
MICRO = (
    "check-circle",
    "x-circle",
    "lock-closed",
    "hand-raised",
    "exclamation-triangle",
    "question-mark-circle",
    "arrow-path",
    "queue-list",
    "bug-ant",
    "eye-slash",
    "stop-circle",
    "no-symbol",
    "bell-alert",
    "bell-slash",
    "play",
    "chevron-right",
    "information-circle",
    "arrow-down",
    "arrow-uturn-left",
    "arrow-path-rounded-square",
)
#: drawn as outline: quiet states, navigation, tools
OUTLINE = (
    "check-badge",
    "clock",
    "shield-check",
    "minus-circle",
    "signal-slash",
    "squares-2x2",
    "bars-4",
    "signal",
    "wrench-screwdriver",
    "play-circle",
    "document-text",
    "finger-print",
    "cog-6-tooth",
    "magnifying-glass",
    "clipboard",
    "funnel",
    "bars-3",
    "document-arrow-up",
    "arrow-down-tray",
    "arrow-top-right-on-square",
    "scale",
)


@register.simple_tag
@functools.cache
def sprite() -> SafeString:
    """Every icon once; rows refer to them with ``<use>``."""
    solid = [heroicon_micro(name, size=None, id=f"i-{name}") for name in MICRO]
    lined = [heroicon_outline(name, size=None, id=f"i-{name}", stroke_width="1.9") for name in OUTLINE]
    body = "".join(solid + lined).replace(' aria-hidden="true"', "").replace("\n", "")
    return mark_safe(f'<svg hidden aria-hidden="true"><defs>{body}</defs></svg>')  # noqa: S308 - the wheel's own icons


@register.simple_tag
@functools.lru_cache(maxsize=256)
def icon(name: str, cls: str = "") -> SafeString:
    """An icon beside words; it says nothing by itself."""
    return format_html('<svg class="i {}" aria-hidden="true"><use href="#i-{}"/></svg>', cls, name)


@register.simple_tag
@functools.lru_cache(maxsize=512)
def mark(word: str, *, label: bool = True) -> SafeString:
    """The icon of a state in its colour, its word for who cannot see it."""
    state = shown(word)
    return format_html(
        '<svg class="i mark{}" data-state="{}" aria-hidden="true"><use href="#i-{}"/></svg>{}',
        " spin" if state.spins else "",
        word,
        state.icon,
        format_html('<span class="sr">{}: </span>', state.label) if label else "",
    )


@register.simple_tag
@functools.lru_cache(maxsize=1024)
def chip(word: str, fact: str = "", size: str = "") -> SafeString:
    """Icon and exact word, never shortened; ``fact`` is one light addition ("12 s of 30 s")."""
    state = shown(word)
    return format_html(
        '<span class="chip {}" data-state="{}">'
        '<svg class="i{}" aria-hidden="true"><use href="#i-{}"/></svg>{}{}</span>',
        size,
        word,
        " spin" if state.spins else "",
        state.icon,
        state.label,
        format_html(' <span class="fact">{}</span>', fact) if fact else "",
    )


@register.filter
@stringfilter
def anchor(word: str) -> str:
    """The fragment of a word's group: ``waiting-for-approval``."""
    return word.replace("_", "-")


@register.filter
@stringfilter
def label(word: str) -> str:
    """The word as people read it."""
    return shown(word).label


@functools.lru_cache(maxsize=256)
def _blocks(words: tuple[str, ...], tall: bool) -> SafeString:
    counted = ", ".join(f"{words.count(w)} {shown(w).label.lower()}" for w in dict.fromkeys(words))
    return format_html(
        '<div class="blocks{}{}" role="img" aria-label="{}">{}</div>',
        " tall" if tall else "",
        " many" if len(words) > 40 else "",
        counted or "no items",
        format_html_join("", '<span class="blk" data-state="{}"></span>', ((word,) for word in words)),
    )


def _word(part: Any) -> str:
    """The word of a block or bar, or the word itself."""
    return str(getattr(part, "word", part))


@register.simple_tag
def blocks(parts: Iterable[Any], size: str = "") -> SafeString:
    """One block per item, so that progress can be counted."""
    return _blocks(tuple(_word(part) for part in parts), size == "tall")


@register.simple_tag
def step_blocks(done: int, total: int, state: str) -> SafeString:
    """One block per step of a run: done ones grey, because a step that ran proves nothing yet."""
    now_at = ("running",) if state in ("running", "verifying") and done < total else ()
    words = ("ran",) * min(done, total) + now_at + ("ahead",) * (total - done - len(now_at))
    return format_html(
        '<div class="blocks steps" role="img" aria-label="{} of {} steps done">{}</div>',
        done,
        total,
        format_html_join("", '<span class="blk" data-state="{}"></span>', ((word,) for word in words)),
    )


_HEIGHT = {"verified": 1.0, "failing": 1.0, "degraded": 0.75, "stale": 0.5, "unknown": 0.5}


@functools.lru_cache(maxsize=512)
def _strip(words: tuple[str, ...], bar: int, gap: int, height: int, title: str) -> SafeString:
    width = len(words) * (bar + gap) - gap
    drawn = []
    for index, word in enumerate(words):
        tall = round(height * _HEIGHT.get(word, 0)) or 3
        drawn.append((word or "none", index * (bar + gap), height - tall, bar, tall))
    return format_html(
        '<svg class="strip" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">{3}</svg>',
        width,
        height,
        title,
        format_html_join("", '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', drawn),
    )


@register.simple_tag
def strip(
    days: Sequence[Any], name: str = "", bar: int = 6, gap: int = 3, height: int = 18, last: int = 0
) -> SafeString:
    """One bar a day, oldest first; an empty word is a day without data, drawn as a line and never as zero."""
    words = tuple(_word(day) for day in days)[-last:]
    seen = [word for word in words if word]
    counted = ", ".join(f"{seen.count(w)} {shown(w).label.lower()}" for w in dict.fromkeys(seen))
    title = f"{name}: last {len(words)} days, {counted or 'no data'}, {len(words) - len(seen)} without data"
    return _strip(words, bar, gap, height, title)


@register.simple_tag
def age(at: datetime | float | None, form: str = "ago") -> SafeString:
    """A moment, or an age in seconds, as an age that counts up in the browser. ``form``: ago, for, elapsed."""
    if at is None:
        return mark_safe('<span class="never">never read</span>')
    if not isinstance(at, datetime):
        at = now() - timedelta(seconds=float(at))
    return format_html(
        '<time datetime="{}" data-observed-at="{}" data-age="{}" title="{}">{}</time>',
        at.isoformat(timespec="seconds"),
        int(at.timestamp() * 1000),
        form,
        times.stamp(at),
        times.phrase((now() - at).total_seconds(), form),
    )


@register.simple_tag
def clock(at: datetime | None, form: str = "time") -> SafeString:
    """A moment as clock time in UTC. ``form``: time (14:02:11), minute (14:02), day (23 Nov), stamp (all of it)."""
    if at is None:
        return mark_safe("")
    text = {"time": times.second, "minute": times.minute, "day": times.day, "stamp": times.stamp}[form](at)
    return format_html('<time datetime="{}">{}</time>', at.astimezone(UTC).isoformat(timespec="seconds"), text)


@register.simple_tag
def zoned(at: datetime, zone: str) -> SafeString:
    """A moment on the wall clock of a zone, and in UTC where that is another one."""
    stamp = at.astimezone(UTC).isoformat(timespec="seconds")
    return format_html('<time datetime="{}">{}</time>', stamp, times.zoned(at, zone))


_TIERS = ("no change", "reversible", "disruptive", "destructive")


@register.simple_tag
@functools.lru_cache(maxsize=8)
def tier(number: int) -> SafeString:
    """Tier 0 to 3 as pips; red only at 3."""
    pips = format_html_join("", '<i class="{}"></i>', (("on" if n <= number else "",) for n in range(4)))
    return format_html(
        '<span class="tier{}"><span class="pips" aria-hidden="true">{}</span>Tier {} · {}</span>',
        " red" if number == 3 else "",
        pips,
        number,
        _TIERS[number],
    )


@register.simple_tag
@functools.lru_cache(maxsize=256)
def person(name: str) -> SafeString:
    """Initials and name; "nobody" is said, not left empty."""
    if not name:
        return mark_safe('<span class="muted">nobody yet</span>')
    return format_html(
        '<span class="person"><span class="avatar" aria-hidden="true">{}</span>{}</span>', initials(name), name
    )


@register.filter
@stringfilter
def initials(name: str) -> str:
    """Two letters: first letters of two words, else the first and the last consonant-ish letter of one."""
    words = name.replace(".", " ").replace("-", " ").split()
    if len(words) > 1:
        return (words[0][0] + words[1][0]).upper()
    return name[:2].upper()


@register.simple_tag
def linked(row: Any) -> SafeString:
    """An item's sentence in which the name of the item it waits for, or closes with, is a link to it."""
    named = row.blocked_by or row.closes_with
    lead, quoted, tail = row.sentence.partition(f"“{named.title}”") if named else (row.sentence, "", "")
    if not quoted:
        return format_html("{}", row.sentence)
    return format_html('{}<a href="{}">{}</a>{}', lead, reverse("item", args=(named.id,)), named.title, tail)


@register.filter
def seconds(value: float | None) -> str:
    """A length of time: 0.4 s, 38 s, 4 m 38 s."""
    return "" if value is None else times.length(float(value))


@register.filter(name="limit")
def limit_filter(value: float) -> str:
    """60 s, 5 min."""
    return times.limit(value)


@register.filter
def sentence_list(values: Iterable[Any]) -> str:
    """ "a, b and c"."""
    words = [str(value) for value in values]
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""


@register.filter(name="due")
def due_filter(on: date) -> str:
    """today, tomorrow, 24 Nov."""
    return times.due(on, now().date())


@register.filter(name="day")
def day_filter(on: date) -> str:
    """23 Nov."""
    return times.day(on)
