"""The system that `serve` runs, as a function of a scenario: so a recorded run is a trace that
needs nothing else.

What the command line adds to a scenario stands in its settings: `serve-components` (which parts
run), `serve-users` (whom the ids of bearer tokens stand for, as JSON; never a token itself),
`serve-anonymous` and `serve-started` (the clock at the start).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from model.api.scenario import Scenario
from model.kernel.component import Component
from model.kernel.fault import FaultPlan
from model.kernel.system import System
from model.kernel.values import FrozenMap
from reference_impl.apiserver.component import ApiServer, config_of
from reference_impl.apiserver.outside import Outside
from reference_impl.apiserver.state import User
from reference_impl.cluster import build as build_all

CRASHES_MAX = 1_000_000


def scenario_of(base: Scenario, parts: tuple[str, ...], users: dict[str, User], started: int,
                settings: dict[str, str]) -> Scenario:
    """The scenario of a server: `base` with its parts, users and clock; nothing is scripted."""
    listed = [[key, user.name, user.uid, list(user.groups)] for key, user in users.items()]
    chosen = {**dict(base.settings), **settings, "serve-components": ",".join(parts),
              "serve-users": json.dumps(listed, ensure_ascii=False),
              "serve-started": str(started),
              "workloads": "yes" if "controllers" in parts else "no", "node-labels": "yes"}
    return replace(base, script=(), start="cold", settings=tuple(sorted(chosen.items())))


def build(scenario: Scenario) -> System:
    """The chosen components of a scenario, and a door for clients from outside."""
    parts = tuple(scenario.setting("serve-components", "").split(","))
    users = {key: User(name, uid, tuple(groups)) for key, name, uid, groups
             in json.loads(scenario.setting("serve-users", "[]"))}
    server = ApiServer(config_of(scenario), FrozenMap(users.items()), "no-anonymous" not in parts)
    chosen: list[Component[Any]] = [
        server if component.name == "apiserver" else component
        for component in build_all(scenario).components if _runs(component.name, parts)]
    # A component that fails is restarted by the fault that stands for a crash.
    crashes = FaultPlan((("crash", CRASHES_MAX),))
    return System((*chosen, Outside()), (), crashes, scenario.number("serve-started", 0))


def _runs(name: str, parts: tuple[str, ...]) -> bool:
    family = name.partition("/")[0]
    if family in ("apiserver", "etcd"):
        return True
    if name == "controllers/service":
        return "controllers" in parts and "cloud" in parts
    if family == "controllers":
        return "controllers" in parts
    return {"kube-proxy": "proxy"}.get(family, family) in parts
