"""Every spec in one table: its states, what is proved, its mutants, and what that costs.

CPU seconds of this process. `check` is the whole check at the CI scope with leads-to and coverage,
`prove` both proofs. Aims: 5 s for a check, 20 s for all proofs together, 6 us for a check of one
step by the oracle.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from model.benchmark import SPEC
from model.kernel.engines.check import check
from model.kernel.engines.prove import prove
from model.kernel.spec.find import all_specs
from model.kernel.spec.oracle import Label, Oracle
from model.kernel.spec.scope import make_scope
from model.kernel.values import FrozenMap

pytestmark = pytest.mark.bench


class Row(NamedTuple):
    """One spec."""

    path: str
    states: int
    transitions: int
    depth: int
    check_seconds: float
    prove_seconds: float
    sizes: str
    mutants: str


def measured(path: str) -> Row:
    module = all_specs()[path].module()
    began = time.process_time()
    report = check(module, make_scope(module))
    searched = time.process_time()
    assert report.verdict == "holds"
    proof = prove(module, make_scope(module, "proof" if "proof" in module.scopes else "ci"))
    proved = time.process_time()
    assert proof.outcome == "proved"
    assert proof.any_size is not None
    sizes = "any size" if proof.any_size.outcome == "proved" else f"only {proof.scope}"
    names = ", ".join(f"{each.name} ({each.replaces})" for each in module.mutants)
    return Row(path, report.states, report.transitions, report.depth, searched - began,
               proved - searched, sizes, names)


def test_table_of_specs() -> None:
    """Printed; the aims are asserted."""
    rows = [measured(path) for path in sorted(all_specs())]
    print("\n| spec | states | transitions | depth | check s | prove s | proved for | mutants |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.path} | {row.states:,} | {row.transitions:,} | {row.depth} "
              f"| {row.check_seconds:.2f} | {row.prove_seconds:.2f} | {row.sizes} "
              f"| {row.mutants} |")
    print(f"all proofs: {sum(row.prove_seconds for row in rows):.1f} s")
    assert max(row.check_seconds for row in rows) < 5
    assert sum(row.prove_seconds for row in rows) < 20


@pytest.mark.parametrize("pods", [10, 1_000])
def test_a_step_costs_the_oracle_the_same_at_any_size(pods: int) -> None:
    """Guard with a count, two changed maps, compared with the state after."""
    oracle = Oracle(SPEC.module(), {"capacity": 10**6})
    before = {"phase": FrozenMap((f"p{at}", "running") for at in range(pods)).set("x", "pending"),
              "node": FrozenMap((f"p{at}", f"n{at % 5}") for at in range(pods)),
              "up": FrozenMap((f"n{at}", True) for at in range(5)), "desired": 3, "cached": 1}
    label = Label("bind", ("x", "n1"))
    after = oracle.after(before, {"phase": {"x": "bound"}, "node": {"x": "n1"}})
    repeats = 20_000
    began = time.process_time()
    for _ in range(repeats):
        assert oracle.check(before, (label,), after) is None
    microseconds = (time.process_time() - began) / repeats * 1e6
    print(f"\noracle, {pods:,} pods: {microseconds:.1f} us a checked step")
    assert microseconds < 40
