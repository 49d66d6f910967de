"""The Deployment controller: a ReplicaSet for each template, and the walk from one to the next.

Source: Kubernetes 1.32, pkg/controller/deployment, and "Deployments" in the documentation. The
arithmetic is `reference_impl.lib.rollout`; here is the machine. One sync: release ReplicaSets that
the selector no longer matches and adopt matching orphans (after a live look at the owner), note a
pause, give the new ReplicaSet its revision, then either level sizes (the wish changed, or paused)
or roll (make the new ReplicaSet, one up, others down, within the strategy's bounds), clean up the
history, and write the status. Every write is one step and carries the version seen, so a sync that
acts on old knowledge ends in a conflict and is tried again.

The controller takes part where the scenario's setting `workloads` is "yes".

Not modelled: the annotation deprecated.deployment.rollback.to (no client of 1.32 writes it; undo is
the client's, who patches the template), the limit on the length of the revision history, and
workers in parallel (one delayed at will shows the same races).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api.conditions import find
from model.api.metadata import Metadata, annotation, controller_of
from model.api.objects import (
    Deployment,
    DeploymentStatus,
    LabelSelector,
    OwnerReference,
    ReplicaSet,
    owner_for,
    pairs,
    with_annotations,
    with_metadata,
    with_status,
)
from model.api.records import Pairs
from model.api.requests import Reply, create, delete, get, update, update_status
from model.api.scenario import Scenario
from model.api.selectors import from_object, matches
from model.kernel.component import Component, Io
from reference_impl.lib import rollout, work_queue
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector, split_key, store_key
from reference_impl.lib.replicas import home, owner_uid
from reference_impl.lib.rollout import Sets, Sizes

DEPLOYMENTS, SETS, PODS = "deployments", "replicasets", "pods"
NO_SETS: Sets = ()
NO_SIZES: Sizes = ()

State = ControllerState[None]


class Work(NamedTuple):
    """Where a sync stands. `at`: which request is in flight (look, claim, pause, annotate, revise,
    create, refuse, scale, clean, status).

    `deployment` and `sets`: as cached when the sync began, then as the answers told. `left`:
    ReplicaSets to claim or to delete, the first of them in flight; `sizes`: sizes still to write,
    the first in flight; `rolls`: this sync rolls out rather than levels; `moved`: it has changed a
    size.
    """

    at: str
    deployment: Deployment
    sets: Sets = NO_SETS
    left: Sets = NO_SETS
    sizes: Sizes = NO_SIZES
    rolls: bool = False
    moved: bool = False


def orphan_namespace(each: ReplicaSet) -> str | None:
    """The namespace of a ReplicaSet that nobody controls."""
    return each.metadata.namespace if controller_of(each.metadata) is None else None


class Deployments(Controller[None]):
    """See the head of this file."""

    name = "controllers/deployment"
    source = "deployment-controller"
    reflectors = (
        Reflector(DEPLOYMENTS, indexes={"namespace": home}),
        Reflector(SETS, indexes={"owner": owner_uid, "orphans": orphan_namespace}),
        Reflector(PODS, indexes={"owner": owner_uid}),
    )
    blank = None

    # -- handlers -------------------------------------------------------------------------------

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == DEPLOYMENTS:
            return (change.key,)
        if lane == PODS:
            return () if change.new is not None else self._left_by(local, change.old)
        old, new = change.old, change.new
        keys: list[str] = []
        for each in (old, new):
            owner = None if each is None else self._owner_key(local, each)
            if owner:
                keys.append(owner)
        if new is not None and controller_of(new.metadata) is None:
            keys.extend(self._suitors(local, new))
        return tuple(dict.fromkeys(keys))

    def _owner_key(self, local: State, each: ReplicaSet) -> str:
        """The key of the cached deployment that owns a ReplicaSet, "" when there is none."""
        owner = controller_of(each.metadata)
        if owner is None or owner.kind != "Deployment":
            return ""
        key = f"{each.metadata.namespace}/{owner.name}"
        found = local.caches[DEPLOYMENTS].store.get(key)
        return key if found is not None and found.metadata.uid == owner.uid else ""

    def _suitors(self, local: State, each: ReplicaSet) -> list[str]:
        """The deployments that would adopt an orphan."""
        if each.metadata.deletion_timestamp is not None:
            return []
        return [store_key(found) for found in self.reflector(DEPLOYMENTS).by(
            local.caches[DEPLOYMENTS], "namespace", each.metadata.namespace or "")
            if chooses(found, each.metadata.labels)]

    def _left_by(self, local: State, pod: Any) -> tuple[str, ...]:
        """A deployment that recreates its pods waits until the last one is gone."""
        owner = controller_of(pod.metadata)
        if owner is None or owner.kind != "ReplicaSet":
            return ()
        each = local.caches[SETS].store.get(f"{pod.metadata.namespace}/{owner.name}")
        if each is None or each.metadata.uid != owner.uid:
            return ()
        key = self._owner_key(local, each)
        found = self.cached(local, DEPLOYMENTS, key) if key else None
        if found is None or rollout.is_rolling(found):
            return ()
        sets = self._owned(local, found)
        return () if any(self._pods_of(local, other) for other in sets) else (key,)

    def _owned(self, local: State, deployment: Deployment) -> Sets:
        """The cached ReplicaSets that the deployment controls."""
        return tuple(self.reflector(SETS).by(local.caches[SETS], "owner",
                                             deployment.metadata.uid or ""))

    def _pods_of(self, local: State, each: ReplicaSet) -> tuple[Any, ...]:
        return tuple(self.reflector(PODS).by(local.caches[PODS], "owner", each.metadata.uid or ""))

    # -- the sync: whose ReplicaSets ------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        deployment: Deployment | None = self.cached(local, DEPLOYMENTS, key)
        io.cancel(work_queue.LATER + key)  # this sync says whether to look again
        if deployment is None:
            return self.done(local)
        if rollout.spec_of(deployment).selector == LabelSelector():
            return self._selects_all(local, deployment, io)
        owned = self._owned(local, deployment)
        work = Work("claim", deployment, owned)
        if deployment.metadata.deletion_timestamp is not None:
            return self._revise(local, work, io)
        strangers = tuple(each for each in owned
                          if not chooses(deployment, each.metadata.labels))
        orphans = tuple(each for each in self.reflector(SETS).by(
            local.caches[SETS], "orphans", deployment.metadata.namespace or "")
            if each.metadata.deletion_timestamp is None
            and chooses(deployment, each.metadata.labels))
        work = work._replace(sets=tuple(each for each in owned if each not in strangers),
                             left=(*strangers, *orphans))
        if orphans:
            return self.ask(local, get(DEPLOYMENTS, *split_key(key)), work._replace(at="look"), io)
        return self._claim(local, work, io)

    def _selects_all(self, local: State, deployment: Deployment, io: Io) -> State:
        local = self.event(local, deployment, "Warning", "SelectingAll",
                           "This deployment is selecting all pods. A non-empty selector is "
                           "required.", io)
        status = deployment.status or DeploymentStatus()
        if (status.observed_generation or 0) >= (deployment.metadata.generation or 0):
            return self.done(local)
        seen = status._replace(observed_generation=deployment.metadata.generation)
        return self.ask(local, update_status(with_status(deployment, seen)),
                        Work("status", deployment), io)

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        after: dict[str, Callable[[State, Work, Reply, Io], State]] = {
            "look": self._looked, "claim": self._claimed, "pause": self._paused,
            "annotate": self._annotated, "revise": self._revised, "create": self._created,
            "scale": self._scaled, "clean": self._cleaned}
        work: Work = local.work
        answered = after.get(work.at)
        if answered is not None:
            return answered(local, work, reply, io)
        if work.at == "refuse":
            return self.retry(local, io)
        return self.settle(local, reply, io)

    def _looked(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        """Adopt only for an owner that still lives: the cache may not know of its deletion yet."""
        if reply.code == 404:
            return self.done(local)
        if reply.code >= 400 or reply.body.metadata.uid != work.deployment.metadata.uid or (
                reply.body.metadata.deletion_timestamp is not None):
            return self.retry(local, io)
        return self._claim(local, work._replace(at="claim"), io)

    def _claim(self, local: State, work: Work, io: Io) -> State:
        if not work.left:
            return self._pause(local, work, io)
        each = work.left[0]
        changed = (released(each, work.deployment) if controller_of(each.metadata) is not None
                   else adopted(each, work.deployment))
        return self.ask(local, update(changed), work, io)

    def _claimed(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        sets = work.sets
        if reply.code < 400 and controller_of(reply.body.metadata) is not None:
            sets = (*sets, reply.body)
        return self._claim(local, work._replace(sets=sets, left=work.left[1:]), io)

    # -- the sync: pause and revision -----------------------------------------------------------

    def _pause(self, local: State, work: Work, io: Io) -> State:
        """Tell that progress stands still while paused, and that it goes on afterwards."""
        deployment = work.deployment
        status = deployment.status or DeploymentStatus()
        found = find(status.conditions, rollout.PROGRESSING)
        paused = bool(rollout.spec_of(deployment).paused)
        told = found is not None and found.reason == rollout.PAUSED
        timed_out = found is not None and found.reason == rollout.TIMED_OUT
        if not rollout.has_deadline(deployment) or timed_out or paused == told:
            return self._revise(local, work, io)
        reason, text = ((rollout.PAUSED, "Deployment is paused") if paused
                        else (rollout.RESUMED, "Deployment is resumed"))
        noted = rollout.set_condition(status, rollout.condition(
            rollout.PROGRESSING, "Unknown", reason, text, io.now))
        return self.ask(local, update_status(with_status(deployment, noted)),
                        work._replace(at="pause"), io)

    def _paused(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400:
            return self.settle(local, reply, io)
        return self._revise(local, work._replace(deployment=reply.body), io)

    def _revise(self, local: State, work: Work, io: Io) -> State:
        """The new ReplicaSet, if there is one, has the highest revision and the deployment's
        annotations; the deployment tells the revision and that the ReplicaSet was found."""
        deployment, sets = work.deployment, work.sets
        new = rollout.find_new(deployment, sets)
        if new is None:
            return self._steer(local, work, io)
        old = rollout.others(sets, new)
        highest = 1 + max(map(rollout.revision_of, old), default=0)
        marked = rollout.with_revision(deployment, new, highest)
        ready = rollout.spec_of(deployment).min_ready_seconds
        if marked.spec is not None and (marked.spec.min_ready_seconds or 0) != (ready or 0):
            marked = marked._replace(spec=marked.spec._replace(min_ready_seconds=ready))
        if marked is not new:
            return self.ask(local, update(marked), work._replace(at="annotate"), io)
        return self._tell(local, work, io, annotation(new.metadata, rollout.REVISION),
                          "FoundNewReplicaSet", f'Found new replica set "{new.metadata.name}"')

    def _tell(self, local: State, work: Work, io: Io, revision: str | None, reason: str,
              text: str) -> State:
        """Write the revision, and the first condition Progressing, where they are not told yet."""
        deployment = work.deployment
        told = revised(deployment, revision)
        status = told.status or DeploymentStatus()
        if rollout.has_deadline(deployment) and (
                reason == "NewReplicaSetCreated"
                or find(status.conditions, rollout.PROGRESSING) is None):
            status = rollout.set_condition(status, rollout.condition(
                rollout.PROGRESSING, "True", reason, text, io.now))
            told = with_status(told, status)
        if told == deployment:
            return self._steer(local, work, io)
        return self.ask(local, update_status(told), work._replace(at="revise"), io)

    def _annotated(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400:
            return self.retry(local, io)
        return self._revise(local, work._replace(sets=replaced(work.sets, reply.body)), io)

    def _revised(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400:
            return self.settle(local, reply, io)
        return self._steer(local, work._replace(deployment=reply.body), io)

    # -- the sync: sizes ------------------------------------------------------------------------

    def _steer(self, local: State, work: Work, io: Io) -> State:
        """Level the sizes, roll out, or only tell the status."""
        deployment, sets = work.deployment, work.sets
        if deployment.metadata.deletion_timestamp is not None:
            return self._write_status(local, work, io)
        new = rollout.find_new(deployment, sets)
        old = rollout.others(sets, new)
        if rollout.spec_of(deployment).paused or rollout.is_scaling(deployment, sets):
            sizes = rollout.level(deployment, new, old)
            return self._scale(local, work._replace(sizes=sizes), io)
        work = work._replace(rolls=True)
        if rollout.is_rolling(deployment):
            if new is None:
                return self._make(local, work, io)
            sizes = rollout.scale_up(deployment, new, sets) or (
                rollout.scale_down(deployment, new, old))
            return self._scale(local, work._replace(sizes=sizes), io)
        leaving = tuple((each.metadata.name or "", 0) for each in rollout.active(old))
        if leaving:
            return self._scale(local, work._replace(sizes=leaving), io)
        if self.pods_remain(local, old):
            return self._write_status(local, work, io)
        if new is None:
            return self._make(local, work, io)
        sizes = rollout.scale_up(deployment, new, sets)
        return self._scale(local, work._replace(sizes=sizes), io)

    def pods_remain(self, local: State, old: Sets) -> bool:
        """Whether pods of an earlier template may still run: those that terminate count too."""
        if any(rollout.actual_of(each) for each in old):
            return True
        return any(pod.status is None or pod.status.phase not in ("Failed", "Succeeded")
                   for each in old for pod in self._pods_of(local, each))

    def _make(self, local: State, work: Work, io: Io) -> State:
        made = rollout.new_set(work.deployment, work.sets)
        return self.ask(local, create(made), work._replace(at="create", left=(made,)), io)

    def _created(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        made, deployment = work.left[0], work.deployment
        if reply.code >= 400:
            return self._not_created(local, work, made, reply, io)
        made = reply.body
        work = work._replace(sets=(*work.sets, made), left=NO_SETS)
        size = rollout.size_of(made)
        if size:
            local = self.event(local, deployment, "Normal", "ScalingReplicaSet",
                               f"Scaled up replica set {made.metadata.name} from 0 to {size}", io)
        return self._tell(local, work, io, annotation(made.metadata, rollout.REVISION),
                          "NewReplicaSetCreated",
                          f'Created new replica set "{made.metadata.name}"')

    def _not_created(self, local: State, work: Work, made: ReplicaSet, reply: Reply,
                     io: Io) -> State:
        """The name is taken, by our own ReplicaSet (then go on later) or by another (then the next
        hash is another one); or the server refuses."""
        deployment, text = work.deployment, reply.body.message
        status = deployment.status or DeploymentStatus()
        if reply.body.reason == "AlreadyExists":
            found: ReplicaSet | None = self.cached(local, SETS, store_key(made))
            if found is None or (owner_uid(found) == deployment.metadata.uid
                                 and rollout.find_new(deployment, (found,)) is not None):
                return self.retry(local, io)
            status = status._replace(collision_count=(status.collision_count or 0) + 1)
        elif any(cause.reason == "NamespaceTerminating" for cause in reply.body.causes):
            return self.retry(local, io)
        else:
            text = f'Failed to create new replica set "{made.metadata.name}": {text}'
            local = self.event(local, deployment, "Warning", "ReplicaSetCreateError", text, io)
            if rollout.has_deadline(deployment):
                status = rollout.set_condition(status, rollout.condition(
                    rollout.PROGRESSING, "False", "ReplicaSetCreateError", text, io.now))
        if status == deployment.status:
            return self.retry(local, io)
        return self.ask(local, update_status(with_status(deployment, status)),
                        work._replace(at="refuse"), io)

    def _scale(self, local: State, work: Work, io: Io) -> State:
        """Write the next size, if there is one."""
        sizes = work.sizes
        while sizes:
            name, size = sizes[0]
            each = next(each for each in work.sets if each.metadata.name == name)
            wanted = rollout.sized(each, work.deployment, size)
            if wanted is not each:
                return self.ask(local, update(wanted), work._replace(at="scale", sizes=sizes), io)
            sizes = sizes[1:]
        return self._clean_up(local, work._replace(sizes=NO_SIZES), io)

    def _scaled(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400:
            return self.retry(local, io)
        name, size = work.sizes[0]
        before = next(rollout.size_of(each) for each in work.sets if each.metadata.name == name)
        if before != size:
            way = "up" if size > before else "down"
            local = self.event(local, work.deployment, "Normal", "ScalingReplicaSet",
                               f"Scaled {way} replica set {name} from {before} to {size}", io)
        work = work._replace(sets=replaced(work.sets, reply.body), sizes=work.sizes[1:],
                             moved=work.moved or before != size)
        return self._scale(local, work, io)

    # -- the sync: history and status -----------------------------------------------------------

    def _clean_up(self, local: State, work: Work, io: Io) -> State:
        """Delete what the history limit gives up: while paused, and when a rollout is complete."""
        deployment = work.deployment
        if work.rolls:
            status = deployment.status or DeploymentStatus()
            due = not work.moved and rollout.is_complete(deployment, status)
        else:
            due = bool(rollout.spec_of(deployment).paused)
        if not due:
            return self._write_status(local, work, io)
        old = rollout.others(work.sets, rollout.find_new(deployment, work.sets))
        return self._clean(local, work._replace(left=rollout.expendable(deployment, old)), io)

    def _clean(self, local: State, work: Work, io: Io) -> State:
        if not work.left:
            return self._write_status(local, work, io)
        metadata = work.left[0].metadata
        return self.ask(local, delete(SETS, metadata.namespace or "", metadata.name or ""),
                        work._replace(at="clean"), io)

    def _cleaned(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        if reply.code >= 400 and reply.code != 404:
            return self.retry(local, io)
        return self._clean(local, work._replace(left=work.left[1:]), io)

    def _write_status(self, local: State, work: Work, io: Io) -> State:
        deployment, sets = work.deployment, work.sets
        new = rollout.find_new(deployment, sets)
        status = rollout.counted(deployment, sets, new, io.now)
        if work.rolls:
            status = rollout.progressed(deployment, status, sets, new, io.now)
        if status != deployment.status:
            return self.ask(local, update_status(with_status(deployment, status)),
                            work._replace(at="status"), io)
        if work.rolls:
            self._look_again(local, deployment, status, io)
        return self.done(local)

    def _look_again(self, local: State, deployment: Deployment, status: DeploymentStatus,
                    io: Io) -> None:
        """A rollout that stands still is looked at when its deadline has passed."""
        found = find(status.conditions, rollout.PROGRESSING)
        if found is None or found.reason == rollout.TIMED_OUT or (
                not rollout.has_deadline(deployment)
                or rollout.is_complete(deployment, status)):
            return
        left_ms = rollout.deadline_in_ms(deployment, found, io.now)
        work_queue.add_after(io, local.key, max(left_ms, 0) + 1000)


# -- objects -------------------------------------------------------------------------------------


def chooses(deployment: Deployment, labels: Pairs | None) -> bool:
    """Whether the deployment's selector matches these labels."""
    selector = rollout.spec_of(deployment).selector
    return bool(selector) and matches(from_object(selector), labels)


def adopted(each: ReplicaSet, deployment: Deployment) -> ReplicaSet:
    """The ReplicaSet with the deployment as its controlling owner."""
    owners = (*(each.metadata.owner_references or ()), owner_for(deployment))
    return with_metadata(each, each.metadata._replace(owner_references=owners))


def released(each: ReplicaSet, deployment: Deployment) -> ReplicaSet:
    """The ReplicaSet without the deployment among its owners."""
    owners: tuple[OwnerReference, ...] = tuple(
        owner for owner in each.metadata.owner_references or ()
        if owner.uid != deployment.metadata.uid)
    metadata: Metadata = each.metadata._replace(owner_references=owners or None)
    return with_metadata(each, metadata)


def replaced(sets: Sets, fresh: ReplicaSet) -> Sets:
    """The ReplicaSets with one of them in its new state."""
    return tuple(fresh if each.metadata.uid == fresh.metadata.uid else each for each in sets)


def revised(deployment: Deployment, revision: str | None) -> Deployment:
    """The deployment with its revision told."""
    if revision is None or annotation(deployment.metadata, rollout.REVISION) == revision:
        return deployment
    held = dict(deployment.metadata.annotations or ())
    return with_annotations(deployment, pairs({**held, rollout.REVISION: revision}))


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The Deployment controller, where the controllers of workloads run."""
    return (Deployments(),) if scenario.workloads else ()
