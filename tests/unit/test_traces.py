"""Traces: the text format, its faults, replay, shrinking, pictures. On the toy system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import PROPERTIES, toy

from model.kernel.action import Action
from model.kernel.driver import RandomDriver, run
from model.kernel.errors import InputError
from model.kernel.fault import FaultPlan
from model.kernel.property import Checker
from model.kernel.system import System
from model.kernel.world import World
from traces import draw
from traces.explain import story
from traces.history import History, entry, from_text, load, parse_entry, save, to_text
from traces.record import Recorder
from traces.replay import changes, replay, transitions
from traces.shrink import shrink

words = st.text(st.characters(exclude_categories=("Cs", "Zs", "Cc")), min_size=1,
                max_size=9).filter(lambda text: " " not in text and not text.startswith("---")
                                   and not text[0].isspace())
actions = st.builds(Action, words, words, st.lists(
    st.one_of(st.integers(), st.text(max_size=12)), max_size=4).map(tuple))
GOOD = to_text(History({"name": "toy"}, (Action("clock", "advance"), Action("a", "b", (1, "x y"))),
                       7, "some_property", "it is wrong"))


def build(document: Mapping[str, Any]) -> tuple[System, World]:
    system = toy(document["clients"], document["wanted"], FaultPlan((("lose_reply", 2),)))
    return system, system.init()


def failing() -> History:
    """A random history of the toy system that breaks a property."""
    document = {"clients": 2, "wanted": 2}
    for seed in range(300):
        system, start = build(document)
        outcome = run(system, RandomDriver(seed, fault_rate=40), start, steps=150,
                      checker=Checker(system, PROPERTIES))
        if outcome.violations and len(outcome.actions) > 25:
            return History(document, outcome.actions, seed, outcome.violations[0].property,
                           outcome.violations[0].message)
    raise AssertionError("no failing history among 300")


@given(action=actions)
def test_an_action_survives_its_line(action: Action) -> None:
    """Any text and integer comes back as it was."""
    assert parse_entry(entry(action)) == action


@given(listed=st.lists(actions, max_size=5), seed=st.integers(), message=words)
def test_a_history_survives_its_text(listed: list[Action], seed: int, message: str) -> None:
    """Header, entries and provenance come back; the text is a pure function of them."""
    history = History({"name": "toy", "n": 1}, tuple(listed), seed, "some_property", message,
                      provenance="made by hand")
    assert from_text(to_text(history)) == history


@pytest.mark.parametrize(("text", "where", "what"), [
    ("", ":1", "no kubeproof trace"),
    ("kubeproof trace 99\n", ":1", "format '99'"),
    (GOOD.replace("seed 7", "seed x"), ":3", "no integer"),
    (GOOD.replace("seed 7", "sed 7"), ":3", "unknown header field"),
    (GOOD.replace('{"name":"toy"}', '{"name":'), ":2", "not JSON"),
    (GOOD.replace("scenario", "seed 1\nscenario").replace("seed 7", "seed 8"), ":4", "twice"),
    (GOOD.replace("clock advance", "clock"), ":7", "no action"),
    (GOOD.replace('1 "x y"', '1 "x'), ":8", "not JSON"),
    (GOOD.replace('1 "x y"', "1 true"), ":8", "no text or integer"),
    (GOOD.replace("clock advance", "clock advanced"), ":9", "digest"),
    (GOOD[:GOOD.index("---")], "", "cut off"),
])
def test_a_bad_trace_is_refused_with_its_line(text: str, where: str, what: str) -> None:
    """Each fault names the file, the line and what is wrong."""
    with pytest.raises(InputError, match=what) as caught:
        from_text(text, "t.trace")
    assert caught.value.where.startswith("t.trace" + where)


def test_files_that_are_no_traces_are_refused(tmp_path: Path) -> None:
    """Missing, binary and unwritable files give one clear error, and nothing is half written."""
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "missing.trace")
    binary = tmp_path / "binary.trace"
    binary.write_bytes(b"\xff\xfe\x00trace")
    with pytest.raises(InputError, match="not text"):
        load(binary)
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="cannot be written"):
        save(from_text(GOOD), tmp_path / "file" / "x.trace")
    with pytest.raises(InputError, match="cannot be written"):
        save(from_text(GOOD), Path("/dev/full/x.trace"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["binary.trace", "file"]


def test_a_killed_recording_loads_without_its_last_line(tmp_path: Path) -> None:
    """Every prefix of a recording loads, or is cut within the header and says so."""
    path = tmp_path / "r.trace"
    recorder = Recorder(path, History({"name": "toy"}, ()))
    for number in range(3):
        recorder.add(Action("client/0", "want", (number,)))
    body = path.read_text()
    recorder.close("made by a test")
    assert load(path).finished
    assert len(load(path).actions) == 3
    head = body.index("---\n") + 4
    for cut in range(head, len(body)):
        part = from_text(body[:cut])
        assert not part.finished
        assert len(part.actions) == body[head:cut].count("\n")


def test_shrinking_gives_the_shortest_legal_history_and_it_replays() -> None:
    """The shrunk history is as short as the shortest that breadth-first search finds (8)."""
    history = failing()
    found = shrink(history, build, PROPERTIES,
                   smaller=lambda d: [{**d, "clients": 1}] if d["clients"] > 1 else [])
    assert found is not None
    small = found.history
    assert len(small.actions) == 8
    assert {action.actor for action in small.actions} <= {"client/0", "client/1", "server", "fault"}
    system, start = build(small.scenario)
    seen = replay(system, start, small.actions, PROPERTIES)
    assert seen.violation is not None
    assert seen.violation.property == history.property
    assert seen.skipped == 0


def test_a_healthy_history_is_not_shrunk() -> None:
    """Shrinking refuses what does not fail."""
    assert shrink(failing()._replace(actions=()), build, PROPERTIES) is None


def test_pictures_name_what_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space-time diagram has a lane and an arrow; without dot the DOT text is kept."""
    history = failing()
    system, start = build(history.scenario)
    text = draw.space_time(system, start, history.actions, "a title")
    assert "label=server" in text
    assert "->" in text
    assert "a title" in text
    monkeypatch.setenv("PATH", str(tmp_path))
    drawn = draw.render(text, tmp_path / "d.svg")
    assert drawn.path.name == "d.dot"
    assert "not installed" in drawn.remark
    assert drawn.path.read_text() == text
    with pytest.raises(InputError, match="pictures end in"):
        draw.render(text, tmp_path / "d.gif")


def test_a_lasso_leads_back_to_where_its_loop_begins() -> None:
    """Stem and loop are drawn as such."""
    text = draw.lasso([("init", "a"), ("go", "b")], [("x", "c"), ("y", "b")])
    assert "s1 -> s2 [label=x" in text
    assert "s2 -> s1 [label=y" in text


def test_the_state_graph_shows_the_history_and_what_could_have_been() -> None:
    """The failing path is red, its alternatives are not, and ways that meet are one state."""
    history = failing()
    small = shrink(history, build, PROPERTIES)
    assert small is not None
    system, start = build(small.history.scenario)
    text = draw.state_graph(system, start, small.history.actions)
    red = [line for line in text.splitlines() if " -> " in line and 'color="#c62828"' in line]
    assert len(red) == len(small.history.actions)
    assert text.count(" -> ") > len(red)


def test_a_story_and_its_changes_are_words() -> None:
    """Each step is a line; what a step changed is listed by field."""
    history = failing()
    system, start = build(history.scenario)
    text = story(system, start, history.actions, limit=20)
    assert "left out" not in text
    assert "steps …" in text
    step = next(each for each in transitions(system, start, history.actions)
                if each.action.verb == "want")
    assert any(".wanted: 0 -> 1" in line for line in changes(step.before, step.after))
