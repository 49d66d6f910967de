"""The scheduler's spec: every state of a small cluster, and its seeded mistakes."""

from __future__ import annotations

import pytest

from model.kernel.engines.check import check
from model.kernel.spec.scope import read_scope
from model.scheduler import SPEC

MODULE = SPEC.module()


def test_every_state_of_two_pods_and_two_nodes_keeps_the_rules() -> None:
    report = check(MODULE, read_scope(MODULE, "ci"), engine="interpreter")
    assert (report.verdict, report.states, report.transitions, report.depth) == (
        "holds", 13_192, 99_984, 22)


@pytest.mark.parametrize("mutant", MODULE.mutants, ids=lambda mutant: mutant.name)
def test_each_seeded_mistake_breaks_its_rule(mutant: object) -> None:
    name, breaks = mutant.name, mutant.breaks  # type: ignore[attr-defined]  # a mutant of the IR
    report = check(MODULE, read_scope(MODULE, "ci"), engine="interpreter", mutant=name)
    assert report.verdict == "violated"
    assert report.failure is not None
    assert report.failure.name == breaks
