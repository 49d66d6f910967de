"""What every informer promises, wherever it is kept, and the bugs that the promises catch.

An informer is found by its type in the local state of any component: in a field, or in a map of
informers. Its own `scope` tells what it is a copy of, so that its completeness can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api.requests import ObjectList
from model.api.selectors import matches, matches_fields, parse_fields, parse_labels
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.values import FrozenMap
from model.kernel.world import UP, World
from properties.reading import KV, REGISTRY
from reference_impl.lib.informer import Change, Informer, Reflector

CACHES = (Part("controllers/*", "caches"), Part("scheduler"), Part("kubelet/*", "informer"),
          Part("kube-proxy/*"))


def informers(local: Any) -> Iterator[Informer]:
    """The informers in a local state."""
    for value in local if isinstance(local, tuple) else ():
        if isinstance(value, Informer):
            yield value
        elif isinstance(value, FrozenMap):
            for each in value.values():
                if not isinstance(each, Informer):
                    break
                yield each


def belongs(informer: Informer, obj: Any) -> bool:
    """Whether a stored object is in what the informer is a copy of."""
    scope = informer.scope
    return ((not scope.namespace or scope.namespace == obj.metadata.namespace)
            and (not scope.label_selector
                 or matches(parse_labels(scope.label_selector), obj.metadata.labels))
            and (not scope.field_selector
                 or matches_fields(parse_fields(scope.field_selector), obj)))


@leads_to(within_ms=600_000, reads=(KV,),
          why="a controller that acts on an old picture acts wrongly")
def informers_agree_with_the_server(world: World) -> str | None:
    """In the end every informer holds exactly the stored objects of its collection, as stored."""
    stored: dict[str, dict[str, Any]] = {}
    for key, entry in world["etcd"].kv.items():
        plural, _, name = key.removeprefix(REGISTRY).partition("/")
        stored.setdefault(plural, {})[name] = entry
    for component, at in world.names.items():
        slot = world.slots[at]
        if slot.status != UP or component.rpartition("/")[2] in world.isolated:
            continue
        for informer in informers(slot.local):
            if informer.synced:
                wrong = difference(informer, stored.get(informer.scope.resource, {}))
                if wrong is not None:
                    return f"{component}, {informer.scope.resource}: {wrong}"
    return None


def difference(informer: Informer, stored: dict[str, Any]) -> str | None:
    """The first object in which an informer and the store differ."""
    wanted = {name: entry for name, entry in stored.items() if belongs(informer, entry.value)}
    for name in sorted(wanted):
        held = informer.store.get(name)
        if held is None:
            return f"{name} is missing"
        if held.metadata.resource_version != str(wanted[name].mod_revision):
            return (f"{name} is held at version {held.metadata.resource_version}, stored at "
                    f"{wanted[name].mod_revision}")
    ghosts = [name for name in informer.store if name not in wanted]
    return f"{ghosts[0]} is held and no longer stored" if ghosts else None


@step_rule(reads=CACHES, why="what was once seen must not be unseen: decisions were based on it")
def a_cache_never_goes_back(before: World, action: Action, after: World) -> str | None:
    """Within one life of a component the version of each of its informers only grows."""
    if action.verb == "restart" or action.actor not in after.names:
        return None
    at = after.names[action.actor]
    old, new = before.slots[at].local, after.slots[at].local
    for past, present in zip(informers(old), informers(new), strict=True):
        if past is present or not past.resource_version or not present.resource_version:
            continue
        if int(present.resource_version) < int(past.resource_version):
            return (f"{action.actor}: its copy of {past.scope.resource} goes back from version "
                    f"{past.resource_version} to {present.resource_version}")
    return None


@sometimes(reads=(Part("controllers/*", "caches"),),
           why="recovery must be reached to mean anything")
def an_informer_lists_anew(world: World) -> bool:
    """Some informer has lost its version and asks for the newest state."""
    return any(informer.synced and informer.phase == "listing"
               for name, at in world.names.items() if name.startswith("controllers/")
               for informer in informers(world.slots[at].local))


PROPERTIES: tuple[Property, ...] = (
    informers_agree_with_the_server, a_cache_never_goes_back, an_informer_lists_anew)


# ---- seeded bugs -------------------------------------------------------------------------------

_REPLACE = Reflector._replace


def overlooks_what_vanished(self: Reflector, informer: Informer, page: ObjectList,
                            io: Io) -> tuple[Informer, tuple[Change, ...]]:
    listed = {(obj.metadata.namespace, obj.metadata.name) for obj in page.items}
    ghosts = tuple(obj for obj in informer.store.values()
                   if (obj.metadata.namespace, obj.metadata.name) not in listed)
    return _REPLACE(self, informer, page._replace(items=page.items + ghosts), io)


MUTANTS = (
    Mutant("relist-overlooks-what-vanished",
           "a relist adds and changes objects and leaves those that vanished meanwhile",
           "informers_agree_with_the_server",
           (("reference_impl.lib.informer:Reflector._replace", overlooks_what_vanished),),
           faults="crash,cut"),
)
