"""Each namespace has the cluster's certificate: the promise, the refinement, and what breaks it.

Source: Kubernetes documentation, "Managing Service Accounts" (projected volumes).
"""

from __future__ import annotations

from typing import Any

from model.api.cluster import CERTIFICATE
from model.controllers.root_ca import SPEC
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, objects, stored
from reference_impl.controllers.root_ca import MAPS, NAMESPACES, RootCa, State
from reference_impl.lib.informer import Change

NAME = "controllers/root-ca"
WHOLE = Part(NAME)
COPY = "kube-root-ca.crt"
RIGHT = (("ca.crt", CERTIFICATE),)


# ---- promises ----------------------------------------------------------------------------------


@leads_to(within_ms=120_000, reads=(KV, WHOLE), why="pods could not tell the server from others")
def each_active_namespace_has_the_certificate(world: World) -> str | None:
    """As it was published, whatever users did to it."""
    for namespace in objects(world, "namespaces"):
        name = namespace.metadata.name
        if namespace.metadata.deletion_timestamp is None:
            found = stored(world, MAPS, name, COPY)
            if found is None or found.data != RIGHT:
                what = "no" if found is None else "another"
                return f"the namespace {name} has {what} certificate"
    return None


@step_rule(reads=(Part(NAME, "work"),), why="whoever writes without need fights with others")
def a_right_certificate_is_left_alone(before: World, action: Action, after: World) -> str | None:
    """The controller writes where its cache shows nothing or something else."""
    local: State = after[NAME]
    if local.work is None or before[NAME].work is not None:
        return None
    found = local.caches[MAPS].store.get(f"{local.key}/{COPY}")
    if found is not None and found.data == RIGHT:
        return f"the certificate in {local.key} is written again"
    return None


@sometimes(reads=(Part(NAME, "work"),), why="a copy that nobody touches is made once")
def a_changed_certificate_is_put_right(world: World) -> bool:
    """The controller replaces what somebody changed."""
    work: Any = world[NAME].work
    return bool(work == "update")


# ---- refinement --------------------------------------------------------------------------------

_SEEN: Derived[str, Any] = Derived(
    lambda key, namespace: (key, True) if namespace.metadata.deletion_timestamp is None else None)
_KNOWN: Derived[str, Any] = Derived(
    lambda key, found: (key.split("/")[0], "right" if found.data == RIGHT else "wrong"))


def view(local: State) -> tuple[FrozenMap[str, bool], FrozenMap[str, str]]:
    """The active namespaces and the copies, as the caches show them."""
    return _SEEN.of(local.caches[NAMESPACES].store), _KNOWN.of(local.caches[MAPS].store)


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    seen, known = view(local)
    asked = EMPTY if local.work is None else FrozenMap([(local.key, True)])
    return {"active": EMPTY, "copy": EMPTY, "current": EMPTY, "calm": False, "seen": seen,
            "known": known, "asked": asked, "fresh": EMPTY}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash"),)
    (seen, known), (sees, knows) = view(old), view(new)
    found = [Label("see", (name, bool(after))) for name, _, after in seen.diff(sees)]
    found += [Label("see_copy", (name, after or "none")) for name, _, after in known.diff(knows)]
    if old.work is None and new.work is not None:
        found.append(Label("ask", (new.key,)))
    if old.work is not None and new.work is None:
        found.append(Label("answer", (old.key,)))
    return tuple(found)


REFINEMENT = refinement(
    "certificates_are_published_as_the_spec_allows", SPEC, reads=(WHOLE,), state=state,
    labels=labels, constants={"server": 0},
    why="it writes what is missing or wrong, one request at a time")

PROPERTIES: tuple[Property, ...] = (
    each_active_namespace_has_the_certificate, a_right_certificate_is_left_alone,
    a_changed_certificate_is_put_right, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def copies_are_not_watched(self: RootCa, local: State, lane: str,
                           change: Change) -> tuple[str, ...]:
    """Only namespaces make work."""
    return (change.key,) if lane == NAMESPACES and change.new is not None else ()


def any_copy_will_do(self: RootCa, found: Any) -> bool:
    """What stands in it is not looked at."""
    return True


_MODULE = "reference_impl.controllers.root_ca:RootCa"
MUTANTS = (
    Mutant("certificate-not-published-again", "a certificate that somebody removes stays away",
           "each_active_namespace_has_the_certificate",
           ((f"{_MODULE}.keys_for", copies_are_not_watched),), scenario="certificates"),
    Mutant("changed-certificate-stays", "a certificate that somebody changes stays changed",
           "each_active_namespace_has_the_certificate",
           ((f"{_MODULE}.is_right", any_copy_will_do),), scenario="certificates"),
)
