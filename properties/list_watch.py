"""What every informer promises, wherever it is kept, and the bugs that the promises catch.

An informer is found by its type in the local state of any component: in a field, or in a map of
informers. Its own `scope` tells what it is a copy of, so that its completeness can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api.requests import ObjectList, list_, watch
from model.api.selectors import matches, matches_fields, parse_fields, parse_labels
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.values import FrozenMap
from model.kernel.world import UP, World
from properties.reading import KV, REGISTRY
from reference_impl.lib.informer import LISTING, Change, Informer, Reflector, is_gone

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


def informer_of(local: Any, lane: str) -> Informer | None:
    """The informer that a lane feeds, where a component has one."""
    caches = getattr(local, "caches", None)
    if type(caches) is FrozenMap:
        found = caches.get(lane)
        return found if isinstance(found, Informer) else None
    for value in local if isinstance(local, tuple) else ():
        if isinstance(value, Informer) and value.scope.resource == lane:
            return value
    return None


@step_rule(reads=CACHES, why="what was once seen must not be unseen: decisions were based on it")
def a_cache_never_goes_back(before: World, action: Action, after: World) -> str | None:
    """Within one life of a component the version of each of its informers only grows."""
    if action.verb != "deliver":
        return None
    at, lane = after.names[action.actor], str(action.args[1])
    old = informer_of(before.slots[at].local, lane)
    new = informer_of(after.slots[at].local, lane)
    if old is None or new is None or old is new:
        return None
    if not old.resource_version or not new.resource_version or \
            int(new.resource_version) >= int(old.resource_version):
        return None
    return (f"{action.actor}: its copy of {lane} goes back from version {old.resource_version} to "
            f"{new.resource_version}")


@sometimes(reads=(Part("controllers/replication", "caches"),),
           why="recovery must be reached to mean anything")
def an_informer_lists_anew(world: World) -> bool:
    """Some informer has lost its version and asks for the newest state."""
    return any(informer.synced and informer.phase == "listing"
               for informer in world["controllers/replication"].caches.values())


PROPERTIES: tuple[Property, ...] = (
    informers_agree_with_the_server, a_cache_never_goes_back, an_informer_lists_anew)


# ---- seeded bugs -------------------------------------------------------------------------------

_REPLACE = Reflector._replace
_REFUSED = Reflector._refused


def overlooks_what_vanished(self: Reflector, informer: Informer, page: ObjectList,
                            io: Io) -> tuple[Informer, tuple[Change, ...]]:
    listed = {(obj.metadata.namespace, obj.metadata.name) for obj in page.items}
    ghosts = tuple(obj for obj in informer.store.values()
                   if (obj.metadata.namespace, obj.metadata.name) not in listed)
    return _REPLACE(self, informer, page._replace(items=page.items + ghosts), io)


def resumes_too_early(self: Reflector, informer: Informer, io: Io) -> Informer:
    version = str(max(int(informer.resource_version) - 20, 1))
    io.request(self.server, self.lane, watch(self.resource, version, self.namespace, self.options))
    return informer


def lists_its_own_version_in_pages(self: Reflector, informer: Informer, status: Any,
                                   io: Io) -> Informer:
    """With a limit a list is read from the store at exactly the version that it names."""
    if not is_gone(status):
        return _REFUSED(self, informer, status, io)
    options = self.options._replace(resource_version=informer.resource_version, limit=500)
    io.request(self.server, self.lane, list_(self.resource, self.namespace, options))
    return informer._replace(phase=LISTING)


MUTANTS = (
    Mutant("list-limit-with-rv-treated-exact", "list-limit-with-rv-treated-exact",
           "informers_agree_with_the_server",
           (("reference_impl.lib.informer:Reflector._refused", lists_its_own_version_in_pages),),
           scenario="recreated-pod", faults="crash"),
    Mutant("resume-from-an-older-version",
           "a watch that was cut is resumed before the last event that was seen",
           "a_cache_never_goes_back",
           (("reference_impl.lib.informer:Reflector._resume", resumes_too_early),), faults="cut"),
    Mutant("relist-overlooks-what-vanished",
           "a relist adds and changes objects and leaves those that vanished meanwhile",
           "informers_agree_with_the_server",
           (("reference_impl.lib.informer:Reflector._replace", overlooks_what_vanished),),
           scenario="recreated-pod", faults="crash"),
)
