"""What the operator refuses to hand to Prometheus: rules that Prometheus could not load. Pure.

One bad rule would keep Prometheus from loading any change of its rules, so the operator leaves the whole object out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lab.controllers.client import Object

# PromQL's functions (prometheus.io/docs, querying/functions); the lab's engine answers fewer: no error of a rule
_NAMES = """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min
    cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp floor
    histogram_avg histogram_count histogram_fraction histogram_quantile histogram_stddev histogram_stdvar histogram_sum
    holt_winters double_exponential_smoothing hour idelta increase info irate label_join label_replace
    last_over_time ln log10 log2 mad_over_time max_over_time min_over_time minute month pi predict_linear
    present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_by_label
    sort_by_label_desc sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp
    vector year
"""
_FUNCTIONS = frozenset(re.findall(r"\w+", _NAMES))
# grammar that the lab's parser does not know and Prometheus does
_UNKNOWN_HERE = re.compile(r"\b(count_values|limitk|limit_ratio)\b|@\s*(start|end)\(\)")


def problem(rule: Object) -> str:
    """Why Prometheus could not load the groups of a PrometheusRule; empty when it can."""
    names: set[str] = set()
    for group in (rule.get("spec") or {}).get("groups") or []:
        name = str(group.get("name") or "")
        if not name:
            return "Groupname must not be empty"
        if name in names:
            return f'groupname: "{name}" is repeated in the same file'
        names.add(name)
        for index, each in enumerate(group.get("rules") or []):
            why = _of_rule(each)
            if why:
                title = each.get("alert") or each.get("record") or ""
                return f'group "{name}", rule {index}, "{title}": {why}'
    return ""


def _of_rule(rule: Object) -> str:
    if bool(rule.get("alert")) == bool(rule.get("record")):
        return "one of 'record' or 'alert' must be set, and only one"
    expression = str(rule.get("expr") or "")
    if not expression.strip():
        return "field 'expr' must be set in rule"
    for field in ("for", "keep_firing_for"):
        if rule.get(field) and not re.fullmatch(r"0|(\d+(ms|[smhdwy]))+", str(rule[field])):
            return f"not a valid duration string: {rule[field]!r}"
    return _of_expression(expression)


@lru_cache(maxsize=4096)
def _of_expression(text: str) -> str:
    # the services look at the controllers' objects; here only their grammar is asked
    from lab.services.promql import PromQLError, calls, parse

    if _UNKNOWN_HERE.search(text):
        return ""
    try:
        tree = parse(text)
    except PromQLError as error:
        return f"could not parse expression: {error}"
    unknown = sorted(calls(tree) - _FUNCTIONS)
    return f'could not parse expression: unknown function with name "{unknown[0]}"' if unknown else ""
