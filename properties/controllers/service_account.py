"""Each namespace has its account `default`: the promise, the refinement, and what breaks it.

Source: Kubernetes documentation, "Managing Service Accounts". That there is one at most follows
from the name; that every pod can wait for it follows from the goal.
"""

from __future__ import annotations

from typing import Any

from model.controllers.service_account import SPEC
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, objects, stored
from reference_impl.controllers.service_account import (
    ACCOUNTS,
    DEFAULT,
    NAMESPACES,
    ServiceAccounts,
    State,
)
from reference_impl.lib.informer import Change

NAME = "controllers/service-account"
WHOLE = Part(NAME)


# ---- promises ----------------------------------------------------------------------------------


@leads_to(within_ms=120_000, reads=(KV,), why="no pod can be created without its account")
def each_active_namespace_has_its_default_account(world: World) -> str | None:
    """From its creation until it ends, and again when somebody deletes the account."""
    for namespace in objects(world, "namespaces"):
        name = namespace.metadata.name
        if (namespace.metadata.deletion_timestamp is None
                and stored(world, ACCOUNTS, name, DEFAULT) is None):
            return f"the namespace {name} has no account {DEFAULT}"
    return None


@step_rule(reads=(Part(NAME, "work"),), why="requests that must be refused are noise for everybody")
def no_account_is_asked_for_that_is_known(before: World, action: Action,
                                          after: World) -> str | None:
    """The controller asks for a namespace that its caches show active and without an account."""
    local: State = after[NAME]
    if local.work is None or before[NAME].work is not None:
        return None
    namespace = local.caches[NAMESPACES].store.get(local.key)
    if namespace is None or namespace.metadata.deletion_timestamp is not None:
        return f"an account is asked for in {local.key}, which is not active"
    if f"{local.key}/{DEFAULT}" in local.caches[ACCOUNTS].store:
        return f"a second account is asked for in {local.key}"
    return None


@sometimes(reads=(KV,), why="an empty cluster has every account it needs")
def two_namespaces_have_their_account(world: World) -> bool:
    """More than one namespace was served."""
    return len(objects_named_default(world)) >= 2


def objects_named_default(world: World) -> list[Any]:
    """The stored accounts that this controller makes."""
    return [each for each in objects(world, ACCOUNTS) if each.metadata.name == DEFAULT]


# ---- refinement --------------------------------------------------------------------------------


_views: dict[str, Any] = {"namespaces": EMPTY, "accounts": EMPTY, "value": (EMPTY, EMPTY)}


def view(local: State) -> tuple[FrozenMap[str, str], FrozenMap[str, bool]]:
    """Phases and accounts as the caches show them."""
    namespaces, accounts = local.caches[NAMESPACES].store, local.caches[ACCOUNTS].store
    if namespaces is not _views["namespaces"] or accounts is not _views["accounts"]:
        seen = FrozenMap((name, "active" if each.metadata.deletion_timestamp is None else "ending")
                         for name, each in namespaces.items())
        known = FrozenMap((key.split("/")[0], True) for key in accounts)
        _views.update(namespaces=namespaces, accounts=accounts, value=(seen, known))
    found: tuple[FrozenMap[str, str], FrozenMap[str, bool]] = _views["value"]
    return found


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    seen, known = view(local)
    asked = EMPTY if local.work is None else FrozenMap([(local.key, True)])
    return {"phase": EMPTY, "accounts": EMPTY, "calm": False, "seen": seen, "known": known,
            "asked": asked}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash"),)
    (seen, known), (sees, knows) = view(old), view(new)
    found = [Label("see", (name, after or "absent")) for name, _, after in seen.diff(sees)]
    found += [Label("see_account", (name, bool(after))) for name, _, after in known.diff(knows)]
    if old.work is None and new.work is not None:
        found.append(Label("ask", (new.key,)))
    if old.work is not None and new.work is None:
        found.append(Label("answer", (old.key,)))
    return tuple(found)


REFINEMENT = refinement(
    "accounts_are_asked_for_as_the_spec_allows", SPEC, reads=(WHOLE,), state=state, labels=labels,
    constants={"server": 0}, why="it waits for its caches and asks for one account at a time")

PROPERTIES: tuple[Property, ...] = (
    each_active_namespace_has_its_default_account, no_account_is_asked_for_that_is_known,
    two_namespaces_have_their_account, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def deletions_overlooked(self: ServiceAccounts, local: State, lane: str,
                         change: Change) -> tuple[str, ...]:
    """Only namespaces make work; that an account goes is not seen."""
    return (change.key,) if lane == NAMESPACES and change.new is not None else ()


def asked_for_in_any_namespace(self: ServiceAccounts, namespace: Any) -> bool:
    """An ending namespace counts as active."""
    return True


_MODULE = "reference_impl.controllers.service_account:ServiceAccounts"
MUTANTS = (
    Mutant("default-account-not-made-again",
           "a default account that somebody deletes is not made again",
           "each_active_namespace_has_its_default_account",
           ((f"{_MODULE}.keys_for", deletions_overlooked),), scenario="accounts"),
    Mutant("account-asked-for-in-ending-namespace",
           "the controller goes on to ask for accounts in a namespace that ends",
           "no_account_is_asked_for_that_is_known",
           ((f"{_MODULE}.is_active", asked_for_in_any_namespace),), scenario="tenant"),
)
