"""An independent checker counts the same states: specs exported to Promela and run by Spin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from spec_toys import toy

from model.kernel.engines.check import with_mutant
from model.kernel.engines.promela import count_with_spin, to_promela
from model.kernel.errors import InputError
from model.kernel.spec.find import find_spec
from model.kernel.spec.ground import ground
from model.kernel.spec.interpret import search
from model.kernel.spec.scope import make_scope

needs_spin = pytest.mark.skipif(shutil.which("spin") is None or shutil.which("gcc") is None,
                                reason="the independent checker needs spin and gcc")

ODDITIES = '''
    at: Map[Slot, Annotated[int, Between(-1, 3)]] = each(0)
    best: Annotated[int, Between(-1, 3)] = 0
    who: Pod | None = None

    @action
    def move(self, s: Slot, p: Pod) -> None:
        require(s + 1 < len(Slot) and self.who != p)
        self.at[s] = self.at[s + 1]
        self.at[s + 1] = min(self.at[s] + 1, 3)
        self.best = max((self.at[r] for r in Slot if self.at[r] != 2), default=-1)
        self.who = p

    @action
    def reset(self, s: Slot) -> None:
        require(self.at[s] == 3 or (self.best % 2 == 1 and self.who is not None))
        for r in Slot:
            if r <= s:
                self.at[r] = -1 if self.at[r] > 1 else 0
        self.who = None
'''


@needs_spin
@pytest.mark.parametrize("path", ["benchmark", "kube_proxy", "scheduler"])
def test_spin_counts_the_states_and_transitions_of_a_spec(path: str, tmp_path: Path) -> None:
    """And finds no assertion violated."""
    module = find_spec(path)[1]
    grounded = ground(module, make_scope(module))
    found = search(grounded, states_max=10**6)
    assert count_with_spin(to_promela(grounded), tmp_path) == (found.states, found.transitions, 0)


@needs_spin
def test_spin_agrees_on_negative_numbers_members_and_computed_keys(tmp_path: Path) -> None:
    """Simultaneous updates, bulk updates, minima, remainders."""
    module = toy(ODDITIES)
    grounded = ground(module, make_scope(module, "ci", {"Slot": 3, "Pod": 2}))
    found = search(grounded, states_max=10**6)
    assert found.complete
    assert found.states > 300
    assert count_with_spin(to_promela(grounded), tmp_path) == (found.states, found.transitions, 0)


@needs_spin
def test_spin_finds_the_seeded_bug_too(tmp_path: Path) -> None:
    """The invariants are exported as assertions."""
    module = with_mutant(find_spec("benchmark")[1], "create_does_not_count")
    grounded = ground(module, make_scope(module))
    assert count_with_spin(to_promela(grounded), tmp_path).errors == 1


def test_a_variable_without_bounds_is_refused() -> None:
    """Spin has no unbounded integers."""
    module = toy("level: int = 0\n\n@action\ndef up(self) -> None:\n    self.level += 1")
    with pytest.raises(InputError, match="level has no bounds"):
        to_promela(ground(module, make_scope(module)))
