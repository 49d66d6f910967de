"""What field ownership promises over histories: applies, forced and not, beside other writes.

Written from the documentation of server-side apply, on flat lists of paths, not on the trees and
shapes that the implementation walks. Only leaves are judged, of ConfigMaps and Services, whose
applied fields reach the store as they were sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from model.api.objects import thaw
from model.api.requests import Patch, Request
from model.api.storage import KeyValue
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, sometimes, step_rule
from model.kernel.world import World
from properties.apiserver.component import carried_out
from properties.reading import objects
from reference_impl.apiserver import storage

NAME = "apiserver"
KV = Part("etcd", "kv")
JUDGED = ("/registry/configmaps/", "/registry/services/")
_DEFAULTS = {"protocol": "TCP"}
Path = tuple[str, ...]


class Owner(NamedTuple):
    """A manager as its entry names it, and the leaves of its set."""

    manager: str
    operation: str
    subresource: str
    leaves: frozenset[Path]


def leaves(tree: dict[str, Any], before: Path = ()) -> Iterator[Path]:
    """The paths of a set below which there is nothing more."""
    for key, inner in tree.items():
        if key == ".":
            continue
        deeper = [each for each in inner if each != "."]
        if deeper:
            yield from leaves(inner, (*before, key))
        else:
            yield (*before, key)


def owners(document: dict[str, Any]) -> list[Owner]:
    """The entries of an object."""
    return [Owner(entry["manager"], entry["operation"], entry.get("subresource", ""),
                  frozenset(leaves(entry.get("fieldsV1") or {})) - _NOBODYS)
            for entry in document["metadata"].get("managedFields") or ()]


_NOBODYS = frozenset({("f:metadata", "f:annotations",
                       "f:kubectl.kubernetes.io/last-applied-configuration")})
"""What the server keeps in step by itself when `kubectl` goes over to applies on its side."""
_FORMER = {"kubectl": "kubectl-client-side-apply"}
"""Whose fields a manager may take over, because they were its own before."""
_DEFAULTED = ("f:protocol", "f:targetPort", "f:nodePort")
"""What the server sets again where it is left out."""


def _judged(path: Path) -> bool:
    """Whether a field reaches the store as it was sent, and stays away when it is left out."""
    return path[-1] not in _DEFAULTED and any(
        path[:len(head)] == head and len(path) > len(head) for head in _KEPT_AS_SENT)


_KEPT_AS_SENT = (("f:data",), ("f:metadata", "f:labels"), ("f:spec", "f:ports"))


def value_at(document: Any, path: Path) -> tuple[bool, Any]:
    """Whether a document has something at a path, and what."""
    for step in path:
        kind, _, text = step.partition(":")
        if kind == "f":
            if not isinstance(document, dict) or text not in document:
                return False, None
            document = document[text]
            continue
        if not isinstance(document, list):
            return False, None
        wanted = json.loads(text)
        document = next((entry for entry in document if _named(entry, wanted, kind)), None)
        if document is None:
            return False, None
    return True, document


def _named(entry: Any, wanted: Any, kind: str) -> bool:
    if kind == "v":
        return bool(entry == wanted)
    return all(entry.get(key, _DEFAULTS.get(key)) == value for key, value in wanted.items())


def _shown(path: Path) -> str:
    return ".".join(step.partition(":")[2] for step in path)


# -- every step that stores something ------------------------------------------------------------

class Written(NamedTuple):
    """A write of one object: the request, who made it, and the object before and after."""

    request: Request
    client: str
    key: str
    old: dict[str, Any]
    new: dict[str, Any]


def written(before: World, action: Action, after: World) -> Written | None:
    """What a step changed of an object that has owners, for one that already existed."""
    done = carried_out(before, action, after)
    if done is None or done.source != NAME:
        return None
    pending = before[NAME].pending.get(done.lane)
    if pending is None or pending.stage != "write" or pending.request.verb not in (
            "update", "patch") or pending.request.subresource:
        return None
    request = pending.request
    key = storage.storage_key(request.resource, storage.cache_key(request.namespace, request.name))
    old, new = before["etcd"].kv.get(key), after["etcd"].kv.get(key)
    if old is new or old is None or new is None or not key.startswith(JUDGED):
        return None
    if not old.value.metadata.rest:
        return None
    return Written(request, pending.client[0], key, thaw(old.value), thaw(new.value))


def _is_apply(request: Request) -> bool:
    return isinstance(request.body, Patch) and request.body.type == "apply"


@each(of=KV, prefix="/registry/", why="an owner of nothing would keep others from nothing, and be "
      "told of conflicts that are none")
def every_owned_field_is_there(world: World, key: str, old: KeyValue | None,
                               new: KeyValue | None) -> str | None:
    """Of the data and labels of ConfigMaps, and of the ports of Services."""
    if new is None or not key.startswith(JUDGED) or not new.value.metadata.rest:
        return None
    document = thaw(new.value)
    for owner in owners(document):
        for path in sorted(owner.leaves):
            if _judged(path) and not value_at(document, path)[0]:
                return f"{owner.manager} owns {_shown(path)} of {key}, which is not there"
    return None


@step_rule(reads=(KV,), why="the manager of a field must be able to rely on its value, or hear of "
           "the change by its next apply")
def a_field_belongs_to_whoever_changed_it_last(before: World, action: Action,
                                               after: World) -> str | None:
    """A write takes every field that it changes, from all others."""
    found = written(before, action, after)
    if found is None:
        return None
    author = found.request.options.field_manager or "kubectl"
    operation = "Apply" if _is_apply(found.request) else "Update"
    for owner in owners(found.new):
        if (owner.manager, owner.operation) == (author, operation):
            continue
        for path in sorted(owner.leaves):
            if value_at(found.old, path) != value_at(found.new, path):
                return (f"{author} changed {_shown(path)} of {found.key}, which still belongs to "
                        f"{owner.manager}")
    return None


@step_rule(reads=(KV,), why="two who apply different wishes would undo each other's work for ever")
def an_apply_changes_what_another_owns_by_force_only(before: World, action: Action,
                                                     after: World) -> str | None:
    """Without force a field that another manager owns stays as it is."""
    found = written(before, action, after)
    if found is None or not _is_apply(found.request) or found.request.options.force:
        return None
    mine = found.request.options.field_manager
    for owner in owners(found.old):
        if (owner.manager, owner.operation) == (mine, "Apply") or (
                owner.manager == _FORMER.get(mine)):
            continue
        for path in sorted(owner.leaves):
            if value_at(found.old, path) != value_at(found.new, path):
                return (f"{mine} changed {_shown(path)} of {found.key} without force, although it "
                        f"belongs to {owner.manager}")
    return None


@step_rule(reads=(KV,), why="what was taken out of a manifest would stay in the cluster for ever")
def what_its_last_owner_leaves_out_goes(before: World, action: Action,
                                        after: World) -> str | None:
    """An apply removes the fields that it named before, unless somebody else owns them."""
    found = written(before, action, after)
    if found is None or not _is_apply(found.request):
        return None
    mine = found.request.options.field_manager
    was = _leaves_of(found.old, mine)
    held = frozenset().union(*(owner.leaves for owner in owners(found.new)))
    for path in sorted(was - held):
        if _judged(path) and value_at(found.new, path)[0]:
            return (f"{mine} left out {_shown(path)} of {found.key}, which nobody owns, and it "
                    "stayed")
    return None


def _leaves_of(document: dict[str, Any], manager: str) -> frozenset[Path]:
    return next((owner.leaves for owner in owners(document)
                 if (owner.manager, owner.operation) == (manager, "Apply")), frozenset())


@step_rule(reads=(KV,), why="a pipeline that applies every minute must not wake every watcher")
def an_apply_that_is_done_already_writes_nothing(before: World, action: Action,
                                                 after: World) -> str | None:
    """The same document applied again by the same manager leaves the object alone."""
    found = written(before, action, after)
    if found is None or not _is_apply(found.request):
        return None
    if _timeless(found.old) != _timeless(found.new):
        return None
    return (f"{found.request.options.field_manager} applied to {found.key} what was there already, "
            f"and it was written anew at {found.new['metadata'].get('resourceVersion')}")


def _timeless(document: dict[str, Any]) -> Any:
    """An object without its version and without the times of its entries."""
    metadata = {key: value for key, value in document["metadata"].items()
                if key not in ("managedFields", "resourceVersion")}
    entries = [{key: value for key, value in entry.items() if key != "time"}
               for entry in document["metadata"].get("managedFields") or ()]
    return {**document, "metadata": metadata}, sorted(entries, key=str)


@sometimes(reads=(Part(NAME, "refusal"),), why="else no history says anything of conflicts")
def an_apply_is_refused_for_a_conflict(world: World) -> bool:
    """Two managers want different values of one field."""
    return bool(world[NAME].refusal[2] == 409)


@sometimes(reads=(KV,), why="else nobody could take anything from anybody")
def two_managers_own_parts_of_an_object(world: World) -> bool:
    """The data of one ConfigMap is shared."""
    return any(len(owners(thaw(each))) > 1 for each in objects(world, "configmaps")
               if each.metadata.rest)


PROPERTIES: tuple[Property, ...] = (
    every_owned_field_is_there, a_field_belongs_to_whoever_changed_it_last,
    an_apply_changes_what_another_owns_by_force_only, what_its_last_owner_leaves_out_goes,
    an_apply_that_is_done_already_writes_nothing, an_apply_is_refused_for_a_conflict,
    two_managers_own_parts_of_an_object)


# -- seeded bugs ---------------------------------------------------------------------------------

_FIELDS = "reference_impl.apiserver.registry.field_management"
_SCENARIO = "shared-fields"


def _released_of_nothing(entry: Any, changed: Any, removed: Any) -> Any:
    return entry


def _no_conflicts(others: Any, changed: Any) -> list[Any]:
    return []


def _nothing_pruned(value: Any, shape: Any, last: Any, owned: Any) -> Any:
    return value


def _only_the_first(trees: Any) -> Any:
    return next(iter(trees), None)


def _always_now(last: Any) -> str:
    return "2016-07-01T00:00:00Z"


def _kept_whoever_changed_it(old: Any, new: Any, author: Any, shape: Any) -> Any:
    return new


MUTANTS: tuple[Mutant, ...] = (
    Mutant("force_leaves_the_old_owner", "a forced apply takes the value of a field and leaves it "
           "to its former owner", a_field_belongs_to_whoever_changed_it_last.name,
           ((f"{_FIELDS}:_released", _released_of_nothing),), scenario=_SCENARIO),
    Mutant("conflicts_are_not_looked_for", "an apply changes fields of others without being told "
           "to", an_apply_changes_what_another_owns_by_force_only.name,
           ((f"{_FIELDS}:_conflicting", _no_conflicts),), scenario=_SCENARIO),
    Mutant("nothing_is_pruned", "fields that were taken out of a manifest stay",
           what_its_last_owner_leaves_out_goes.name,
           ((f"{_FIELDS}:pruned", _nothing_pruned),), scenario=_SCENARIO),
    Mutant("pruned_though_another_owns", "an apply removes fields that it shared with another "
           "manager", an_apply_changes_what_another_owns_by_force_only.name,
           (("reference_impl.apiserver.registry.field_sets:merge_all", _only_the_first),),
           scenario=_SCENARIO),
    Mutant("every_apply_sets_the_time", "an apply that changes nothing writes a new version",
           an_apply_that_is_done_already_writes_nothing.name,
           ((f"{_FIELDS}:_time_of", _always_now),), scenario=_SCENARIO),
    Mutant("updates_take_no_fields", "an update leaves its fields to the manager that applied "
           "them", a_field_belongs_to_whoever_changed_it_last.name,
           ((f"{_FIELDS}:updated", _kept_whoever_changed_it),), scenario=_SCENARIO),
)
