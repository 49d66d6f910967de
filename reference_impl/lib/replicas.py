"""The machine of the replication controller and of the ReplicaSet controller: as many live pods as
each owner wishes.

Source: Kubernetes 1.32, pkg/controller/replicaset (there too one code serves both kinds) and
"ReplicationController" and "ReplicaSet" in the documentation; the order of victims and the events
agree with what a 1.32 cluster answers.

One sync: release owned pods that the selector no longer matches, adopt matching orphans (after a
live look at the owner), create what is missing or delete what is too much, write the status. Every
write is one step; what has been asked for and not yet seen is kept as expectations.

Not modelled: writes in parallel (the batches of 1, 2, 4, ... pods; the first failure ends ours as
it would end the batch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from model.api.conditions import drop_condition, find, set_condition
from model.api.metadata import Condition, Metadata, OwnerReference, controller_of
from model.api.objects import (
    Pod,
    ReplicaSet,
    ReplicaStatus,
    ReplicationController,
    milliseconds,
    owner_for,
    timestamp,
    with_status,
)
from model.api.records import Pairs
from model.api.requests import Reply, create, delete, get, update_status
from model.kernel.component import Io
from model.kernel.values import EMPTY
from reference_impl.lib import expectations as book
from reference_impl.lib import victims, work_queue
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.expectations import Expectations
from reference_impl.lib.informer import Change, split_key, store_key
from reference_impl.lib.ownership import owners_patch

PODS = "pods"
BURST_MAX = 500
"""Pods that one sync creates or deletes at most."""
NO_PODS: tuple[Pod, ...] = ()


Owner = ReplicationController | ReplicaSet


class Work(NamedTuple):
    """Where a sync stands. `at`: which request is in flight (look, claim, create, delete, status).

    `owner`: it as cached when it was last looked at; `pods`: the pods adopted so far, then
    the pods that count; `manage`: the expectations were met; `left`: pods still to claim or to
    delete, the first of them in flight; `missing`: pods still to create, the one in flight
    included; `error`: the first failure, as (reason, message) of the ReplicaFailure condition.
    """

    at: str
    owner: Owner
    pods: tuple[Pod, ...] = NO_PODS
    manage: bool = False
    left: tuple[Pod, ...] = NO_PODS
    missing: int = 0
    error: tuple[str, str] | None = None


State = ControllerState[Expectations]


def owner_uid(obj: Any) -> str | None:
    """The uid of the controlling owner."""
    owner = controller_of(obj[1])
    return None if owner is None else owner.uid


def orphan_namespace(pod: Pod) -> str | None:
    """The namespace of a pod that nobody controls."""
    return pod.metadata.namespace if controller_of(pod.metadata) is None else None


def is_active(pod: Pod) -> bool:
    """Whether a pod counts: neither finished nor being deleted."""
    status = pod.status
    return pod.metadata.deletion_timestamp is None and (
        status is None or status.phase not in ("Succeeded", "Failed"))


def home(obj: Any) -> str | None:
    """The namespace of an object."""
    namespace: str | None = obj.metadata.namespace
    return namespace


class Replicas(Controller[Expectations]):
    """See the head of this file. `owners`: the lane of the owners; `kind`: their kind."""

    owners: str
    kind: str
    blank: Expectations = EMPTY

    def chooses(self, owner: Owner, labels: Pairs | None) -> bool:
        """Whether the selector of an owner matches these labels."""
        raise AssertionError(f"{self.name} does not say whom its owners choose")

    def siblings(self, local: State, owner: Owner) -> Mapping[str, int]:
        """How many related pods each node has: victims come first from where there are many."""
        return {}

    # -- handlers -------------------------------------------------------------------------------

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        memory = local.memory
        if lane == self.owners:
            if change.new is None:
                memory = book.forget(memory, change.key)
        elif change.new is None:
            memory = self._gone(local, memory, change.old)
        elif change.new.metadata.deletion_timestamp is not None:
            memory = self._gone(local, memory, change.new)
        elif change.old is None:
            owner = self._owner_key(local, change.new)
            if owner:
                memory = book.creation_observed(memory, owner)
        return local if memory is local.memory else local._replace(memory=memory)

    def _gone(self, local: State, memory: Expectations, pod: Pod) -> Expectations:
        owner = self._owner_key(local, pod)
        return book.deletion_observed(memory, owner, pod.metadata.uid or "") if owner else memory

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == self.owners:
            return (change.key,)
        old, new = change.old, change.new
        if old is not None and new is not None and owner_uid(old) == owner_uid(new):
            old = None
        keys = []
        for pod in (old, new):
            if pod is None:
                continue
            owner = self._owner_key(local, pod)
            if owner:
                keys.append(owner)
            elif pod is new and controller_of(pod.metadata) is None:
                keys.extend(self._suitors(local, pod))
        return tuple(dict.fromkeys(keys))

    def _owner_key(self, local: State, pod: Pod) -> str:
        """The key of the cached controller that owns a pod, "" when there is none."""
        owner = controller_of(pod.metadata)
        if owner is None or owner.kind != self.kind:
            return ""
        key = f"{pod.metadata.namespace}/{owner.name}"
        found = local.caches[self.owners].store.get(key)
        return key if found is not None and found.metadata.uid == owner.uid else ""

    def _suitors(self, local: State, pod: Pod) -> list[str]:
        """The owners that would adopt an orphan."""
        if pod.metadata.deletion_timestamp is not None:
            return []
        cache = local.caches[self.owners]
        return [store_key(owner) for owner in self.reflector(self.owners).by(
            cache, "namespace", pod.metadata.namespace or "")
            if self.chooses(owner, pod.metadata.labels)]

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        owner: Owner | None = self.cached(local, self.owners, key)
        if owner is None:
            return self.done(local._replace(memory=book.forget(local.memory, key)))
        own, strangers = self._owned(local, owner)
        orphans = self._orphans(local, owner)
        work = Work("claim", owner, left=(*strangers, *orphans))
        if orphans:
            return self.ask(local, get(self.owners, *split_key(key)), work._replace(at="look"), io)
        return self._claim(local, work, io) if strangers else self._manage(local, work, own, io)

    def _owned(self, local: State,
               owner: Owner) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
        """The cached live pods that the controller has: those that its selector matches, and those
        to release."""
        own: list[Pod] = []
        strangers: list[Pod] = []
        labels: Pairs | None = None
        matching = False
        for pod in self.reflector(PODS).by(local.caches[PODS], "owner", owner.metadata.uid or ""):
            if is_active(pod):
                if pod[1][9] != labels:  # pods of one template have equal labels: look once
                    labels = pod.metadata.labels
                    matching = self.chooses(owner, labels)
                (own if matching else strangers).append(pod)
        keeps = owner.metadata.deletion_timestamp is not None
        return tuple(own), () if keeps else tuple(strangers)

    def _orphans(self, local: State, owner: Owner) -> tuple[Pod, ...]:
        """The cached live pods to adopt."""
        if owner.metadata.deletion_timestamp is not None:
            return NO_PODS
        return tuple(pod for pod in self.reflector(PODS).by(
            local.caches[PODS], "orphans", owner.metadata.namespace or "")
            if is_active(pod) and self.chooses(owner, pod.metadata.labels))

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        if work.at == "look":
            return self._looked(local, work, reply, io)
        if work.at == "claim":
            return self._claimed(local, work, reply, io)
        if work.at == "create":
            return self._created(local, work, reply, io)
        if work.at == "delete":
            return self._deleted(local, work, reply, io)
        return self._status_written(local, work, reply, io)

    def lost(self, local: State, io: Io) -> State:
        """The outcome is unknown: what was still expected of this sync is not waited for."""
        work: Work = local.work
        memory = self._unexpected(local, work)
        return self.retry(local._replace(memory=memory), io)

    def _unexpected(self, local: State, work: Work) -> Expectations:
        memory = local.memory
        if work.at == "create":
            return book.creation_observed(memory, local.key, work.missing)
        if work.at == "delete":
            for pod in work.left:
                memory = book.deletion_observed(memory, local.key, pod.metadata.uid or "")
        return memory

    # -- adoption and release -------------------------------------------------------------------

    def _looked(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        """Adopt only for an owner that still lives: the cache may not know of its deletion yet."""
        if reply.code == 404:
            return self.done(local)
        if reply.code >= 400:
            return self.retry(local, io)
        if not self.may_adopt(work.owner, reply.body):
            return self.retry(local, io)
        return self._claim(local, work._replace(at="claim"), io)

    def may_adopt(self, cached: Owner, live: Owner) -> bool:
        """Whether the live object is the cached one and is not being deleted."""
        return (live.metadata.uid == cached.metadata.uid
                and live.metadata.deletion_timestamp is None)

    def _claim(self, local: State, work: Work, io: Io) -> State:
        if not work.left:
            return self._manage(local, work, None, io)
        pod = work.left[0]
        owners = (released(pod, work.owner) if controller_of(pod.metadata) is not None
                  else adopted(pod, work.owner))
        return self.ask(local, owners_patch(PODS, pod, owners), work, io)

    def _claimed(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        pod = work.left[0]
        pods = work.pods
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        if reply.code < 400 and controller_of(pod.metadata) is None:
            pods = (*pods, reply.body)
        return self._claim(local, work._replace(pods=pods, left=work.left[1:]), io)

    # -- creating and deleting ------------------------------------------------------------------

    def _manage(self, local: State, work: Work, own: tuple[Pod, ...] | None, io: Io) -> State:
        """Decide from what the caches hold now (`own`, when that is known): claiming may have taken
        a while."""
        owner: Owner | None = self.cached(local, self.owners, local.key)
        if owner is None or owner.metadata.uid != work.owner.metadata.uid:
            return self.done(local)
        if own is None:
            own, _ = self._owned(local, owner)
        pods = own
        if work.pods:
            seen = {pod.metadata.uid for pod in own}
            pods = (*own, *(pod for pod in work.pods if pod.metadata.uid not in seen))
        waits_ms = book.waits_ms(local.memory, local.key, io.now)
        if waits_ms:
            # Kubernetes only looks again when something happens; a timer makes sure of it.
            work_queue.add_after(io, local.key, waits_ms)
        manage = waits_ms == 0 and owner.metadata.deletion_timestamp is None
        work = Work("status", owner, pods, manage)
        wish = 0 if owner.spec is None or owner.spec.replicas is None else owner.spec.replicas
        if manage and len(pods) < wish:
            count = min(wish - len(pods), BURST_MAX)
            memory = book.expect_creations(local.memory, local.key, count, io.now)
            return self._create(local._replace(memory=memory),
                                work._replace(at="create", missing=count), io)
        if manage and len(own) > wish:
            chosen = victims.to_delete(own, min(len(own) - wish, BURST_MAX), io.now,
                                       self.siblings(local, owner))
            uids = tuple(pod.metadata.uid or "" for pod in chosen)
            memory = book.expect_deletions(local.memory, local.key, uids, io.now)
            return self._delete(local._replace(memory=memory),
                                work._replace(at="delete", left=chosen), io)
        return self._write_status(local, work, io)

    def _create(self, local: State, work: Work, io: Io) -> State:
        if not work.missing:
            return self._write_status(local, work, io)
        return self.ask(local, create(pod_from(work.owner)), work, io)

    def _created(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code < 400:
            local = self.event(local, work.owner, "Normal", "SuccessfulCreate",
                               f"Created pod: {reply.body.metadata.name}", io)
            return self._create(local, work._replace(missing=work.missing - 1), io)
        local = local._replace(memory=self._unexpected(local, work))
        text = reply.body.message
        local = self.event(local, work.owner, "Warning", "FailedCreate",
                           f"Error creating: {text}", io)
        return self._write_status(local, work._replace(error=("FailedCreate", text)), io)

    def _delete(self, local: State, work: Work, io: Io) -> State:
        if not work.left:
            return self._write_status(local, work, io)
        metadata = work.left[0].metadata
        return self.ask(local, delete(PODS, metadata.namespace or "", metadata.name or "",
                                     uid=metadata.uid),
                        work, io)

    def _deleted(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        pod = work.left[0]
        metadata = pod.metadata
        error = work.error
        if reply.code < 400:
            local = self.event(local, work.owner, "Normal", "SuccessfulDelete",
                               f"Deleted pod: {metadata.name}", io)
        else:
            local = local._replace(memory=book.deletion_observed(local.memory, local.key,
                                                                 metadata.uid or ""))
            if reply.code not in (404, 409):
                text = reply.body.message
                error = error or ("FailedDelete", text)
                local = self.event(local, work.owner, "Warning", "FailedDelete",
                                   f"Error deleting: {text}", io)
        return self._delete(local, work._replace(left=work.left[1:], error=error), io)

    # -- status ---------------------------------------------------------------------------------

    def _write_status(self, local: State, work: Work, io: Io) -> State:
        owner = work.owner
        status, due_ms = status_of(owner, work.pods, work.error, work.manage, io.now)
        work = work._replace(at="status", left=NO_PODS, missing=0)
        if due_ms is not None:
            work_queue.add_after(io, local.key, due_ms)
        if status == owner.status:
            return self._finished(local, work, io)
        return self.ask(local, update_status(with_status(owner, status)), work, io)

    def _status_written(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        return self._finished(local, work, io)

    def _finished(self, local: State, work: Work, io: Io) -> State:
        return self.done(local) if work.error is None else self.retry(local, io)


# -- pods ----------------------------------------------------------------------------------------


def pod_from(owner: Owner) -> Pod:
    """A new pod from the template; the server completes its name."""
    template = None if owner.spec is None else owner.spec.template
    labels = annotations = finalizers = None
    if template is not None and template.metadata is not None:
        _, _, _, _, _, _, _, _, _, labels, annotations, _, finalizers, _ = template.metadata
    metadata = Metadata(generate_name=f"{owner.metadata.name}-", namespace=owner.metadata.namespace,
                        labels=labels, annotations=annotations, finalizers=finalizers,
                        owner_references=(owner_for(owner),))
    return Pod(metadata=metadata, spec=None if template is None else template.spec)


def adopted(pod: Pod, owner: Owner) -> tuple[OwnerReference, ...]:
    """The owners of the pod, with the controller as the controlling one."""
    return (*(pod.metadata.owner_references or ()), owner_for(owner))


def released(pod: Pod, owner: Owner) -> tuple[OwnerReference, ...]:
    """The owners of the pod without the controller."""
    return tuple(each for each in pod.metadata.owner_references or ()
                 if each.uid != owner.metadata.uid)


def status_of(owner: Owner, pods: tuple[Pod, ...], error: tuple[str, str] | None,
              manage: bool, now_ms: int) -> tuple[ReplicaStatus, int | None]:
    """The status that a controller should have, and when a pod becomes available next (in ms)."""
    old = owner.status or ReplicaStatus()
    template = None if owner.spec is None else owner.spec.template
    wanted = None if template is None or template.metadata is None else template.metadata.labels
    settle_ms = 1000 * ((owner.spec and owner.spec.min_ready_seconds) or 0)
    labelled = ready = available = 0
    for pod in pods:
        labelled += set(wanted or ()) <= set(pod.metadata.labels or ())
        left_ms = settling_ms(pod, settle_ms, now_ms)
        ready += left_ms is not None
        available += left_ms == 0
    due_ms = next_available_ms(pods, settle_ms, now_ms) if available < ready else None
    conditions = old.conditions
    if error is not None:
        previous = find(conditions, "ReplicaFailure")
        if previous is None:
            conditions = set_condition(conditions, Condition(
                "ReplicaFailure", "True", error[0], error[1],
                last_transition_time=timestamp(now_ms)))
    elif manage and find(conditions, "ReplicaFailure") is not None:
        conditions = drop_condition(conditions, "ReplicaFailure") or None
    return ReplicaStatus(len(pods), _count(labelled), _count(ready), _count(available),
                         owner.metadata.generation, conditions, old.rest), due_ms


def settling_ms(pod: Pod, settle_ms: int, now_ms: int) -> int | None:
    """How long until a ready pod has been ready for `settle_ms`; None when it is not ready."""
    condition = None if pod.status is None else find(pod.status.conditions, "Ready")
    if condition is None or condition.status != "True":
        return None
    since = condition.last_transition_time
    if settle_ms == 0:
        return 0
    return settle_ms if since is None else max(milliseconds(since) + settle_ms - now_ms, 0)


def next_available_ms(pods: tuple[Pod, ...], settle_ms: int, now_ms: int) -> int | None:
    """When the next of these pods becomes available just by staying ready, None when none does."""
    left = [ms for pod in pods if (ms := settling_ms(pod, settle_ms, now_ms))]
    return min(left, default=None)


def _count(number: int) -> int | None:
    """Counts of zero are left out on the wire, all but `replicas`."""
    return number or None
