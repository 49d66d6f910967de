"""Counterexamples of specs as ordinary traces: replay, shrink and draw take them as they are.

In place of a scenario the trace names the spec, its scope and the mutant that was in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.system import System
from model.kernel.world import World

if TYPE_CHECKING:
    from model.kernel.engines.check import Report
    from model.kernel.property import Property
    from model.kernel.spec.machine import SpecMachine
    from traces.history import History


def history_of(path: str, report: Report) -> History:
    """The counterexample of a report as a history. A lasso goes once round its loop."""
    from model.kernel.spec.find import find_spec
    from traces.history import History

    assert report.trace is not None
    assert report.failure is not None
    name = find_spec(path)[1].name
    actions = tuple(Action(name, step.action, tuple(
        each if isinstance(each, (str, int)) and not isinstance(each, bool) else str(each)
        for each in step.arguments)) for step in report.trace.steps)
    finite = report.failure.kind in ("invariant", "lemma", "step rule")
    document = {"spec": path, "scope": dict(report.scope_values), "mutant": report.mutant}
    return History(document, actions, property=report.failure.name if finite else "",
                   message="" if finite else f"{report.failure.kind}: {report.failure.name}")


def machine_of(document: Mapping[str, Any]) -> SpecMachine:
    """The machine that a trace of a spec runs on. InputError when the document is none."""
    from model.kernel.engines.check import with_mutant
    from model.kernel.spec.find import find_spec
    from model.kernel.spec.ground import ground
    from model.kernel.spec.machine import SpecMachine
    from model.kernel.spec.scope import make_scope

    path, scope, mutant = (document.get(each) for each in ("spec", "scope", "mutant"))
    if not isinstance(path, str) or not isinstance(scope, dict) \
            or not all(isinstance(each, int) for each in scope.values()):
        raise InputError("no trace of a spec", where="scenario of the trace",
                         fix='it has "spec", "scope" and "mutant"')
    _, module = find_spec(path)
    if mutant:
        module = with_mutant(module, str(mutant))
    return SpecMachine(ground(module, make_scope(module, "ci", scope)))


def made_ready(document: Mapping[str, Any]) -> tuple[System, World]:
    """System and start of a trace of a spec."""
    system = System((machine_of(document),))
    return system, system.init()


def properties_of(document: Mapping[str, Any], wanted: str) -> tuple[Property, ...]:
    """The rules of the spec, or the one that the trace broke."""
    return tuple(each for each in machine_of(document).properties()
                 if not wanted or each.name == wanted)
