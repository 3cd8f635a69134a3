"""How people head their sections and columns, and how they name phases, options and objects. Pure."""

from __future__ import annotations

import re

from portal.checklists.importing.text import plain, unmarked

_I = re.IGNORECASE
PHASE = re.compile(r"\bphase\s+(\d{1,3})\b\s*(?:[:–—-]\s*(.+))?", _I)
PERCENT = re.compile(r"\b(\d{1,3})\s*%")
OPTION = re.compile(r"^\W{0,4}option\s+([A-Za-z]|\d{1,2})\b\W{0,6}(.*)$", _I | re.DOTALL)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
TAIL = re.compile(
    r"\s*[-–—:|(]\s*(?:progress|status|weekly|monthly)?\s*(?:report|update|completion|preview)\)?\s*$", _I
)
NUMBERED = re.compile(r"^\W*(?:adr|decision)[ #-]?\d", _I)
KEYED = re.compile(r"^\W*(selected|chosen|decision|choice|reason|why|rationale|because|alternatives?|rejected)\W", _I)

SECTIONS = {
    "decisions": re.compile(r"\bdecisions?\b|\badrs?\b", _I),
    "lessons": re.compile(r"\blessons?\b|\blearn(?:ed|t|ings?)\b|\bretrospective\b|\btake-?aways?\b", _I),
    "resources": re.compile(r"\bresources?\b|\binventory\b", _I),
    "done": re.compile(
        r"\baccomplish|\bachiev|\bcompleted\b|\bdelivered\b|\bdone\b|\bhighlights?\b|\bfinished\b|\bshipped\b|"
        r"\bwhat we did\b|\b(?:this|last) (?:week|sprint|month)\b",
        _I,
    ),
    "open": re.compile(
        r"\bnext (?:steps?|week|sprint|month)\b|\bup next\b|\baction items?\b|\bfollow-?ups?\b|"
        r"\bto-?dos?\b|\bopen (?:items|points|tasks)\b|\bremaining\b|\bplanned\b|\bbacklog\b|"
        r"\bupcoming\b|\bpreview\b|\bcompletion\b|\btasks?\b|\bchecklist\b|\bmilestones?\b|\bdeliverables?\b",
        _I,
    ),
    "attempts": re.compile(r"\battempt|\btried\b", _I),
    "state": re.compile(
        r"\bcurrent (?:state|status)\b|\bissues?\b|\bproblems?\b|\brisks?\b|\bblockers?\b|\bnotes?\b", _I
    ),
}
STATUS_COLUMN = re.compile(r"^(?:status|state|done\??|progress|complete[d]?\??|ready\??)$", _I)
NAME_COLUMN = re.compile(
    r"^(?:item|task|name|title|feature|component|deliverable|milestone|work ?item|what|action)s?$", _I
)
STATE_TAIL = re.compile(r"\s*[-–—(:]\s*(?:in progress|done|complete[d]?|open|pending)\)?\s*$", _I)
_KINDS = {"pvc": "PersistentVolumeClaim", "pv": "PersistentVolume", "crd": "CustomResourceDefinition"}


def section_named(text: str, names: tuple[str, ...] = tuple(SECTIONS)) -> str:
    """Which section a heading or label opens, or nothing."""
    cleaned = plain(text)[:200]
    return next((name for name in names if SECTIONS[name].search(cleaned)), "")


def singular(label: str) -> str:
    """``Namespaces:`` → ``Namespace``, ``PVCs`` → ``PersistentVolumeClaim``."""
    word = unmarked(label).rstrip(":").strip()
    single = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    return _KINDS.get(single.lower(), single)[:80]


def object_name(text: str) -> str:
    """The name of a Kubernetes object in a line: the longest lower-case name with a dash, or the whole line."""
    whole = plain(text)
    if _NAME.fullmatch(whole):
        return whole
    names = [word for word in re.split(r"[\s(),:`]+", whole) if "-" in word and _NAME.fullmatch(word)]
    return max(names, key=len, default="")
