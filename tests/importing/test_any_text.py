"""Whatever is uploaded, the importer answers, quickly, and its line numbers are true."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.checklists.importing.claims import find
from portal.checklists.importing.document import MAX_BYTES, Document, ReportError, decode, parse
from portal.checklists.importing.understand import Understood, rest, understand

PIECES = st.sampled_from([
    "# Phase 2: X - Progress Report", "## Decisions", "## Lessons", "## Resources Created", "## Accomplishments",
    "### ✅ Done (90% Complete)", "- [ ] open", "- [x] done", "  - nested", "    - deeper", "1. **Option A**: x",
    "> quote", "> - [ ] quoted", "| a | Status |", "|---|---|", "| x | ✅ |", "```", "~~~yaml", "<div>", "</div>",
    "---", "===", "**Date**: 2025-13-45", "**Date**: Feb 30, 2025", "**Namespaces:**", "- platform-monitoring", "&amp;",
    "Retention: 15 days", "\t- tab", "\u2028", "\x0b", "\x00", "[x](", "![", "`", "**", "Phase 999999", "- " * 60 + "x",
    ">" * 80 + " deep", "-----BEGIN PRIVATE KEY-----", "", " ",
])  # fmt: skip
LINES = st.lists(st.one_of(PIECES, st.text(max_size=40)), max_size=40).map("\n".join)
MARKDOWN = st.one_of(st.text(max_size=400), LINES)


def everything(text: str) -> tuple[Document, Understood, list[tuple[int, int]]]:
    document = parse(text)
    found = understand(document)
    claims = find(document, found, ["platform-monitoring"], ["kube-prometheus-stack"])
    parts = (found.phases, found.items, found.decisions, found.options, found.lessons, found.resources, found.attempts)
    lines = [entry.lines for part in parts for entry in part]
    lines += [claim.lines for claim in claims] + [entry.lines for entry in rest(document, found)]
    return document, found, lines


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MARKDOWN)
@example("")
@example("\n")
@example("- [ ]")
@example("# \n## Phase 1\n- \n- [ ] \n")
@example("|a|Status|\n|-|-|\n|||\n")
def test_any_text_is_read_and_every_line_range_is_inside_it(text: str) -> None:
    document, found, lines = everything(text)
    for first, last in lines:
        assert 1 <= first <= last <= len(document.lines)
    assert len(document.lines) == len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    covered = set(found.lines) | {line for first, last in lines for line in range(first, last + 1)}
    for number, line in enumerate(document.lines, start=1):
        assert number in covered or document.structural(number), line


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_one_sentence(raw: bytes) -> None:
    try:
        parse(decode(raw))
    except ReportError as error:
        assert str(error).endswith(".")


def test_what_is_not_utf_8_is_said_with_its_line() -> None:
    with pytest.raises(ReportError, match=r"not UTF-8 text \(line 2\)"):
        decode("erste Zeile\nzweite Zeile äöü\n".encode("latin-1"))


def test_a_byte_order_mark_is_no_content() -> None:
    document = parse(decode("\ufeff# Title\n".encode()))
    assert understand(document).title == "Title"


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(ReportError, match="at most 2 MB"):
        decode(b"x" * (MAX_BYTES + 1))


@pytest.mark.parametrize(
    "text",
    [
        "- [ ] item with a normal length of text\n" * 20_000,
        "| a | Status |\n|---|---|\n" + "| task | done |\n" * 10_000,
        "> " * 3000 + "x\n",
        "*" * 50_000,
        "[" * 20_000,
        "`a " * 20_000,
        "# h\n" * 10_000,
        "a" * 1_000_000,
        "**Retention**: " * 20_000,
        "(" * 5000 + "2/2 Running" + ")" * 5000,
    ],
    ids=["items", "rows", "quotes", "stars", "brackets", "ticks", "headings", "one line", "bold", "parens"],
)
def test_a_huge_or_hostile_report_is_read_in_seconds(text: str) -> None:
    started = time.process_time()
    everything(text)
    assert time.process_time() - started < 20


def test_private_keys_and_tokens_never_get_in() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\ndef\n-----END RSA PRIVATE KEY-----"
    document = parse(f"# T\n{key}\ntoken: abcdef123456\n- [ ] after\n")
    whole = "\n".join(document.lines)
    assert "MIIabc" not in whole
    assert "abcdef123456" not in whole
    assert document.lines[6] == "- [ ] after"
