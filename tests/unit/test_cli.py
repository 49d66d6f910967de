"""The front door: bad input is one clear message and exit status 2, whatever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kubeproof.cli import main
from model.kernel.action import Action
from traces.history import History, save


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a refused call prints: on standard error, without a traceback, exit status 2."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("kubeproof: ")
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(("words", "what"), [
    (["frobnicate"], "invalid choice"),
    ([], "required"),
    (["explore", "--histories", "0"], "not at least 1"),
    (["explore", "--histories", "many"], "invalid"),
    (["explore", "--colour", "red"], "unrecognized arguments"),
    (["explore", "--faults", "gremlins"], "there is no fault 'gremlins' (one of"),
    (["explore", "--property", "nobody_knows"], "there is no property"),
    (["explore", "--property", "missing.py"], "there is no such file"),
    (["explore", "--scenario", "no-such-folder"], "no-such-folder"),
    (["explore", "--scenario", "worked-example", "x.yaml"], "give one of them"),
    (["explore", "no-such-file.yaml"], "no-such-file.yaml"),
    (["replay", "no-such.trace"], "no-such.trace: cannot be read"),
    (["shrink", "no-such.trace"], "cannot be read"),
    (["draw", "no-such.trace"], "cannot be read"),
    (["mutants", "nobody"], "there is no mutant nobody"),
    (["properties", "nobody"], "there is no property"),
    (["--components", "nowhere", "properties"], "there is no such folder"),
])
def test_a_bad_call_is_refused(words: list[str], what: str,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """Flags, names and files: what is wrong, and what would be right."""
    assert what in refusal(words, capsys)


def test_bad_files_are_refused_with_their_line(tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Binary manifests, broken properties, damaged traces, pictures of an unknown kind."""
    manifest = tmp_path / "m.yaml"
    manifest.write_bytes(b"\x00\x01\x02\xff")
    assert str(manifest) in refusal(["explore", str(manifest)], capsys)
    manifest.write_text("apiVersion: V1\nkind: Service\nmetadata: {name: a}\n")
    assert f"{manifest}:1" in refusal(["explore", str(manifest)], capsys)
    broken = tmp_path / "p.py"
    broken.write_text("PROPERTIES = (\n")
    assert "SyntaxError" in refusal(["explore", "--property", str(broken)], capsys)
    trace = tmp_path / "t.trace"
    trace.write_text("kubeproof trace 1\nscenario {}\nseed x\n---\n")
    assert f"{trace}:3" in refusal(["replay", str(trace)], capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.yaml", "p.py", "t.trace"]


def test_a_trace_of_a_wrong_scenario_or_step_is_refused(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scenario inside a trace is checked like any other."""
    trace = tmp_path / "t.trace"
    save(History({"name": "x", "colour": "red"}, (Action("clock", "advance"),)), trace)
    assert "colour" in refusal(["replay", str(trace)], capsys)
    save(History({"name": "x", "nodes": 1, "manifests": {}, "files": []}, ()), trace)
    assert "there is no step 7" in refusal(["draw", str(trace), "--step", "7"], capsys)
    assert "pictures end in" in refusal(["draw", str(trace), "--to", str(tmp_path / "x.gif")],
                                        capsys)


def test_a_place_that_cannot_be_written_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A full device or a missing folder: no traceback, and nothing half written."""
    said = refusal(["properties", "--json", "/dev/full/x.json"], capsys)
    assert "cannot be written" in said


def test_explore_reports_what_issue_and_reference_promise(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A small exploration: exit status 0, the JSON fields, pictures of a healthy history."""
    out, result = tmp_path / "out", tmp_path / "r.json"
    assert main(["explore", "--histories", "5", "--steps", "40", "--out", str(out),
                 "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    assert found["histories"] == 5
    assert found["steps"] == 200
    assert found["violations"] == []
    assert {"seconds", "steps_per_second", "writes_per_second", "actions_covered",
            "actions_total"} <= found.keys()
    assert (out / "healthy" / "history.trace").exists()
    assert "histories  5" in capsys.readouterr().out


PROPERTY = '''
from model.kernel.property import Part, each
@each(of=Part("etcd", "kv"), prefix="/registry/services/specs/default/m", why="a test")
def nothing_is_ever_served(world, key, old, new):
    return f"{key} is stored" if new else None
@each(of=Part("etcd", "kv"), prefix="/registry/services/default/m", why="a test")
def nothing_is_served(world, key, old, new):
    return f"{key} is stored" if new else None
PROPERTIES = (nothing_is_ever_served, nothing_is_served)
'''


def test_a_property_of_a_users_own_is_found_violated(tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    """`--property FILE.py`: exit status 1, a shrunk trace, the line that replays it."""
    (tmp_path / "p.py").write_text(PROPERTY)
    result = tmp_path / "r.json"
    assert main(["explore", "--property", str(tmp_path / "p.py"), "--histories", "60", "--out",
                 str(tmp_path / "out"), "--json", str(result), "--faults", "none"]) == 1
    (violation,) = json.loads(result.read_text())["violations"]
    assert violation["shrunk_actions"] < 10
    assert violation["replay"].startswith("kubeproof replay ")
    assert "VIOLATED   nothing is served" in capsys.readouterr().out
    again = ["replay", violation["trace"], "--property", str(tmp_path / "p.py")]
    assert main(again) == 1
    assert "VIOLATED: nothing is served" in capsys.readouterr().out
    assert main(["shrink", *again[1:]]) == 1
    assert "no property" in refusal(again[:2], capsys)


def test_a_users_own_folder_named_model_does_not_shadow_ours(tmp_path: Path) -> None:
    """The console script works in a folder that has packages with our names."""
    for name in ("model", "properties", "traces", "reference_impl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')\n")
    script = Path(sys.executable).with_name("kubeproof")
    done = subprocess.run([str(script), "properties", "--json", "-"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 50
