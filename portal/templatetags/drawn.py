"""HTML that is drawn once for as long as it says the same: rows by what they say, parts by the revision behind them.

Ages are the one thing on a page that goes by the clock: they are brought up to date each time kept HTML is used, so
that it never looks fresher than it is. Nothing that depends on a person may be kept under a key without that person.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.base import FilterExpression, Node, NodeList, Parser, Token
from django.template.context import Context
from django.template.loader import get_template, render_to_string
from django.utils.safestring import SafeString, mark_safe

from common.clock import now
from portal import times
from portal.templatetags.parts import age
from portal.words import QUIET

register = template.Library()

_AGE = re.compile(r'(<time [^>]*data-observed-at="(\d+)" data-age="(\w+)"[^>]*>)[^<]*')
#: stands for the age of a row's reading until the row is used
_SEEN = "\x00seen\x00"
_MOST_ROWS = 8192
_MOST_PARTS = 64


def part_html(template: str, **context: Any) -> str:
    """A part of the pages, drawn anew."""
    return render_to_string(f"parts/{template}.html", context)


def aged(html: str, at: datetime) -> str:
    """The HTML with every age as it is at ``at``."""
    moment = at.timestamp()

    def renewed(found: re.Match[str]) -> str:
        return found[1] + times.phrase(moment - int(found[2]) / 1000, found[3])

    return _AGE.sub(renewed, html)


@register.simple_tag
def drawn(name: str, row: Any) -> SafeString:
    """``parts/<name>.html`` for a row. Rows that are equal are drawn once; ``seen`` is the age of what they rest on."""
    at = now()
    html = aged(_row(name, row, at.date()), at)
    return mark_safe(html.replace(_SEEN, age(row.observed_at)))  # noqa: S308 - drawn by a template


@lru_cache(maxsize=_MOST_ROWS)
def _row(name: str, row: Any, _today: date) -> str:
    """``_today``: due dates are said by it."""
    context = {"row": row, "quiet": QUIET, "seen": mark_safe(_SEEN)}  # noqa: S308 - a constant
    return get_template(f"parts/{name}.html").render(context)


_parts: OrderedDict[Hashable, str] = OrderedDict()


class _Kept(Node):
    def __init__(self, nodelist: NodeList, key: list[FilterExpression]) -> None:
        self.nodelist = nodelist
        self._key = key

    def render(self, context: Context) -> SafeString:
        key = (now().date(), *(part.resolve(context) for part in self._key))
        html = _parts.get(key)
        if html is None:
            html = _parts[key] = self.nodelist.render(context)
            while len(_parts) > _MOST_PARTS:
                _parts.popitem(last=False)
        return mark_safe(aged(html, now()))  # noqa: S308 - drawn by a template


@register.tag
def kept(parser: Parser, token: Token) -> Node:
    """``{% kept "name" revision role %}…{% endkept %}``: drawn once for these values."""
    key = [parser.compile_filter(part) for part in token.split_contents()[1:]]
    nodelist = parser.parse(("endkept",))
    parser.delete_first_token()
    return _Kept(nodelist, key)
