"""What the garbage collector promises, how its state maps to its spec, and its seeded bugs.

Source: Kubernetes documentation, "Garbage Collection"; kubernetes issues 26120, 65200, 114603.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api.objects import BY_GROUP_RESOURCE, BY_NAME, BY_TYPE
from model.api.requests import Request, delete
from model.controllers.garbage_collector import SPEC
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import World
from properties.reading import KV, REGISTRY, title
from reference_impl.controllers.garbage_collector import (
    FOREGROUND,
    ORPHAN,
    GarbageCollector,
    Node,
    State,
    Work,
)

NAME = "controllers/garbage-collector"
WORK = Part(NAME, "work")
OWN_WRITES = f"txn/{NAME}/"


# ---- promises ----------------------------------------------------------------------------------


def owner_keys(obj: Any) -> Iterator[tuple[Any, str | None]]:
    """Each owner that an object names, with the key under which the store would hold it; None when
    no object can be meant (the documentation leaves such references alone)."""
    namespace = obj.metadata.namespace
    for ref in obj.metadata.owner_references or ():
        resource = BY_TYPE.get((ref.api_version, ref.kind))
        if resource is None or (resource.namespaced and not namespace):
            yield ref, None
            continue
        plural = resource.name if BY_NAME[resource.name] is resource else resource.group_resource
        where = f"{namespace}/{ref.name}" if resource.namespaced else ref.name
        yield ref, f"{REGISTRY}{plural}/{where}"


def holders(kv: FrozenMap[str, Any], obj: Any) -> list[str]:
    """The owners that hold an object: they exist under that uid and do not wait for it to go."""
    found = []
    for ref, key in owner_keys(obj):
        if key is None:
            found.append(f"{ref.kind} {ref.name}")
            continue
        entry = kv.get(key)
        if entry is None or entry.value.metadata.uid != ref.uid:
            continue
        metadata = entry.value.metadata
        if metadata.deletion_timestamp is None or FOREGROUND not in (metadata.finalizers or ()):
            found.append(f"{ref.kind} {ref.name}")
    return found


def own_change(before: World, action: Action, after: World) -> tuple[str, Any, Any] | None:
    """What a write of the collector changed in the store: key, old and new entry."""
    if action.actor != "etcd" or action.verb != "deliver" \
            or not str(action.args[1]).startswith(OWN_WRITES):
        return None
    return next(iter(before["etcd"].kv.diff(after["etcd"].kv)), None)


@step_rule(reads=(WORK, KV), why="objects in use would vanish")
def the_collector_deletes_only_what_no_owner_holds(before: World, action: Action,
                                                   after: World) -> str | None:
    """When the store takes a deletion by the collector, the object names an owner, and none that it
    names exists without waiting for it."""
    change = own_change(before, action, after)
    if change is None:
        return None
    _, old, new = change
    metadata = old.value.metadata
    deleted = new is None or new.value.metadata.deletion_timestamp is not None
    if not deleted or metadata.deletion_timestamp is not None:
        return None
    what = f"{old.value.kind} {title(old.value)}"
    if not metadata.owner_references:
        return f"{what} was collected and names no owner"
    found = holders(before["etcd"].kv, old.value)
    return f"{what} was collected, though it is held by {', '.join(found)}" if found else None


@step_rule(reads=(WORK, KV), why="what was to stay would be deleted after its owner")
def an_owner_that_leaves_orphans_is_taken_off_all_of_them(before: World, action: Action,
                                                          after: World) -> str | None:
    """When the finalizer `orphan` goes, nothing names the owner that did so before the owner last
    changed: the deletion that chose this policy was such a change."""
    change = own_change(before, action, after)
    if change is None:
        return None
    key, owner, new = change
    metadata = owner.value.metadata
    if ORPHAN not in (metadata.finalizers or ()) or metadata.deletion_timestamp is None \
            or (new is not None and ORPHAN in (new.value.metadata.finalizers or ())):
        return None
    left = [title(entry.value) for entry in before["etcd"].kv.values()
            if entry.mod_revision < owner.mod_revision and hasattr(entry.value, "metadata")
            and any(ref.uid == metadata.uid and where == key
                    for ref, where in owner_keys(entry.value))]
    return f"{title(owner.value)} goes while {', '.join(sorted(left))} still name it" \
        if left else None


@step_rule(reads=(WORK,), why="whoever asked for foreground deletion relies on that order")
def a_waiting_owner_goes_after_what_blocks_it(before: World, action: Action,
                                              after: World) -> str | None:
    """The collector lets an owner go that waits for its dependents only when its caches show none
    that blocks it."""
    local: State = after[NAME]
    work: Work | None = local.work
    if work is None or work.at != "finalize" or work is before[NAME].work \
            or ORPHAN in (work.obj.metadata.finalizers or ()):
        return None
    uid = work.obj.metadata.uid
    for dependent in local.memory.dependents.get(uid, ()):
        obj = local.caches[dependent.lane].store[dependent.path]
        if obj.metadata.namespace == work.obj.metadata.namespace and any(
                ref.uid == uid and ref.block_owner_deletion
                for ref in obj.metadata.owner_references or ()):
            return f"{title(work.obj)} is let go, though {title(obj)} blocks it"
    return None


@leads_to(within_ms=600_000, reads=(KV, WORK), why="what nobody needs takes room for ever")
def nothing_stays_that_only_names_owners_that_are_gone(world: World) -> str | None:
    """Unless it is being deleted already and something else holds it."""
    kv = world["etcd"].kv
    lanes = world[NAME].caches
    for key, entry in kv.items():
        obj = entry.value
        metadata = getattr(obj, "metadata", None)
        if (metadata is None or not metadata.owner_references or key.split("/")[2] not in lanes
                or metadata.deletion_timestamp is not None):
            continue
        if not holders(kv, obj) and all(key is None or key.split("/")[2] in lanes
                                        for _, key in owner_keys(obj)):
            return f"{obj.kind} {title(obj)} stays, and its owners are gone"
    return None


@leads_to(within_ms=600_000, reads=(KV, WORK), why="a deletion with a policy must end some day")
def an_owner_that_was_deleted_is_let_go(world: World) -> str | None:
    """The finalizers of the collector come off."""
    for entry in world["etcd"].kv.values():
        metadata = getattr(entry.value, "metadata", None)
        if metadata is None or metadata.deletion_timestamp is None:
            continue
        for finalizer in (ORPHAN, FOREGROUND):
            if finalizer in (metadata.finalizers or ()):
                return f"{entry.value.kind} {title(entry.value)} still has {finalizer}"
    return None


@sometimes(reads=(WORK,), why="without a deletion nothing was shown")
def something_is_collected(world: World) -> bool:
    """The collector asks for a deletion."""
    work = world[NAME].work
    return work is not None and work.at == "delete"


@sometimes(reads=(WORK,), why="without dependents the policy does nothing")
def an_orphan_is_released(world: World) -> bool:
    """An owner is taken off a dependent."""
    work = world[NAME].work
    return work is not None and work.at == "release"


# ---- refinement --------------------------------------------------------------------------------

IN_HAND = ("owner", "unblock", "delete")


def node_text(ref: Any, namespace: str | None) -> str:
    """An owner as the spec's states name it."""
    resource = BY_TYPE.get((ref.api_version, ref.kind))
    if resource is None or (resource.namespaced and not namespace):
        return f"{ref.api_version} {ref.kind} {ref.uid}"
    lane = resource.name if BY_NAME[resource.name] is resource else resource.group_resource
    path = f"{namespace}/{ref.name}" if resource.namespaced else ref.name
    return f"{lane} {path} {ref.uid}"


def owners_in_hand(work: Work) -> tuple[str, ...]:
    """The owners that the copy in hand names."""
    return tuple(dict.fromkeys(node_text(ref, work.obj.metadata.namespace)
                               for ref in work.obj.metadata.owner_references or ()))


def yielding(work: Work) -> tuple[str, ...]:
    """Those of them that were seen to wait."""
    return tuple(owner for owner in owners_in_hand(work)
                 if owner.rpartition(" ")[2] in work.waiting)


def is_orphaning(work: Work | None) -> bool:
    """Whether an owner that leaves orphans is in hand."""
    return work is not None and (work.at in ("list", "release") or (
        work.at == "finalize" and ORPHAN in (work.obj.metadata.finalizers or ())))


def unlisted(local: State) -> int:
    """How many collections are still to be listed."""
    return len(local.caches) - local.work.next if local.work.at == "list" else 0


def found_by(local: State) -> tuple[str, ...]:
    """The dependents still to be released, as the spec's states name them."""
    if local.work.at not in ("list", "release", "finalize"):
        return ()
    return tuple(f"{lane} {title(obj)} {obj.metadata.uid}" for lane, obj in local.work.left)


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    local: State = world[NAME]
    work: Work | None = local.work
    hand = holds = yields = learning = left = found = EMPTY
    if work is not None and work.at in IN_HAND:
        hand = FrozenMap([(local.key, "deleting" if work.at == "delete" else "read")])
        holds = FrozenMap(((local.key, owner), True) for owner in owners_in_hand(work))
        yields = FrozenMap(((local.key, owner), True) for owner in yielding(work))
    elif is_orphaning(work):
        learning = FrozenMap([(local.key, True)])
        left = FrozenMap([(local.key, unlisted(local))])
        found = FrozenMap(((thing, local.key), True) for thing in found_by(local))
    return {"owner": EMPTY, "thing": EMPTY, "kind": EMPTY, "names": EMPTY, "promised": EMPTY,
            "moved": EMPTY, "calm": False, "lost": local.memory.absent, "hand": hand,
            "holds": holds, "yields": yields, "learning": learning, "unlisted": left,
            "found": found}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of the controller is in the words of the spec."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if step.action.verb == "restart":
        return (Label("crash"),)
    if is_orphaning(old.work):
        return tuple(orphaned(step, old, new))
    if is_orphaning(new.work):
        return (Label("begin", (new.key, len(new.caches))),
                *out_of_reach(new, 0))
    return tuple(judged(old, new))


def judged(old: State, new: State) -> Iterator[Label]:
    """A thing is read, weighed, deleted or put away."""
    was, now = in_hand(old), in_hand(new)
    if was is None and now is not None:
        yield Label("read", (new.key,))
        for owner in owners_in_hand(now):
            yield Label("remember", (new.key, owner))
    for owner, _, _ in old.memory.absent.diff(new.memory.absent):
        yield Label("miss", (owner,))
    if now is not None:
        seen = () if was is None else yielding(was)
        for owner in yielding(now):
            if owner not in seen:
                yield Label("see_waiting", (new.key, owner))
        if now.at == "delete" and (was is None or was.at != "delete"):
            yield Label("delete", (new.key,))
    elif was is not None:
        yield Label("drop", (old.key,))


def in_hand(local: State) -> Work | None:
    """The work on a thing that was read."""
    return local.work if local.work is not None and local.work.at in IN_HAND else None


def orphaned(step: Transition, old: State, new: State) -> Iterator[Label]:
    """A collection was listed, a dependent released, the owner let go; or nothing of it counts."""
    if not is_orphaning(new.work) or new.key != old.key:
        code = getattr(step.message.body if step.message is not None else None, "code", 500)
        done = old.work.at == "finalize" and (code < 400 or code == 404)
        yield Label("finish" if done else "give_up", (old.key,))
        return
    before, after = found_by(old), found_by(new)
    for thing in after:
        if thing not in before:
            yield Label("find", (thing, old.key))
    if old.work.at == "list":
        yield Label("listed", (old.key,))
        yield from out_of_reach(new, old.work.next + 1)
    for thing in before:
        if thing not in after:
            yield Label("release", (thing, old.key))


def out_of_reach(local: State, start: int) -> Iterator[Label]:
    """The collections from `start` on that need no list: a namespaced owner has no dependents in
    the cluster scope."""
    if not local.work.obj.metadata.namespace:
        return
    for lane in local.caches.keys()[start:]:
        if (BY_NAME.get(lane) or BY_GROUP_RESOURCE[lane]).namespaced:
            return
        yield Label("listed", (local.key,))


REFINEMENT = refinement(
    "the_collector_judges_what_it_read", SPEC, reads=(WORK,), state=state,
    labels=labels, constants={"server": 0},
    why="a deletion must follow from what was seen, and from nothing that is taken for granted")

PROPERTIES: tuple[Property, ...] = (
    the_collector_deletes_only_what_no_owner_holds,
    an_owner_that_leaves_orphans_is_taken_off_all_of_them,
    a_waiting_owner_goes_after_what_blocks_it,
    nothing_stays_that_only_names_owners_that_are_gone, an_owner_that_was_deleted_is_let_go,
    something_is_collected, an_orphan_is_released, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def absent_by_uid(self: GarbageCollector, owner: Node) -> str:
    """A wrong reference elsewhere makes the owner absent for all."""
    return owner.uid


def deleted_in_any_state(self: GarbageCollector, lane: str, metadata: Any,
                         policy: str) -> Request:
    """A change of owners between the look and the deletion is not noticed."""
    return delete(lane, metadata.namespace or "", metadata.name or "", uid=metadata.uid,
                  propagation_policy=policy)


def orphans_from_the_graph(self: GarbageCollector, local: State, obj: Any, io: Io) -> State:
    """The dependents that the caches show are taken for all."""
    mine = local.memory.dependents.get(obj.metadata.uid, ())
    left = tuple((each.lane, local.caches[each.lane].store[each.path]) for each in mine)
    return self._release(local, Work("release", obj, left), io)


_MODULE = "reference_impl.controllers.garbage_collector:GarbageCollector"
MUTANTS = (
    Mutant("gc-absent-owner-cache-by-uid", "gc-absent-owner-cache-by-uid",
           "the_collector_deletes_only_what_no_owner_holds",
           ((f"{_MODULE}.absent_key", absent_by_uid),), scenario="dependents", faults="crash"),
    Mutant("gc-delete-after-ownerref-change", "gc-delete-after-ownerref-change",
           "the_collector_deletes_only_what_no_owner_holds",
           ((f"{_MODULE}.deletion", deleted_in_any_state),), scenario="dependents"),
    Mutant("gc-orphan-before-dependents-seen", "gc-orphan-before-dependents-seen",
           "an_owner_that_leaves_orphans_is_taken_off_all_of_them",
           ((f"{_MODULE}.begin_orphaning", orphans_from_the_graph),),
           scenario="unseen-dependent", faults="cut"),
)
