"""The examples in the documentation do what their text says."""

from __future__ import annotations

import json
from pathlib import Path

from kubeproof.cli import main

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fighting_controllers.py"
WEAK = '@action(fair="weak")\n    def reporter_writes_status'


def verdict(spec: Path, result: Path) -> tuple[int, str]:
    """Exit status and verdict of `kubeproof check`."""
    status = main(["check", str(spec), "--json", str(result)])
    return status, json.loads(result.read_text())["verdict"]


def test_fighting_controllers_starve_the_third_under_weak_fairness_only(tmp_path: Path) -> None:
    """Weak fairness leaves a loop; strong fairness of the reporter does not."""
    assert verdict(EXAMPLE, tmp_path / "weak.json") == (1, "violated")
    text = EXAMPLE.read_text()
    assert WEAK in text
    strong = tmp_path / "strong_fairness.py"
    strong.write_text(text.replace(WEAK, WEAK.replace("weak", "strong")))
    assert verdict(strong, tmp_path / "strong.json") == (0, "holds")
