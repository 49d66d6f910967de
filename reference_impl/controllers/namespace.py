"""The namespace controller: empties a namespace that is being deleted, then lets it go.

Source: Kubernetes 1.32, pkg/controller/namespace, and what a 1.32 cluster does. After the deletion
nothing happens for five seconds, so that creations that were admitted before it have been stored.
Then each namespaced collection in turn is deleted and, where anything was in it, listed again. What
is left (pods that end in their grace period, objects with finalizers) is written to the status and
looked at again later; when a whole sweep finds nothing, the finalizer `kubernetes` goes.

A sweep that was interrupted counts for nothing: the next one begins at the first collection.

Not modelled: discovery (the resource types are fixed, so its condition is always good) and a
deletion that fails by itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.conditions import set_condition
from model.api.metadata import Condition
from model.api.objects import BY_NAME, Namespace, NamespaceStatus, put, timestamp, with_status
from model.api.requests import Options, Reply, Request, delete, list_, update, update_status
from model.api.resources import RESOURCES
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from reference_impl.lib import work_queue
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector

NAMESPACES = "namespaces"
FINALIZER = "kubernetes"
HOLD_OFF_MS = 5_000
FINALIZERS_S = 15
"""How long objects with finalizers are given before the next look."""
_UPKEEP = "idle:sweep:"
_VIRTUAL_GROUPS = ("authorization.k8s.io", "events.k8s.io")

CONTENT: tuple[str, ...] = tuple(
    resource.name if BY_NAME[resource.name] is resource else resource.group_resource
    for resource in RESOURCES
    if resource.namespaced and resource.group not in _VIRTUAL_GROUPS
    and resource.kind != "Binding")
"""Every collection that lies in namespaces, pods first: they take longest."""
CONTENT = ("pods", *(name for name in CONTENT if name != "pods"))


# Else a ReplicationController would wait for its pods to be orphaned.
BACKGROUND = Options(propagation_policy="Background")


class Left(NamedTuple):
    """What a look found of one collection: how many objects, how many hold each finalizer, and
    how long they may still take."""

    resource: str
    count_: int
    finalizers: tuple[tuple[str, int], ...]
    seconds: int


class Work(NamedTuple):
    """Where a sweep stands. `at`: what is in flight (delete; list and one, where objects go one by
    one; look, status, finalize); `next`: the index of the collection in hand; `doomed`: what of it
    is still to be deleted one by one; `left`: what earlier ones still hold."""

    at: str
    namespace: Namespace
    next: int = 0
    doomed: tuple[Any, ...] = ()
    left: tuple[Left, ...] = ()


State = ControllerState[None]


class Namespaces(Controller[None]):
    """See the head of this file."""

    name = "controllers/namespace"
    source = "namespace-controller"
    reflectors = (Reflector(NAMESPACES),)
    blank = None

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        # After a restart the first list starts the time anew.
        if is_ending(change.new) and not is_ending(change.old):
            work_queue.add_after(io, change.key, self.hold_off_ms())
        return local

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        return ()

    def alarm(self, local: State, key: str, io: Io) -> State:
        return self.enqueue(local, (key.removeprefix(_UPKEEP),))

    def hold_off_ms(self) -> int:
        """How long after the deletion the first sweep begins."""
        return HOLD_OFF_MS

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        namespace: Namespace | None = self.cached(local, NAMESPACES, key)
        if namespace is None or not is_ending(namespace):
            return self.done(local)
        return self._sweep(local, Work("delete", namespace), io)

    def _sweep(self, local: State, work: Work, io: Io) -> State:
        """Delete the collection in hand; after the last one, judge."""
        if work.next == len(CONTENT):
            return self._judge(local, work, io)
        request = Request("deletecollection", CONTENT[work.next],
                          work.namespace.metadata.name or "", options=BACKGROUND)
        return self.ask(local, request, work._replace(at="delete"), io)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        if work.at == "delete" and reply.code == 405:
            return self.one_by_one(local, work, io)
        if work.at == "one" and (reply.code < 400 or reply.code in (404, 409)):
            return self._next_one(local, work._replace(doomed=work.doomed[1:]), io)
        if reply.code == 404 and work.at in ("delete", "list", "look"):
            # It is not served now; a later sweep asks again.
            return self._sweep(local, work._replace(next=work.next + 1), io)
        if reply.code >= 400:
            return self.settle(local, reply, io)
        if work.at == "delete":
            if not items_of(reply):
                return self._sweep(local, work._replace(next=work.next + 1), io)
            return self._look(local, work, io)
        if work.at == "list":
            return self._next_one(local, work._replace(doomed=items_of(reply)), io)
        if work.at == "look":
            found = left_of(CONTENT[work.next], items_of(reply))
            left = work.left if found is None else (*work.left, found)
            return self._sweep(local, work._replace(next=work.next + 1, left=left), io)
        if work.at == "status":
            return self._release(local, work._replace(namespace=reply.body), io)
        return self.done(local)

    def one_by_one(self, local: State, work: Work, io: Io) -> State:
        """The collection cannot be deleted as a whole: list it and delete each."""
        request = list_(CONTENT[work.next], work.namespace.metadata.name or "")
        return self.ask(local, request, work._replace(at="list"), io)

    def _next_one(self, local: State, work: Work, io: Io) -> State:
        if not work.doomed:
            return self._look(local, work, io)
        metadata = work.doomed[0].metadata
        request = delete(CONTENT[work.next], metadata.namespace, metadata.name, uid=metadata.uid,
                         propagation_policy="Background")
        return self.ask(local, request, work._replace(at="one"), io)

    def _look(self, local: State, work: Work, io: Io) -> State:
        """Something was there: is it still?"""
        request = list_(CONTENT[work.next], work.namespace.metadata.name or "")
        return self.ask(local, request, work._replace(at="look"), io)

    def _judge(self, local: State, work: Work, io: Io) -> State:
        """Write what was found to the status."""
        namespace = work.namespace
        status = judged(namespace.status or NamespaceStatus(), work.left, timestamp(io.now))
        if status == namespace.status:
            return self._release(local, work, io)
        return self.ask(local, update_status(with_status(namespace, status)),
                        work._replace(at="status"), io)

    def _release(self, local: State, work: Work, io: Io) -> State:
        """Let an empty namespace go; look at another one again later."""
        if not self.may_release(work):
            seconds = max((each.seconds for each in work.left), default=0) // 2 + 1
            if any(each.finalizers for each in work.left):
                # Somebody else decides when that ends: from now on this is upkeep.
                io.after(seconds * 1000, f"{_UPKEEP}{local.key}")
            else:
                work_queue.add_after(io, local.key, seconds * 1000)
            return self.done(local)
        spec = work.namespace.spec
        held = tuple(each for each in (spec.finalizers if spec is not None else None) or ()
                     if each != FINALIZER)
        if spec is None or held == spec.finalizers:
            return self.done(local)
        freed = put(work.namespace, "spec", put(spec, "finalizers", held))
        return self.ask(local, update(freed, "finalize"), work._replace(at="finalize"), io)

    def may_release(self, work: Work) -> bool:
        """Whether the sweep found nothing."""
        return not work.left


# -- what a sweep found --------------------------------------------------------------------------


def is_ending(namespace: Namespace | None) -> bool:
    """Whether a namespace is being deleted."""
    return namespace is not None and namespace.metadata.deletion_timestamp is not None


def items_of(reply: Reply) -> tuple[Any, ...]:
    """The objects of a collection's reply."""
    found: tuple[Any, ...] = getattr(reply.body, "items", ())
    return found


def left_of(resource: str, items: tuple[Any, ...]) -> Left | None:
    """What a second look tells of a collection; None when nothing is left."""
    if not items:
        return None
    held: dict[str, int] = {}
    seconds = FINALIZERS_S if resource != "pods" else 0
    for obj in items:
        for finalizer in obj.metadata.finalizers or ():
            held[finalizer] = held.get(finalizer, 0) + 1
            seconds = max(seconds, FINALIZERS_S)
        seconds = max(seconds, obj.metadata.deletion_grace_period_seconds or 0)
    return Left(resource, len(items), tuple(sorted(held.items())), seconds)


def judged(status: NamespaceStatus, left: tuple[Left, ...], now: str) -> NamespaceStatus:
    """The status with its five conditions, in the words of Kubernetes."""
    remaining = ", ".join(f"{each.resource}. has {each.count_} resource instances"
                          for each in sorted(left))
    held: dict[str, int] = {}
    for each in left:
        for finalizer, count in each.finalizers:
            held[finalizer] = held.get(finalizer, 0) + count
    waiting = ", ".join(f"{name} in {count} resource instances"
                        for name, count in sorted(held.items()))
    conditions = status.conditions
    for name, on, reason, message in (
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered",
         "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", False, "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", bool(left),
         "SomeResourcesRemain" if left else "ContentRemoved",
         f"Some resources are remaining: {remaining}" if left
         else "All content successfully removed"),
        ("NamespaceFinalizersRemaining", bool(held),
         "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
         f"Some content in the namespace has finalizers remaining: {waiting}" if held
         else "All content-preserving finalizers finished"),
    ):
        conditions = set_condition(conditions, Condition(
            name, "True" if on else "False", reason, message, last_transition_time=now))
    return NamespaceStatus("Terminating", conditions, status.rest)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The namespace controller of a cluster."""
    return (Namespaces(),)
