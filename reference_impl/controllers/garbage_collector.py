"""The garbage collector: what no owner holds any more goes; owners that wait for it are let go.

Source: Kubernetes documentation, "Garbage Collection" and "Owners and Dependents"; Kubernetes 1.32,
pkg/controller/garbagecollector. The graph of owners and dependents is kept by uid from the caches
of every collection. An object is looked at when it names an owner that is not known under these
coordinates, when its owners change, and when one of its owners goes or waits for it. Then it is
read from the server, and each of its owners is asked for: an owner of another uid, or one that
would have to lie in another namespace, is absent. Owners that are absent stay so, because uids are
never used again; that is remembered under uid and coordinates together.

- Some owner holds the object: references to absent and to waiting owners are taken off.
- None does: it is deleted, in the state in which it was read (uid and resource version), and in the
  foreground if an owner waits for it and it has dependents itself.
- An owner that is deleted with the finalizer `foregroundDeletion` goes when no dependent that
  blocks it is left, one with the finalizer `orphan` when no dependent names it any more.

Before an owner with `orphan` goes, every collection in which dependents may lie is listed from the
newest state. Kubernetes trusts its graph there, so that a dependent whose creation the collector
has not seen yet is deleted in spite of the policy (kubernetes issue 26120).

Not modelled: kinds that appear while the cluster runs (the collections are fixed at start), and the
event about an owner in another namespace. Owners of kinds that are not served hold their objects
for ever, as in Kubernetes. Events are not collected, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from model.api.metadata import Metadata, OwnerReference
from model.api.objects import BY_NAME, BY_TYPE
from model.api.requests import Reply, Request, delete, get, list_
from model.api.resources import RESOURCES, Resource
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from model.kernel.errors import InputError
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key, store_key
from reference_impl.lib.ownership import metadata_patch, owners_patch

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_VIRTUAL_GROUPS = frozenset(("authentication.k8s.io", "authorization.k8s.io", "events.k8s.io",
                             "metrics.k8s.io"))
_VIRTUAL = frozenset(("bindings", "componentstatuses", "events"))


def lane_of(resource: Resource) -> str:
    """The name under which a collection is asked for."""
    return resource.name if BY_NAME[resource.name] is resource else resource.group_resource


COLLECTED: tuple[str, ...] = tuple(
    lane_of(resource) for resource in RESOURCES
    if resource.group not in _VIRTUAL_GROUPS and resource.name not in _VIRTUAL)
"""Every collection whose objects may own or be owned."""


class Node(NamedTuple):
    """An object in the graph: its collection, its key there, and its uid."""

    lane: str
    path: str
    uid: str

    def __str__(self) -> str:
        return " ".join(self)


def node_from(text: str) -> Node:
    """The node that a key of the queue names."""
    lane, _, rest = text.partition(" ")
    path, _, uid = rest.rpartition(" ")
    return Node(lane, path, uid)


class Graph(NamedTuple):
    """`known`: uid -> the object as the caches show it; `dependents`: uid of an owner -> those that
    name it, in order; `absent`: owners that were asked for and are not there."""

    known: FrozenMap[str, Node] = EMPTY
    dependents: FrozenMap[str, tuple[Node, ...]] = EMPTY
    absent: FrozenMap[str, bool] = EMPTY


class Work(NamedTuple):
    """Where a sync stands. `at`: what is in flight; `obj`: the object in hand, as it was read;
    `left`: owners still to be asked for, or dependents still to be released; `gone`, `waiting`:
    uids of owners that are absent, and that wait for the object to go; `held`: some owner holds
    it; `unseen`: an owner is there that no cache shows yet; `next`: the collection listed."""

    at: str
    obj: Any
    left: tuple[Any, ...] = ()
    gone: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    held: bool = False
    unseen: bool = False
    next: int = 0


State = ControllerState[Graph]


class GarbageCollector(Controller[Graph]):
    """See the head of this file. `lanes` are the collections that take part."""

    name = "controllers/garbage-collector"
    source = "garbage-collector-controller"
    blank = Graph()

    def __init__(self, lanes: tuple[str, ...] = COLLECTED) -> None:
        self.lanes = tuple(sorted(lanes))
        self.reflectors = tuple(Reflector(lane) for lane in self.lanes)

    # -- handlers -------------------------------------------------------------------------------

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        graph = local.memory
        old, new = change.old, change.new
        if old is not None and new is not None and \
                old.metadata.owner_references == new.metadata.owner_references:
            return local
        known, dependents, absent = graph
        if old is None or new is None:
            node = node_of(lane, new if new is not None else old)
            known = known.drop(node.uid) if new is None else known.set(node.uid, node)
        else:
            node = node_of(lane, new)
        before, after = owner_uids(old), owner_uids(new)
        for uid in before:
            if uid not in after:
                left = tuple(each for each in dependents[uid] if each != node)
                dependents = dependents.set(uid, left) if left else dependents.drop(uid)
        for uid in after:
            if uid not in before:
                dependents = dependents.set(uid, (*dependents.get(uid, ()), node))
        return local._replace(memory=Graph(known, dependents, absent))

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        old, new = change.old, change.new
        graph = local.memory
        if new is None:
            gone = graph.dependents.get(old.metadata.uid, ())
            return (*map(str, gone), *self._waiting_owners(local, old))
        references = new.metadata.owner_references
        found: list[str] = []
        if old is None or old.metadata.owner_references != references:
            if any(graph.known.get(ref.uid or "") != owner_node(ref, new.metadata.namespace)
                   for ref in references or ()):
                found.append(str(node_of(lane, new)))
            found += self._waiting_owners(local, new)
            if old is not None:
                found += self._waiting_owners(local, old)
        if policy_of(new) and (old is None or policy_of(old) != policy_of(new)):
            found.append(str(node_of(lane, new)))
        return tuple(dict.fromkeys(found))

    def _waiting_owners(self, local: State, obj: Any) -> list[str]:
        """The owners of an object that are deleted in the foreground."""
        found = []
        for ref in obj.metadata.owner_references or ():
            node = local.memory.known.get(ref.uid or "")
            if node is not None and is_waiting(self._cached(local, node)):
                found.append(str(node))
        return found

    def _cached(self, local: State, node: Node) -> Any:
        return self.cached(local, node.lane, node.path)

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        node = node_from(key)
        obj = self._cached(local, node)
        if obj is None or obj.metadata.uid != node.uid:
            return self.done(local)
        if obj.metadata.deletion_timestamp is not None:
            policy = policy_of(obj)
            if policy == ORPHAN:
                return self.begin_orphaning(local, obj, io)
            return self._wait(local, node, obj, io) if policy else self.done(local)
        if not obj.metadata.owner_references:
            return self.done(local)
        return self.ask(local, get(node.lane, *split_key(node.path)), Work("read", obj), io)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        if work.at == "read":
            return self._read(local, reply, io)
        if work.at == "owner":
            return self._owner_read(local, work, reply, io)
        if work.at == "list":
            return self._listed(local, work, reply, io)
        if work.at == "release" and (reply.code < 400 or reply.code == 404):
            return self._release(local, work._replace(left=work.left[1:]), io)
        if work.at == "unblock" and reply.code < 400:
            return self._delete(local, work._replace(obj=reply.body), "Foreground", io)
        if work.at == "trim" and reply.code < 400 and work.unseen:
            return self.retry(local, io)
        return self.settle(local, reply, io)

    # -- objects with owners --------------------------------------------------------------------

    def _read(self, local: State, reply: Reply, io: Io) -> State:
        if reply.code == 404:
            return self.done(local)
        if reply.code >= 400:
            return self.retry(local, io)
        metadata = reply.body.metadata
        if metadata.uid != node_from(local.key).uid or metadata.deletion_timestamp is not None \
                or not metadata.owner_references:
            return self.done(local)
        return self._judge(local, Work("owner", reply.body, metadata.owner_references), io)

    def _judge(self, local: State, work: Work, io: Io) -> State:
        """Go through the owners; ask for the first that is not known to be absent."""
        graph = local.memory
        while work.left:
            ref: OwnerReference = work.left[0]
            owner = owner_node(ref, work.obj.metadata.namespace)
            if owner is None or owner.lane not in self.by_lane:
                work = work._replace(left=work.left[1:], held=True)
            elif self.known_absent(graph, owner):
                work = work._replace(left=work.left[1:], gone=(*work.gone, owner.uid))
            else:
                return self.ask(local, get(owner.lane, *split_key(owner.path)), work, io)
        return self._decide(local, work, io)

    def _owner_read(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        owner = owner_node(work.left[0], work.obj.metadata.namespace)
        assert owner is not None, "only owners with coordinates are asked for"
        if reply.code == 404 or reply.body.metadata.uid != owner.uid:
            absent = local.memory.absent
            local = local._replace(memory=local.memory._replace(
                absent=absent.set(self.absent_key(owner), True)))
            return self._judge(local, work, io)
        work = weighed(work, reply.body)
        if local.memory.known.get(owner.uid) != owner:
            work = work._replace(unseen=True)
        return self._judge(local, work, io)

    def absent_key(self, owner: Node) -> str:
        """Under what an absent owner is remembered."""
        return str(owner)

    def known_absent(self, graph: Graph, owner: Node) -> bool:
        """Whether an owner was asked for before and was not there."""
        return self.absent_key(owner) in graph.absent

    def _decide(self, local: State, work: Work, io: Io) -> State:
        """Every owner is weighed: keep the object, or delete it."""
        obj = work.obj
        node = node_from(local.key)
        if work.held:
            loose = (*work.gone, *work.waiting)
            if loose:
                left = tuple(ref for ref in obj.metadata.owner_references if ref.uid not in loose)
                return self.ask(local, owners_patch(node.lane, obj, left),
                                work._replace(at="trim"), io)
            # It may go before any cache has shown it; nobody would hear of that.
            return self.retry(local, io) if work.unseen else self.done(local)
        mine = local.memory.dependents.get(node.uid, ())
        if work.waiting and mine:
            if any(is_waiting(self._cached(local, each)) for each in mine):
                # A circle of objects that wait for each other: this one blocks nobody any more.
                free = tuple(ref._replace(block_owner_deletion=False)
                             for ref in obj.metadata.owner_references)
                return self.ask(local, owners_patch(node.lane, obj, free),
                                work._replace(at="unblock"), io)
            return self._delete(local, work, "Foreground", io)
        held = obj.metadata.finalizers or ()
        policy = "Orphan" if ORPHAN in held else "Foreground" if FOREGROUND in held else (
            "Background")
        return self._delete(local, work, policy, io)

    def _delete(self, local: State, work: Work, policy: str, io: Io) -> State:
        metadata: Metadata = work.obj.metadata
        return self.ask(local, self.deletion(node_from(local.key).lane, metadata, policy),
                        work._replace(at="delete"), io)

    def deletion(self, lane: str, metadata: Metadata, policy: str) -> Request:
        """The request that deletes an object in the state in which it was judged."""
        return delete(lane, metadata.namespace or "", metadata.name or "", uid=metadata.uid,
                      resource_version=metadata.resource_version, propagation_policy=policy)

    # -- owners that are deleted in the foreground ----------------------------------------------

    def _wait(self, local: State, node: Node, obj: Any, io: Io) -> State:
        """Let an owner go that nothing blocks; else look at its dependents."""
        mine = local.memory.dependents.get(node.uid, ())
        if any(self._blocks(local, each, node) for each in mine):
            return self.enqueue(self.done(local), tuple(map(str, mine)))
        return self._finalize(local, Work("finalize", obj), FOREGROUND, io)

    def _blocks(self, local: State, dependent: Node, owner: Node) -> bool:
        obj = self._cached(local, dependent)
        return any(ref.block_owner_deletion and owner_node(ref, obj.metadata.namespace) == owner
                   for ref in obj.metadata.owner_references or ())

    def _finalize(self, local: State, work: Work, finalizer: str, io: Io) -> State:
        metadata = work.obj.metadata
        left = [each for each in metadata.finalizers or () if each != finalizer]
        request = metadata_patch(node_from(local.key).lane, work.obj, {"finalizers": left or None})
        return self.ask(local, request, work._replace(at="finalize"), io)

    # -- owners that leave orphans --------------------------------------------------------------

    def begin_orphaning(self, local: State, obj: Any, io: Io) -> State:
        """First learn which dependents there are."""
        return self._list(local, Work("list", obj), io)

    def _list(self, local: State, work: Work, io: Io) -> State:
        """List the next collection in which dependents may lie; after the last one, release."""
        namespace = work.obj.metadata.namespace or ""
        while work.next < len(self.lanes):
            lane = self.lanes[work.next]
            if not namespace or is_namespaced(lane):
                return self.ask(local, list_(lane, namespace), work, io)
            work = work._replace(next=work.next + 1)
        return self._release(local, work, io)

    def _listed(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        lane, owner = self.lanes[work.next], node_from(local.key)
        found = tuple((lane, obj) for obj in getattr(reply.body, "items", ())
                      if any(owner_node(ref, obj.metadata.namespace) == owner
                             for ref in obj.metadata.owner_references or ()))
        return self._list(local, work._replace(left=(*work.left, *found), next=work.next + 1), io)

    def _release(self, local: State, work: Work, io: Io) -> State:
        """Take the owner off the next dependent; after the last one, let the owner go."""
        if not work.left:
            return self._finalize(local, work, ORPHAN, io)
        lane, obj = work.left[0]
        uid = node_from(local.key).uid
        left = tuple(ref for ref in obj.metadata.owner_references if ref.uid != uid)
        return self.ask(local, owners_patch(lane, obj, left), work._replace(at="release"), io)


# -- owners and dependents -----------------------------------------------------------------------


def node_of(lane: str, obj: Any) -> Node:
    """An object as a node of the graph."""
    return Node(lane, store_key(obj), obj.metadata.uid or "")


def owner_uids(obj: Any) -> tuple[str, ...]:
    """The uids of the owners that an object names, each once."""
    references: Iterable[OwnerReference] = () if obj is None else (
        obj.metadata.owner_references or ())
    return tuple(dict.fromkeys(ref.uid or "" for ref in references))


def owner_node(ref: OwnerReference, namespace: str | None) -> Node | None:
    """The coordinates of an owner that an object in `namespace` names: in the same namespace, or in
    the cluster scope. None when there can be no such object: its kind is not served, or the
    object lies in no namespace and the owner would have to."""
    resource = BY_TYPE.get((ref.api_version or "", ref.kind or ""))
    if resource is None or (resource.namespaced and not namespace):
        return None
    name = ref.name or ""
    path = f"{namespace}/{name}" if resource.namespaced else name
    return Node(lane_of(resource), path, ref.uid or "")


def is_namespaced(lane: str) -> bool:
    """Whether the objects of a collection lie in namespaces."""
    return any(resource.namespaced for resource in RESOURCES if lane_of(resource) == lane)


def policy_of(obj: Any) -> str:
    """What an object that is being deleted waits for: `orphan`, `foregroundDeletion` or nothing."""
    metadata = obj.metadata
    if metadata.deletion_timestamp is None or not metadata.finalizers:
        return ""
    return next((each for each in (ORPHAN, FOREGROUND) if each in metadata.finalizers), "")


def is_waiting(obj: Any) -> bool:
    """Whether an owner is deleted in the foreground, waiting for its dependents."""
    return policy_of(obj) == FOREGROUND


def weighed(work: Work, owner: Any) -> Work:
    """The work after the first owner that is left was found to be there."""
    if is_waiting(owner):
        return work._replace(left=work.left[1:], waiting=(*work.waiting, owner.metadata.uid))
    return work._replace(left=work.left[1:], held=True)


# -- construction --------------------------------------------------------------------------------


def collected(scenario: Scenario) -> tuple[str, ...]:
    """The collections that take part: all, or those that the setting `garbage-collected-kinds`
    names. InputError for a name that is none."""
    text = scenario.setting("garbage-collected-kinds", "")
    names = tuple(name.strip() for name in text.split(",")) if text else COLLECTED
    for name in names:
        if name not in COLLECTED:
            raise InputError(f"{name!r} is no collection that can be collected",
                             where="settings.garbage-collected-kinds",
                             fix=f"some of {', '.join(COLLECTED)}")
    return names


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The garbage collector of a cluster that runs the controllers of workloads."""
    return (GarbageCollector(collected(scenario)),) if scenario.workloads else ()
