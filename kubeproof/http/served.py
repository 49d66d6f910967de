"""The system that `serve` runs, as a function of a scenario: so a recorded run is a trace that
needs nothing else.

What the command line adds to a scenario stands in its settings: `serve-components` (which parts
run), `serve-users` (whom the ids of bearer tokens stand for, as JSON; never a token itself),
`serve-started` (the clock at the start) and `serve-etcd` (whether the store is outside).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from kubeproof.http import real_etcd
from model.api.scenario import Scenario
from model.kernel.component import Component
from model.kernel.fault import FaultPlan
from model.kernel.property import Property
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
        _stands_for(component, server, scenario)
        for component in build_all(scenario).components if _runs(component.name, parts)]
    # A component that fails is restarted by the fault that stands for a crash.
    crashes = FaultPlan((("crash", CRASHES_MAX),))
    return System((*chosen, Outside()), (), crashes, scenario.number("serve-started", 0))


def _stands_for(component: Component[Any], server: ApiServer,
                scenario: Scenario) -> Component[Any]:
    if component.name == "apiserver":
        return server
    if component.name == real_etcd.NAME and has_store_outside(scenario.settings):
        return real_etcd.EtcdOutside()
    return component


def has_store_outside(settings: Iterable[tuple[str, str]]) -> bool:
    """Whether the API server keeps its objects in an etcd outside the world."""
    return ("serve-etcd", "outside") in settings


def judged(properties: Iterable[Property], settings: Iterable[tuple[str, str]]
           ) -> tuple[Property, ...]:
    """The properties that such a system can be judged by: one that looks into a store outside the
    world says nothing."""
    if not has_store_outside(settings):
        return tuple(properties)
    return tuple(prop._replace(check=_unless_outside(prop.check)) for prop in properties
                 if not any(part.component == real_etcd.NAME for part in prop.reads))


def _unless_outside(check: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any) -> Any:
        try:
            return check(*args)
        except real_etcd.StoreOutsideError:
            return None
    return checked


def _runs(name: str, parts: tuple[str, ...]) -> bool:
    family = name.partition("/")[0]
    if family in ("apiserver", "etcd"):
        return True
    if name == "controllers/service":
        return "controllers" in parts and "cloud" in parts
    if family == "controllers":
        return "controllers" in parts
    return {"kube-proxy": "proxy"}.get(family, family) in parts
