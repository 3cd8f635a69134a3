"""From PromQL text to its tree. What is not supported is refused by name, never guessed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from lab.services.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Labels,
    Matcher,
    Matching,
    Negation,
    Node,
    Number,
    PromQLError,
    Range,
    Selector,
    Text,
)

AGGREGATES = {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile"}
_PARAMETERS = {"topk", "bottomk", "quantile"}
_PRECEDENCE = {
    "or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6,
}  # fmt: skip
COMPARISONS = {"==", "!=", "<=", "<", ">=", ">"}
SETS = {"and", "or", "unless"}
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![a-zA-Z0-9_.]))
  | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
  | (?P<op>==|!=|=~|!~|<=|>=|[-+*/%^<>=(){}\[\],:@])
    """,
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_LIMIT = 10_000


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of an expression. Raises PromQLError."""
    if len(text) > _LIMIT:
        raise PromQLError(f"expression longer than {_LIMIT} characters")
    parser = _Parser(_tokens(text), text)
    node = parser.expression(0)
    parser.end()
    return node


def duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`. Raises PromQLError."""
    if not re.fullmatch(r"(\d+(ms|[smhdwy]))+", text):
        raise PromQLError(f"not a valid duration string: {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    in_range = False  # a colon separates there, elsewhere it belongs to a metric's name
    while at < len(text):
        if in_range and text[at] == ":":
            found.append(_Token("op", ":", at))
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise PromQLError(f"1:{at + 1}: parse error: unexpected character: {text[at]!r}")
        in_range = match.group() == "[" or (in_range and match.group() != "]")
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match.group(), at))
        at = match.end()
    return found


def _unquote(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1] if m[1] in "\\\"'" else "\\" + m[1]), text[1:-1])


class _Parser:
    """Precedence climbing over the tokens."""

    def __init__(self, tokens: list[_Token], text: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._text = text
        self._depth = 0

    # -- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "", len(self._text))

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, *texts: str) -> bool:
        token = self._peek()
        return token.kind in ("op", "name") and token.text in texts

    def _word(self, *words: str) -> bool:
        """Whether the next token is one of these keywords, in any case."""
        token = self._peek()
        return token.kind == "name" and token.text.lower() in words

    def _take(self, text: str) -> None:
        if not self._is(text):
            raise self._error(f"expected {text!r}")
        self._at += 1

    def _error(self, why: str) -> PromQLError:
        token = self._peek()
        seen = f"unexpected {token.text!r}" if token.kind != "end" else "unexpected end of input"
        return PromQLError(f"1:{token.at + 1}: parse error: {seen}, {why}")

    def end(self) -> None:
        if self._peek().kind != "end":
            raise self._error("expected the end of the expression")

    # -- expressions

    def expression(self, floor: int) -> Node:
        self._depth += 1
        if self._depth > 60:
            raise PromQLError("expression nested too deeply")
        left = self._unary()
        while True:
            token = self._peek()
            op = token.text.lower() if token.kind == "name" else token.text
            power = _PRECEDENCE.get(op, 0) if token.kind in ("op", "name") else 0
            if power == 0 or power <= floor:
                break
            self._at += 1
            returns_bool, matching = self._modifiers(op)
            right = self.expression(power - 1 if op == "^" else power)
            left = Binary(op, left, right, matching, returns_bool)
        self._depth -= 1
        return left

    def _modifiers(self, op: str) -> tuple[bool, Matching]:
        returns_bool = False
        if self._word("bool"):
            if op not in COMPARISONS:
                raise self._error("bool modifier can only be used on comparison operators")
            self._at += 1
            returns_bool = True
        if not self._word("on", "ignoring"):
            return returns_bool, Matching()
        on = self._next().text.lower() == "on"
        labels = self._label_list()
        group = ""
        include: tuple[str, ...] = ()
        if self._word("group_left", "group_right"):
            group = self._next().text.lower().removeprefix("group_")
            include = self._label_list() if self._is("(") else ()
        return returns_bool, Matching(on, labels, group, include)

    def _label_list(self) -> tuple[str, ...]:
        self._take("(")
        names: list[str] = []
        while not self._is(")"):
            token = self._next()
            if token.kind != "name":
                raise PromQLError(f"1:{token.at + 1}: parse error: unexpected {token.text!r} in grouping")
            names.append(token.text)
            if self._is(","):
                self._at += 1
        self._take(")")
        return tuple(names)

    def _unary(self) -> Node:
        if self._is("-"):
            self._at += 1
            inner = self.expression(_PRECEDENCE["*"])
            return Number(-inner.value) if isinstance(inner, Number) else Negation(inner)
        if self._is("+"):
            self._at += 1
            return self.expression(_PRECEDENCE["*"])
        return self._suffixes(self._primary())

    def _primary(self) -> Node:
        token = self._peek()
        if token.kind == "number":
            self._at += 1
            return Number(float(int(token.text, 16)) if token.text.lower().startswith("0x") else float(token.text))
        if token.kind == "string":
            self._at += 1
            return Text(_unquote(token.text))
        if self._is("("):
            self._at += 1
            inner = self.expression(0)
            self._take(")")
            return inner
        if self._is("{"):
            return self._selector("")
        if token.kind == "name":
            return self._named()
        raise self._error("expected an expression")

    def _named(self) -> Node:
        token = self._next()
        word = token.text.lower()
        if word in ("inf", "nan") and not self._is("{", "("):
            return Number(float(word))
        if word in AGGREGATES and (self._is("(") or self._word("by", "without")):
            return self._aggregate(word)
        if self._is("("):
            return Call(token.text, self._arguments())
        return self._selector(token.text)

    def _arguments(self) -> tuple[Node, ...]:
        self._take("(")
        args: list[Node] = []
        while not self._is(")"):
            args.append(self.expression(0))
            if self._is(","):
                self._at += 1
            elif not self._is(")"):
                raise self._error("expected ',' or ')'")
        self._take(")")
        return tuple(args)

    def _aggregate(self, op: str) -> Node:
        labels: tuple[str, ...] = ()
        without = False
        grouped = self._word("by", "without")
        if grouped:
            without = self._next().text.lower() == "without"
            labels = self._label_list()
        args = self._arguments()
        if not grouped and self._word("by", "without"):
            without = self._next().text.lower() == "without"
            labels = self._label_list()
        if len(args) != (2 if op in _PARAMETERS else 1):
            raise PromQLError(f"parse error: wrong number of arguments for aggregate expression {op}: {len(args)}")
        return Aggregate(op, args[-1], labels, without, args[0] if op in _PARAMETERS else None)

    # -- selectors and what follows them

    def _selector(self, name: str) -> Selector:
        matchers: list[Matcher] = []
        if self._is("{"):
            self._at += 1
            while not self._is("}"):
                matchers.append(self._matcher())
                if self._is(","):
                    self._at += 1
                elif not self._is("}"):
                    raise self._error("expected ',' or '}'")
            self._take("}")
        fixed = next((m.value for m in matchers if m.name == "__name__" and m.op == "="), "")
        if not name and not any(not m.fits({}) for m in matchers):
            raise PromQLError("parse error: vector selector must contain at least one non-empty matcher")
        return Selector(name or fixed, tuple(m for m in matchers if not (m.name == "__name__" and m.value == fixed)))

    def _matcher(self) -> Matcher:
        name, op, value = self._next(), self._next(), self._next()
        if name.kind != "name" or op.text not in ("=", "!=", "=~", "!~") or value.kind != "string":
            raise PromQLError(f"1:{name.at + 1}: parse error: unexpected {name.text!r} in label matching")
        text = _unquote(value.text)
        return matcher(name.text, op.text, text)

    def _suffixes(self, node: Node) -> Node:
        while True:
            if self._is("["):
                node = self._range(node)
            elif self._word("offset"):
                self._at += 1
                node = self._offset(node)
            elif self._is("@"):
                self._at += 1
                node = self._moment(node)
            else:
                return node

    def _range(self, node: Node) -> Node:
        self._take("[")
        seconds = self._duration()
        step = 0.0
        subquery = self._is(":")
        if subquery:
            self._at += 1
            step = 60.0 if self._is("]") else self._duration()
        self._take("]")
        if isinstance(node, Range):
            raise PromQLError("parse error: ranges only allowed for vector selectors")
        if not subquery and not isinstance(node, Selector):
            raise PromQLError("parse error: ranges only allowed for vector selectors")
        return Range(node, seconds, step)

    def _offset(self, node: Node) -> Node:
        sign = 1.0
        if self._is("-"):
            self._at += 1
            sign = -1.0
        seconds = sign * self._duration()
        if not isinstance(node, Selector | Range):
            raise PromQLError("parse error: offset modifier must be preceded by an instant or range selector")
        return replace(node, offset=seconds)

    def _moment(self, node: Node) -> Node:
        """`@ 1609746000`; of `@ start()` and `@ end()` a portal has no use."""
        sign = 1.0
        if self._is("-", "+"):
            sign = -1.0 if self._next().text == "-" else 1.0
        token = self._next()
        if token.kind != "number":
            raise PromQLError(f"1:{token.at + 1}: parse error: unexpected {token.text!r} in @, expected timestamp")
        if not isinstance(node, Selector | Range):
            raise PromQLError("parse error: @ modifier must be preceded by an instant or range selector")
        return replace(node, at=sign * float(token.text))

    def _duration(self) -> float:
        token = self._next()
        if token.kind != "duration":
            raise PromQLError(f"1:{token.at + 1}: parse error: unexpected {token.text!r}, expected duration")
        return duration(token.text)


def matcher(name: str, op: str, value: str) -> Matcher:
    """A matcher; RE2's syntax is Python's for what dashboards use. Raises PromQLError for a broken pattern."""
    if op not in ("=~", "!~"):
        return Matcher(name, op, value)
    try:
        return Matcher(name, op, value, re.compile(value))
    except re.error as error:
        raise PromQLError(f"parse error: error parsing regexp: {error}") from error


def without_name(labels: Labels) -> Labels:
    """Labels of a result that is no longer the metric itself."""
    return {key: value for key, value in labels.items() if key != "__name__"}
