"""Writes ``docs/diagnosis.md`` from the signatures: ``python -m monitoring.diagnosis.docs > docs/diagnosis.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from monitoring.diagnosis.base import Layer, Signature
from monitoring.diagnosis.registry import all_signatures

_HEAD = """# Diagnosis

Why an item is not proven. A diagnosis reads lists, events and a few logs once and runs every signature over what was
read. Each signature knows one failure; it is a pure function, and it finds nothing where nothing is wrong.

Signatures lie in layers, from the machine to Git. **The first layer that fails is the cause.** What a later layer
shows is told as a consequence when it may be one (marked ↳ below), else as a finding of its own behind the cause.
A finding has its evidence (lines that quote what was read), a confidence, a public reference and remedies, best first,
with the parameters it knows. Confidence says how sure it is that this is *why*; it never rises down the list.

What could not be read is said under *Ruled out* as "Not looked at", and never guessed. "Connection refused" on port
3000 is never a cause (G1): it says only that Grafana does not listen.

A new signature is one file in `monitoring/diagnosis/signatures/` with `SIGNATURES`, and its recorded cases in
`tests/diagnosis/cases/<id>_<why>.yaml`. Nothing else has to know it. This page is made from the code;
`python -m monitoring.diagnosis.docs` writes it again.

## How often it is right

Three batches of failures were written by one of us in the role of a judge (words of Kubernetes 1.20 to 1.34, Argo CD 2
and 3, Grafana 11 and 12, Prometheus 2 and 3), from the programs' sources, public issues and memory: several faults at
once, near misses, stacks that are odd and well, lists that may not be read, hostile text. The first batch was written
before the matching code was looked at. A hit is the right layer *and* a sentence that sends a person to the right place
(for a well stack: silence). A wrong answer with a confidence of 0.75 or more counts as *confidently wrong*.

| batch | made | cases (well among them) | hits as found | confidently wrong | hits after correction |
|---|---|---|---|---|---|
| 1 | blind | 106 (17) | 88 (83 %) | 10 | 106 |
| 2 | later, the code was known | 59 (9) | 47 (80 %); 44 on the code before batch 1 | 4 | 59 |
| 3 | after batch 2 | 20 (4) | 18 (90 %) | 1 | 20 |

What was found as written is the figure to trust: four in five. The last column is only a regression test, for the
signatures were corrected by these very cases. On well stacks there was no finding in any batch. Batch 1's fixtures
had two slips (pods without the probes their template has), which were corrected before counting. The cases lie in
`tests/diagnosis/cases/` with `held_out: '1'` to `'3'`.

What went wrong most: text that a log only quotes was taken for the program's own (a dashboard called "database is
locked"); an earlier warning outranked the last words; a refusal in words the API server shares (`is forbidden`) was
read as missing rights; advice that fits the common form of a fault and not this one. Not recognised on purpose: what no
line says (a Prometheus that does not answer says nothing about its targets).
"""
_LAYERS = {
    Layer.NODE: "The machine",
    Layer.CONTAINER: "The container",
    Layer.INIT: "What runs before it",
    Layer.SIDECAR: "Grafana's sidecars",
    Layer.VOLUME: "Its volumes and its place on the node",
    Layer.SCHEDULING: "A node for it",
    Layer.ADMISSION: "Leave to create it",
    Layer.ROLLOUT: "The rollout",
    Layer.UNKNOWN: "Nobody knows (asked when nothing above is found)",
    Layer.NETWORK: "The way to it",
    Layer.CONTENT: "What is in it",
    Layer.SOURCE: "What Git says",
    Layer.SYNC: "What Argo CD does with it",
    Layer.ABSENT: "It is not there",
    Layer.LAST: "Said when nothing else is known",
}


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for layer in Layer:
        mine = [each for each in all_signatures() if each.layer == layer]
        if mine:
            parts.append(f"## {_LAYERS[layer]}\n\n{''.join(_rows(mine))}")
    return "\n".join(parts)


def _rows(signatures: Iterable[Signature]) -> Iterable[str]:
    yield "| id | recognises | reference |\n|---|---|---|\n"
    for each in signatures:
        follows = "↳ " if each.follows else ""
        yield f"| {each.id} | {follows}{each.summary.replace('|', chr(92) + '|')} | <{each.reference}> |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
