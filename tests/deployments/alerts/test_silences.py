"""Silences: matchers read strictly, what is muted counted by Alertmanager, and the end of one."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import Call, CannotPlan, Condition
from deployments.catalogue.alerts import api, matchers
from deployments.catalogue.seen import Outlook, Seen
from monitoring.checks.alert_routes import Matcher
from monitoring.snapshot import Missing
from tests.deployments.alerts.scene import Scene
from tests.deployments.nodes.scene import unmet

ID, OTHER = "38a42ba9-b43c-41e5-b87a-8804ecf6b82a", "00000000-b43c-41e5-b87a-8804ecf6b82a"
TEXT = "alertname=KubePodCrashLooping, namespace=dev"
GIVEN = {"matchers": TEXT, "duration": "2h", "comment": "while  Grafana is\nrepaired"}


def scene(*fitting: str, text: str = TEXT) -> Scene:
    """Five alerts are there; Alertmanager says that ``fitting`` fit the matchers."""
    made = Scene()
    for name in ("KubePodCrashLooping", "KubeJobFailed", "NodeDown", "Watchdog"):
        made.alert(name, namespace="dev")
    made.alert("KubePodCrashLooping", namespace="dev", pod="b", silenced=(OTHER,))
    need = api.alerts_with(matchers.parse(text))
    made.fetches[f"alertmanager {need.path}"] = {
        "body": [a for a in made.alerts if a["labels"]["alertname"] in fitting]
    }
    return made


def call(drafted: Any) -> Call:
    (step,) = drafted.steps
    assert isinstance(step.effect, Call)
    return step.effect


# -- the grammar


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=b", [("a", "=", "b")]),
        (" a = b ", [("a", "=", "b")]),
        ("b!=c\na=~x.*", [("a", "=~", "x.*"), ("b", "!=", "c")]),
        ('{a="b,c", d!~"e|f"}', [("a", "=", "b,c"), ("d", "!~", "e|f")]),
        ('a="q\\"u\\\\e"', [("a", "=", 'q"u\\e')]),
        ("pod=~grafana-[0-9]+", [("pod", "=~", "grafana-[0-9]+")]),
        ("a=b,,\n", [("a", "=", "b")]),
        ('a="", b=c', [("a", "=", ""), ("b", "=", "c")]),
    ],
)
def test_matchers_are_read_in_one_grammar(text: str, found: list[tuple[str, str, str]]) -> None:
    assert matchers.parse(text) == tuple(Matcher(*each) for each in found)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "name at least one matcher"),
        ("KubePodCrashLooping", "“KubePodCrashLooping” is no matcher"),
        ("a==b", "is no matcher"),
        ("a~b", "is no matcher"),
        ("a b=c", "is no matcher"),
        ("1a=b", "is no matcher"),
        ("a-b=c", "is no matcher"),
        ('a="b', "a double quote is not closed"),
        ('a="b"c', "is no matcher"),
        ("a=b{c", "is no matcher"),
        ("a=b, a=b", "stands there twice"),
        (",".join(f"a{n}=b" for n in range(13)), "too many"),
        ("a=" + "x" * 513, "longer than 512"),
        ("a=~(", "pattern of a is none"),
        ("a=~(x+)+", "too involved"),
        ("a=~(?=x)", "too involved"),
    ],
)
def test_what_is_no_matcher_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        matchers.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "alertname=~.*",
        "alertname=~.+",
        'alertname=~"..*|.?"',
        'alertname=""',
        "alertname!=Watchdog",
        "alertname!~Watchdog|x",
        "nothing=~x*",
        "severity!=critical, namespace=~.*",
        "alertname=~[A-Za-z0-9].*",
        'alertname=~"(?s).+"',
    ],
)
def test_a_silence_of_everything_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fit every alert"):
        matchers.parse(text)
    with pytest.raises(ValueError, match="fit every alert"):
        registry.parse("silence-alerts", {**GIVEN, "matchers": text})


@pytest.mark.parametrize("text", ["severity=warning", "alertname=~Kube.*", "namespace=dev, alertname=~.+", "a=~x|y"])
def test_what_says_which_alerts_are_meant_is_taken(text: str) -> None:
    assert matchers.parse(text)


# -- silence


def test_one_request_that_carries_the_mark_in_its_comment() -> None:
    drafted = scene("KubePodCrashLooping").draft("silence-alerts", **GIVEN)
    assert unmet(drafted) == []
    sent = call(drafted)
    assert (sent.method, sent.path) == ("POST", "/api/v2/silences")
    assert sent.body == {
        "matchers": [
            {"name": "alertname", "value": "KubePodCrashLooping", "isRegex": False, "isEqual": True},
            {"name": "namespace", "value": "dev", "isRegex": False, "isEqual": True},
        ],
        "startsAt": "${run.time}",
        "endsAt": "${run.time+7200}",
        "createdBy": "${run.user}",
        "comment": "while Grafana is repaired [phaseboard ${run.mark}]",
    }
    assert sent.made == Condition("alertmanager_silenced", {"mark": "${run.mark}"}) == drafted.steps[0].until
    assert drafted.params["matchers"] == 'alertname="KubePodCrashLooping", namespace="dev"'
    assert "expired by its id" in drafted.undo
    assert sent.undo is not None and sent.undo.path == "/api/v2/silence/${seen.silence}"


def test_every_operator_is_said_as_alertmanager_wants_it() -> None:
    text = 'a="b", c!="d", e=~"f.*", g!~"h"'
    drafted = scene(text=text).draft("silence-alerts", **{**GIVEN, "matchers": text})
    flags = {m["name"]: (m["isRegex"], m["isEqual"]) for m in call(drafted).body["matchers"]}
    assert flags == {"a": (False, True), "c": (False, False), "e": (True, True), "g": (True, False)}


def test_what_is_muted_now_is_counted() -> None:
    drafted = scene("KubePodCrashLooping").draft("silence-alerts", **GIVEN)
    evidence = next(p.evidence for p in drafted.preconditions if p.sentence == "What it mutes now is known")
    assert evidence.startswith("2 alerts: KubePodCrashLooping (namespace dev")
    assert "Of 5 alerts now, 2 fit, 1 of them not muted yet; 3 alerts not touched" in drafted.blast.sentence
    assert drafted.blast.changed == ("Alert KubePodCrashLooping (namespace dev)",)


def test_what_fits_nothing_now_may_be_silenced_all_the_same() -> None:
    drafted = scene().draft("silence-alerts", **GIVEN)
    assert unmet(drafted) == []
    assert "no alert is active that it fits" in drafted.preconditions[-1].evidence


def test_the_heartbeat_is_not_muted() -> None:
    (reason,) = unmet(scene("Watchdog").draft("silence-alerts", **GIVEN))
    assert reason.endswith("it would mute Watchdog")


def test_the_same_silence_twice_is_refused() -> None:
    made = scene()
    both = [("namespace", "dev", False, True), ("alertname", "KubePodCrashLooping", False, True)]
    made.silence(ID, *both, status={"state": "expired"})
    assert unmet(made.draft("silence-alerts", **GIVEN)) == []
    made.silence(OTHER, *both)
    (reason,) = unmet(made.draft("silence-alerts", **GIVEN))
    assert reason.startswith(f"No silence with these matchers is in force: {OTHER} of olivia until")


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"duration": "25h"}, "not between 1 min and 1 d"),
        ({"duration": "30s"}, "not between"),
        ({"duration": "2"}, "duration"),
        ({"duration": "2 h"}, "not written like"),
        ({"duration": "-2h"}, "not written like"),
        ({"comment": "  x "}, "say why"),
        ({"comment": "ab"}, "comment"),
        ({"matchers": "x"}, "no matcher"),
    ],
)
def test_parameters_are_bounded(params: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        registry.parse("silence-alerts", {**GIVEN, **params})


@pytest.mark.parametrize("missing", ["comment", "duration", "matchers"])
def test_nothing_is_left_out(missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        registry.parse("silence-alerts", {key: value for key, value in GIVEN.items() if key != missing})


def test_a_pattern_that_alertmanager_does_not_take_starts_nothing() -> None:
    made = scene()
    need = api.alerts_with(matchers.parse(TEXT))
    made.fetches[f"alertmanager {need.path}"] = {"status": 400, "body": "error parsing regexp"}
    with pytest.raises(Missing, match="HTTP 400"):
        made.draft("silence-alerts", **GIVEN)


def test_the_mark_in_the_comment_shows_that_it_was_made() -> None:
    made = Scene()

    def look() -> Seen:
        return made.look("alertmanager_silenced", mark="01X.0")

    assert look().outlook == Outlook.NOT_YET
    made.silence(OTHER, ("a", "b", False, True), comment="x [phaseboard 01X.01]")
    assert look().outlook == Outlook.NOT_YET
    mine = made.silence(ID, ("a", "b", False, True), comment="x [phaseboard 01X.0]")
    seen = look()
    assert (seen.outlook, seen.sentence) == (Outlook.MET, f"Silence {ID} is in force.")
    assert ID in seen.lines[0].text
    mine["status"]["state"] = "expired"
    assert look().outlook == Outlook.FAILED


# -- expire


def silenced() -> Scene:
    made = Scene()
    made.silence(ID, ("namespace", "dev", False, True))
    made.alert("A", namespace="dev", silenced=(ID,))
    made.alert("B", namespace="dev", silenced=(ID, OTHER))
    made.alert("C", namespace="dev")
    return made


def test_expiring_says_what_speaks_again() -> None:
    drafted = silenced().draft("expire-silence", silence=ID.upper())
    assert unmet(drafted) == []
    sent = call(drafted)
    assert (sent.method, sent.path, sent.body) == ("DELETE", f"/api/v2/silence/{ID}", None)
    assert sent.made == Condition("alertmanager_silence_expired", {"id": ID})
    assert drafted.blast.alerts == ("A (namespace dev)",)
    assert "2 alerts are muted by it now; 1 of them by nothing else" in drafted.blast.sentence
    assert drafted.undo == (
        'Irreversible: an ended silence does not begin again. Make a new one with the matchers namespace="dev".'
    )
    assert "while repairing" in drafted.preconditions[0].evidence


def test_a_silence_that_is_not_there_or_has_ended_is_said() -> None:
    made = silenced()
    with pytest.raises(CannotPlan, match="knows no silence"):
        made.draft("expire-silence", silence=OTHER)
    made.silences[0]["status"]["state"] = "expired"
    with pytest.raises(CannotPlan, match="has ended already"):
        made.draft("expire-silence", silence=ID)
    with pytest.raises(ValueError, match="silence"):
        registry.parse("expire-silence", {"silence": "../../status"})


def test_the_end_of_a_silence_is_seen() -> None:
    made = silenced()

    def look() -> Outlook:
        return made.look("alertmanager_silence_expired", id=ID).outlook

    assert look() == Outlook.NOT_YET
    made.silences[0]["status"]["state"] = "expired"
    assert look() == Outlook.MET
    made.silences.clear()
    assert look() == Outlook.MET
    made.fetches["alertmanager /api/v2/silences"] = {"status": 0, "error": "no answer"}
    with pytest.raises(Missing):
        look()
