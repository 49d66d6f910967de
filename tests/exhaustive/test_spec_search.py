"""The tuple search: faults of the spec itself, bounds, coverage, the shortest counterexample."""

from __future__ import annotations

import pytest
from spec_toys import toy

from model.kernel.engines.check import Limits, check
from model.kernel.spec import ir
from model.kernel.spec.scope import make_scope

COUNTER = '''
    level: Small = 0
    row: Map[Slot, bool] = each(False)

    @action
    def up(self) -> None:
        {up}

    @invariant
    def the_rule(self) -> bool:
        return {rule}
'''


def failure(up: str, rule: str = "True") -> tuple[str, str, str, int]:
    """Kind, name, line of the source, length of the counterexample."""
    body = COUNTER.format(up=up, rule=rule)
    module = toy(body)
    report = check(module, make_scope(module))
    assert report.failure is not None
    assert report.trace is not None
    return (report.failure.kind, report.failure.name, report.failure.where.split(":")[0],
            len(report.trace.steps))


def test_an_update_outside_its_domain_is_a_fault_with_the_step_that_leads_there() -> None:
    """Also when it is hidden in arithmetic."""
    assert failure("self.level += 1") == ("domain", "level leaves its values 0..3", "toy.py", 4)
    assert failure("self.level = 2 * self.level - 1")[3] == 1


def test_a_read_or_write_outside_a_numbered_index_is_a_fault() -> None:
    """In a guard, an update, an invariant."""
    outside = "a numbered index is read outside its values"
    assert failure("require(not self.row[self.level])\n        self.level = 2") == (
        "domain", outside, "toy.py", 1)
    assert failure("self.level = 3", "not self.row[self.level]") == (
        "domain", outside, "toy.py", 1)
    assert failure("self.level = 2\n        self.row[self.level] = True")[1] == (
        "a key of row is outside 0..1")


def test_bounds_give_a_partial_verdict() -> None:
    """States, and seconds."""
    module = toy(COUNTER.format(up="self.level = (self.level + 1) % 4", rule="True"))
    scope = make_scope(module, "ci", {"top": 10_000})
    wide = toy('''
    a: Annotated[int, Between(0, 100)] = 0
    b: Annotated[int, Between(0, 100)] = 0

    @action
    def go(self, x: Annotated[int, Between(0, 100)], y: Annotated[int, Between(0, 100)]) -> None:
        self.a = x
        self.b = y
    ''')
    assert check(module, scope).states == 4
    few = check(wide, make_scope(wide), engine="interpreter", limits=Limits(states=50))
    assert (few.verdict, few.failure) == ("incomplete", None)
    assert few.states >= 50


def test_all_spaces_are_refused_that_a_search_cannot_enumerate() -> None:
    """A parameter over all integers."""
    module = toy("level: int = 0\n\n@action\ndef to(self, x: int) -> None:\n    self.level = x")
    with pytest.raises(ir.SpecError, match="ranges over all integers"):
        check(module, make_scope(module))


def test_an_initial_value_outside_its_domain_is_refused() -> None:
    """With the line of the variable."""
    module = toy("level: Annotated[int, Between(1, 3)] = 0\n\n"
                 "@action\ndef stay(self) -> None:\n    pass")
    with pytest.raises(ir.SpecError, match=r"toy.py:\d+: level starts at 0"):
        check(module, make_scope(module))


def test_a_step_rule_is_judged_on_every_step() -> None:
    """Its counterexample ends with the step that breaks it."""
    body = COUNTER.format(up="self.level = 0 if self.level == 2 else self.level + 1", rule="True")
    module = toy(body + '''
    @step_rule
    def the_level_never_falls(self, after: Toy) -> bool:
        return after.level >= self.level
''')
    report = check(module, make_scope(module))
    assert report.failure is not None
    assert (report.failure.kind, report.failure.name) == ("step rule", "the_level_never_falls")
    assert report.trace is not None
    assert len(report.trace.steps) == 3
