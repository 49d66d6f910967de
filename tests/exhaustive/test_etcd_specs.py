"""The etcd specs on every history in their bounds: how many states, and each mistake found."""

from __future__ import annotations

from typing import Any

import pytest

from model.etcd import member, watch
from model.kernel.engines.check import check
from model.kernel.spec.ground import ground
from model.kernel.spec.interpret import Found, search
from model.kernel.spec.scope import make_scope

STATES_MAX = 200_000
MISTAKES = [(spec, mutant.name, mutant.breaks) for spec in (member.SPEC, watch.SPEC)
            for mutant in spec.module().mutants]


def searched(spec: Any) -> Found:
    module = spec.module()
    return search(ground(module, make_scope(module, "ci")), states_max=STATES_MAX)


@pytest.mark.parametrize(("spec", "states", "transitions", "depth"), [
    (member.SPEC, 42_971, 192_628, 19), (watch.SPEC, 61_706, 264_803, 11)])
def test_every_state_keeps_the_rules(spec: Any, states: int, transitions: int,
                                     depth: int) -> None:
    """The counts are pinned: a change of meaning moves them. Every action and witness is met."""
    found = searched(spec)
    assert found.failure is None
    assert found.complete
    assert (found.states, found.transitions, found.depth) == (states, transitions, depth)
    assert all(found.taken)
    assert -1 not in found.witnessed


@pytest.mark.parametrize(("spec", "mutant", "rule"), MISTAKES, ids=[each[1] for each in MISTAKES])
def test_each_mistake_breaks_its_rule(spec: Any, mutant: str, rule: str) -> None:
    """A rule that no mistake breaks says nothing."""
    module = spec.module()
    report = check(module, make_scope(module, "ci"), mutant=mutant, engine="interpreter")
    assert report.failure is not None
    assert report.failure.name == rule
