"""A PromQL engine for what a portal and its rules ask: pure, without storage, held against Debian's Prometheus."""

from lab.services.promql.ast import ExecutionError, Labels, Matcher, Node, PromQLError, Selector, calls
from lab.services.promql.evaluate import Moment, Source, Value
from lab.services.promql.functions import Samples, Vector
from lab.services.promql.parser import duration, matcher, parse

__all__ = [
    "ExecutionError",
    "Labels",
    "Matcher",
    "Moment",
    "Node",
    "PromQLError",
    "Samples",
    "Selector",
    "Source",
    "Value",
    "Vector",
    "calls",
    "duration",
    "matcher",
    "parse",
]
