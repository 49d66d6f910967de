"""Builds the system of a scenario from whatever components discovery finds."""

from __future__ import annotations

from typing import Any

from model.api.scenario import Scenario
from model.kernel.component import Component
from model.kernel.discover import exporting
from model.kernel.driver import FairDriver, run
from model.kernel.errors import InputError
from model.kernel.system import System
from model.kernel.world import World

BOOT_STEPS_MAX = 2_000_000


def build(scenario: Scenario) -> System:
    """The system of `scenario`: every component, its script and its faults.

    The setting `components` names the families that it is about ("etcd,etcdctl"); default: all.
    """
    found: list[Component[Any]] = []
    only = scenario.setting("components", "")
    families = only.split(",") if only else []
    for make in exporting("reference_impl", "components").values():
        found.extend(component for component in make(scenario)
                     if not families or component.name.partition("/")[0] in families)
    return System(tuple(found), scenario.script, scenario.faults)


def start(system: System, scenario: Scenario) -> World:
    """The world in which the histories of `scenario` begin.

    "cold": nothing was delivered yet. "booted": served fairly, without input, until it is quiet.
    "settled": booted, then the whole script, each input once all is quiet. InputError when the
    cluster does not become quiet.
    """
    world = system.init()
    if scenario.start == "cold":
        return world
    quiet = run(system, FairDriver(script=scenario.start == "settled"), world,
                steps=BOOT_STEPS_MAX)
    if quiet.violations or not quiet.world.quiet():
        reason = quiet.violations[0].message if quiet.violations else (
            f"it is still busy after {len(quiet.actions)} steps")
        raise InputError(f"the cluster does not boot: {reason}", where=scenario.name)
    return quiet.world
