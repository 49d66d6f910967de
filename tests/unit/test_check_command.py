"""`kubeproof check` and `kubeproof prove`: what they print, write and return."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubeproof.cli import main


def test_a_spec_that_holds_returns_0_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """States, transitions, depth, liveness."""
    assert main(["check", "benchmark", "--scope", "pods=3,nodes=1,ceiling=2"]) == 0
    text = capsys.readouterr().out
    assert "benchmark (Pod=3, Node=1, capacity=2, ceiling=2, bug=0)" in text
    assert "a_terminating_pod_goes: holds" in text
    assert "holds: every rule" in text


@pytest.mark.parametrize(("bug", "steps"), [(1, 5), (2, 9)])
def test_a_bug_returns_1_with_the_shortest_history(
        bug: int, steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON: the rule with file and line, and every step with the state after it."""
    assert main(["check", "benchmark", "--scope", f"r=4,n=3,c=2,k=3,bug={bug}",
                 "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "violated"
    assert report["failure"]["kind"] == "invariant"
    assert report["failure"]["where"].startswith("model/benchmark.py:")
    assert len(report["trace"]["steps"]) == steps
    assert {"action", "arguments", "state"} <= set(report["trace"]["steps"][0])
    assert {"states", "transitions", "depth", "orbits", "seconds", "cpu_seconds"} <= set(report)


def test_out_of_bounds_returns_3_with_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """A bound on states is honoured."""
    assert main(["check", "benchmark", "--max-states", "5000", "--json", "-"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "incomplete"
    assert 5_000 <= report["states"] < 5_100
    assert report["stopped_by"]


@pytest.mark.parametrize("words", [
    ["check", "nothing"], ["check", "benchmark", "--scope", "machines=3"], ["check"],
    ["check", "benchmark", "--max-memory", "much"], ["check", "benchmark", "--max-states", "0"],
    ["check", "benchmark", "--engine", "interpreter", "--symmetry"],
    ["check", "benchmark", "--mutant", "nobody"], ["prove", "benchmark", "--mutant", "nobody"],
    ["prove", "--scope", "pods=3"], ["check", "benchmark", "--engine", "gpu"]])
def test_a_bad_call_returns_2_with_one_message(
        words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing on standard output."""
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kubeproof: ")
    assert captured.err.count("\n") == 1


def test_a_model_in_which_nothing_happens_does_not_pass(
        capsys: pytest.CaptureFixture[str]) -> None:
    """With a ceiling of zero no pod is ever created: actions and guards are named."""
    assert main(["check", "benchmark", "--scope", "k=0", "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["failure"]["kind"] == "coverage"
    assert "the action create is never taken" in report["failure"]["name"]
    assert report["coverage"]["guards_never_true"]["create"] == ["cached < desired"]
    assert report["coverage"]["never_reached"]["phase"] == [
        "pending", "bound", "running", "terminating"]


def test_a_counterexample_is_a_trace_that_replays_and_shrinks(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Replay returns 1 while it fails, 0 for its first steps."""
    trace = tmp_path / "bug.trace"
    assert main(["check", "benchmark", "--mutant", "create_does_not_count",
                 "--trace", str(trace)]) == 1
    assert main(["replay", str(trace)]) == 1
    assert "live pods never exceed the ceiling" in capsys.readouterr().out
    assert main(["replay", str(trace), "--step", "4"]) == 0
    assert "benchmark.phase['pod-2']: 'absent' -> 'pending'" in capsys.readouterr().out
    assert main(["shrink", str(trace)]) == 1
    assert "5 actions -> 5" in capsys.readouterr().out


def test_a_lasso_is_drawn_as_stem_and_loop(tmp_path: Path) -> None:
    """As DOT, which needs no drawing program."""
    from spec_toys import lock

    from kubeproof.commands.check import _draw
    from model.kernel.engines.check import check
    from model.kernel.spec.scope import make_scope

    report = check(lock("weak"), make_scope(lock("weak")))
    _draw(report, str(tmp_path / "lasso.dot"))
    text = (tmp_path / "lasso.dot").read_text()
    assert "who waits gets the lock" in text
    assert text.count("->") == len(report.trace.steps if report.trace else ())


def test_prove_returns_1_for_a_mutant_and_shows_the_step(
        capsys: pytest.CaptureFixture[str]) -> None:
    """The action, the rule, the state before and after."""
    assert main(["prove", "benchmark"]) == 0
    assert main(["prove", "benchmark", "--mutant", "bind_overlooks_terminating_pods",
                 "--json", "-"]) == 1
    output = capsys.readouterr().out
    report = json.loads(output[output.index("{"):])
    assert report["counterexample"]["broken"] == ["no_node_holds_more_pods_than_its_capacity"]
    assert report["actions"]["bind"] == "failed"
    assert {name for name, outcome in report["actions"].items() if outcome == "failed"} == {"bind"}


def test_list_names_every_spec_with_its_scopes(capsys: pytest.CaptureFixture[str]) -> None:
    """One entry a spec."""
    assert main(["check", "--list"]) == 0
    text = capsys.readouterr().out
    assert "benchmark\n    A cluster that counts its pods" in text
    assert "ci: Pod=4, Node=2, capacity=2, ceiling=3, bug=0" in text


MINE = """
from __future__ import annotations
from model.kernel.spec.language import *

class Mine(Spec):
    \"\"\"A switch.\"\"\"
    on: bool = False

    @action
    def flip(self) -> None:
        self.on = not self.on

    @invariant
    def it_stays_off(self) -> bool:
        return not self.on

SPEC = Mine
"""


def test_a_spec_in_a_file_of_ones_own_is_checked(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And its mistakes are told with file and line, status 2."""
    good, bad = tmp_path / "mine.py", tmp_path / "wrong.py"
    good.write_text(MINE)
    assert main(["check", str(good)]) == 1
    assert "VIOLATED invariant: it_stays_off (mine.py:14)" in capsys.readouterr().out
    bad.write_text(MINE.replace("self.on = not self.on", "self.off = True"))
    assert main(["check", str(bad)]) == 2
    assert "wrong.py:11: unknown name off" in capsys.readouterr().err
    for text in ("x = 1", "SPEC = 3", "import nothing_like_it"):
        bad.write_text(text)
        assert main(["check", str(bad)]) == 2


@pytest.mark.parametrize("engine", ["interpreter", "native", "numpy"])
def test_every_engine_tells_what_never_happens(
        engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Actions, conjuncts, values."""
    assert main(["check", "benchmark", "--scope", "k=0", "--engine", engine, "--json", "-"]) == 1
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    assert coverage["taken"]["bind"] == 0
    assert coverage["guards_never_true"]["bind"] == ['phase[p] == "pending"']
    assert "running" in coverage["never_reached"]["phase"]
