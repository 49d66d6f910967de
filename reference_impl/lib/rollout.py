"""The arithmetic of Deployments: sizes, shares, revisions, template hashes, conditions.

Pure functions of objects. Source: Kubernetes 1.32, pkg/controller/deployment/util, and
"Deployments" in the documentation. Sizes are `spec.replicas`, what a ReplicaSet is asked to have;
availability is `status.availableReplicas`, what it was last seen to have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from model.api.conditions import drop_condition, find
from model.api.metadata import EMPTY_METADATA, Condition, LabelSelector, Metadata, annotation
from model.api.objects import (
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    PodTemplateSpec,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaStatus,
    milliseconds,
    owner_for,
    pairs,
    put,
    timestamp,
    with_annotations,
    with_spec,
    write,
)
from model.api.records import IntOrString
from reference_impl.lib.template_hash import template_hash

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
NOT_COPIED = frozenset(("kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY,
                        DESIRED, MOST, "deprecated.deployment.rollback.to"))
NO_LIMIT = 2**31 - 1
"""This deadline, or this history limit, means none at all."""
PROGRESSING, AVAILABLE, FAILURE = "Progressing", "Available", "ReplicaFailure"
TIMED_OUT = "ProgressDeadlineExceeded"
COMPLETE = "NewReplicaSetAvailable"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"

Sets = tuple[ReplicaSet, ...]
Sizes = tuple[tuple[str, int], ...]
"""Sizes to write: (name of the ReplicaSet, size), in order. One may occur twice."""


# ---- reading objects ---------------------------------------------------------------------------


def spec_of(deployment: Deployment) -> DeploymentSpec:
    """The spec, never None."""
    return deployment.spec or DeploymentSpec()


def wish_of(deployment: Deployment) -> int:
    """How many pods the deployment wishes."""
    replicas = spec_of(deployment).replicas
    return 1 if replicas is None else replicas


def size_of(each: ReplicaSet) -> int:
    """How many pods a ReplicaSet is asked to have."""
    return (each.spec.replicas if each.spec is not None else None) or 0


def available_of(each: ReplicaSet) -> int:
    """How many of its pods are available, as its status says."""
    return (each.status.available_replicas if each.status is not None else None) or 0


def actual_of(each: ReplicaSet) -> int:
    """How many pods it has, as its status says."""
    return (each.status.replicas if each.status is not None else None) or 0


def ready_of(each: ReplicaSet) -> int:
    """How many of its pods are ready, as its status says."""
    return (each.status.ready_replicas if each.status is not None else None) or 0


def active(sets: Iterable[ReplicaSet]) -> Sets:
    """Those that are asked to have pods."""
    return tuple(each for each in sets if size_of(each) > 0)


def oldest_first(sets: Iterable[ReplicaSet]) -> Sets:
    """By creation, then by name."""
    return tuple(sorted(sets, key=lambda each: (each.metadata.creation_timestamp or "",
                                                each.metadata.name or "")))


def revision_of(obj: ReplicaSet | Deployment) -> int:
    """The revision that an annotation tells; 0 when there is none."""
    return _number(annotation(obj.metadata, REVISION)) or 0


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def is_rolling(deployment: Deployment) -> bool:
    """Whether the strategy is RollingUpdate."""
    strategy = spec_of(deployment).strategy
    return strategy is None or strategy.type in (None, "RollingUpdate")


# ---- bounds of a rolling update ----------------------------------------------------------------


def scaled(value: IntOrString | None, of: int, up: bool) -> int:
    """A number, or a percentage of `of`, rounded up or down; 0 when it is absent or unreadable."""
    if isinstance(value, int):
        return value
    if value is None or not value.endswith("%"):
        return 0
    share = (_number(value[:-1]) or 0) * of
    return math.ceil(share / 100) if up else share // 100


def bounds(deployment: Deployment) -> tuple[int, int]:
    """(most surplus, most unavailable) of a rolling update; (0, 0) of any other.

    Surplus is rounded up, unavailability down; where both come out as 0 one pod may be unavailable,
    since nothing could move otherwise.
    """
    strategy = spec_of(deployment).strategy
    if strategy is None or not is_rolling(deployment) or strategy.rolling_update is None:
        return 0, 0
    wish = wish_of(deployment)
    surge = scaled(strategy.rolling_update.max_surge, wish, True)
    slack = scaled(strategy.rolling_update.max_unavailable, wish, False)
    if surge == 0 and slack == 0:
        slack = 1
    return surge, min(slack, wish)


def least_available(deployment: Deployment) -> int:
    """How many pods must stay available while it rolls."""
    return wish_of(deployment) - bounds(deployment)[1]


def new_size(deployment: Deployment, sets: Sets, new: ReplicaSet) -> int:
    """The size that the new ReplicaSet may have now."""
    wish = wish_of(deployment)
    if not is_rolling(deployment):
        return wish
    room = wish + bounds(deployment)[0] - sum(map(size_of, sets))
    if room <= 0:
        return size_of(new)
    return size_of(new) + min(room, wish - size_of(new))


# ---- which ReplicaSet is which -----------------------------------------------------------------


def plain_template(template: PodTemplateSpec | None) -> PodTemplateSpec:
    """A template without its hash and without what a template's metadata cannot mean."""
    template = template or PodTemplateSpec()
    metadata = template.metadata or EMPTY_METADATA
    labels = tuple(pair for pair in metadata.labels or () if pair[0] != HASH_LABEL)
    bare = Metadata(labels=labels or None, annotations=metadata.annotations or None)
    return put(template, "metadata", bare)


def find_new(deployment: Deployment, sets: Sets) -> ReplicaSet | None:
    """The oldest ReplicaSet that has the deployment's template, hash aside."""
    wanted = plain_template(spec_of(deployment).template)
    for each in oldest_first(sets):
        if each.spec is not None and plain_template(each.spec.template) == wanted:
            return each
    return None


def others(sets: Sets, new: ReplicaSet | None) -> Sets:
    """All but the new one."""
    return tuple(each for each in sets
                 if new is None or each.metadata.uid != new.metadata.uid)


def new_set(deployment: Deployment, old: Sets) -> ReplicaSet:
    """The ReplicaSet of the deployment's template, with the size that it may begin with."""
    spec = spec_of(deployment)
    suffix = template_hash(write(plain_template(spec.template)),
                           (deployment.status or DeploymentStatus()).collision_count)
    template = spec.template or PodTemplateSpec()
    metadata = template.metadata or EMPTY_METADATA
    labels = pairs({**dict(metadata.labels or ()), HASH_LABEL: suffix})
    selector = spec.selector or LabelSelector()
    chosen = put(selector, "match_labels",
                 pairs({**dict(selector.match_labels or ()), HASH_LABEL: suffix}))
    fresh = ReplicaSet(
        metadata=Metadata(name=f"{deployment.metadata.name}-{suffix}",
                          namespace=deployment.metadata.namespace, labels=labels,
                          owner_references=(owner_for(deployment),)),
        spec=ReplicaSetSpec(0, spec.min_ready_seconds, chosen,
                            put(template, "metadata", put(metadata, "labels", labels))))
    size = new_size(deployment, (*old, fresh), fresh)
    revised = with_revision(deployment, fresh, 1 + max(map(revision_of, old), default=0))
    return sized(revised, deployment, size)


# ---- annotations -------------------------------------------------------------------------------


def annotated(obj: ReplicaSet, changes: dict[str, str]) -> ReplicaSet:
    """The ReplicaSet with some annotations set; itself when it has them."""
    held = dict(obj.metadata.annotations or ())
    if all(held.get(key) == value for key, value in changes.items()):
        return obj
    return with_annotations(obj, pairs({**held, **changes}))


def with_revision(deployment: Deployment, each: ReplicaSet, revision: int) -> ReplicaSet:
    """The new ReplicaSet with the deployment's annotations and at least this revision.

    One that had an earlier revision is being rolled back to: that is kept as its history.
    """
    changes = {key: value for key, value in deployment.metadata.annotations or ()
               if key not in NOT_COPIED}
    before = annotation(each.metadata, REVISION)
    if revision_of(each) < revision and (before is None or _number(before) is not None):
        changes[REVISION] = str(revision)
        if before is not None:
            history = annotation(each.metadata, HISTORY)
            changes[HISTORY] = f"{history},{before}" if history else before
    return annotated(each, changes)


def sized(each: ReplicaSet, deployment: Deployment, size: int) -> ReplicaSet:
    """The ReplicaSet with this size, and with the bounds under which it was given."""
    wish = wish_of(deployment)
    marked = annotated(each, {DESIRED: str(wish), MOST: str(wish + bounds(deployment)[0])})
    spec = each.spec or ReplicaSetSpec()
    return marked if spec.replicas == size else with_spec(marked, put(spec, "replicas", size))


# ---- which sizes to write ----------------------------------------------------------------------


def is_scaling(deployment: Deployment, sets: Sets) -> bool:
    """Whether the wish changed since a ReplicaSet with pods was last sized."""
    wish = wish_of(deployment)
    told = (_number(annotation(each.metadata, DESIRED)) for each in active(sets))
    return any(number is not None and number != wish for number in told)


def level(deployment: Deployment, new: ReplicaSet | None, old: Sets) -> Sizes:
    """The sizes after a change of the wish, or while paused."""
    wish = wish_of(deployment)
    living = active((*old, *(() if new is None else (new,))))
    if len(living) <= 1:
        newest = (new,) if new is not None else oldest_first(old)[-1:]
        return _changed((each, wish) for each in living or newest)
    if new is not None and is_saturated(deployment, new):
        return _changed((each, 0) for each in active(old))
    if not is_rolling(deployment):
        return ()
    return proportional(deployment, living)


def is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    """Whether the new ReplicaSet has all pods that are wished, and they are available."""
    wish = wish_of(deployment)
    return (size_of(new) == wish and available_of(new) == wish
            and _number(annotation(new.metadata, DESIRED)) == wish)


def proportional(deployment: Deployment, living: Sets) -> Sizes:
    """Spread a change of the wish over all ReplicaSets with pods, by their share.

    Shares are those of the moment when each was last sized (its annotation), so that a run that was
    interrupted half-way goes on where it stopped. The largest takes what rounding leaves over.
    """
    wish = wish_of(deployment)
    allowed = wish + bounds(deployment)[0] if wish > 0 else 0
    to_add = allowed - sum(map(size_of, living))
    by_age = oldest_first(living)
    ordered = sorted(reversed(by_age) if to_add > 0 else by_age, key=lambda each: -size_of(each))
    added, shares = 0, []
    for each in ordered:
        share = share_of(deployment, each)
        left = to_add - added
        share = 0 if left == 0 else min(share, left) if to_add > 0 else max(share, left)
        added += share
        shares.append(size_of(each) + share)
    if to_add:
        shares[0] = max(shares[0] + to_add - added, 0)
    return tuple((each.metadata.name or "", size)
                 for each, size in zip(ordered, shares, strict=True))


def share_of(deployment: Deployment, each: ReplicaSet) -> int:
    """How much a ReplicaSet would grow or shrink to keep its share."""
    size, wish = size_of(each), wish_of(deployment)
    if wish == 0:
        return -size
    before = _number(annotation(each.metadata, MOST)) or (
        (deployment.status or DeploymentStatus()).replicas)
    if not before:
        return 0
    return (2 * size * (wish + bounds(deployment)[0]) + before) // (2 * before) - size


def scale_up(deployment: Deployment, new: ReplicaSet, sets: Sets) -> Sizes:
    """The new ReplicaSet's next size in a rolling update."""
    wish = wish_of(deployment)
    return _changed([(new, wish if size_of(new) > wish else new_size(deployment, sets, new))])


def scale_down(deployment: Deployment, new: ReplicaSet, old: Sets) -> Sizes:
    """The old ReplicaSets' next sizes in a rolling update: unavailable pods first, then as many
    available ones as may go.

    A status may still count pods that the size has given up; those are not relied on. (Kubernetes
    fails the sync there and tries it again.)
    """
    living = oldest_first(active(old))
    least = least_available(deployment)
    most = sum(map(size_of, (*living, new))) - least - (size_of(new) - reliable(new))
    if not living or most <= 0:
        return ()
    sizes = {each.metadata.name or "": size_of(each) for each in living}
    writes: list[tuple[str, int]] = []
    cleaned = 0
    for each in living:
        surplus = min(most - cleaned, size_of(each) - reliable(each))
        if surplus > 0:
            sizes[each.metadata.name or ""] -= surplus
            cleaned += surplus
            writes.append((each.metadata.name or "", sizes[each.metadata.name or ""]))
    spare = sum(map(reliable, (*living, new))) - least
    for each in living:
        name = each.metadata.name or ""
        down = min(sizes[name], spare)
        if down > 0:
            sizes[name] -= down
            spare -= down
            writes.append((name, sizes[name]))
    return tuple(writes)


def reliable(each: ReplicaSet) -> int:
    """How many of its available pods a ReplicaSet keeps: no more than its size."""
    return min(available_of(each), size_of(each))


def _changed(wanted: Iterable[tuple[ReplicaSet, int]]) -> Sizes:
    return tuple((each.metadata.name or "", size) for each, size in wanted
                 if size_of(each) != size)


def expendable(deployment: Deployment, old: Sets) -> Sets:
    """The old ReplicaSets beyond the history limit that have no pods, lowest revision first."""
    limit = spec_of(deployment).revision_history_limit
    if limit is None or limit == NO_LIMIT:
        return ()
    alive = [each for each in old if each.metadata.deletion_timestamp is None]
    alive.sort(key=lambda each: (revision_of(each), each.metadata.creation_timestamp or "",
                                 each.metadata.name or ""))
    return tuple(each for each in alive[:max(len(alive) - limit, 0)]
                 if size_of(each) == 0 and actual_of(each) == 0 and was_observed(each))


def was_observed(each: ReplicaSet) -> bool:
    """Whether the status tells of the present spec."""
    seen = (each.status or ReplicaStatus()).observed_generation or 0
    return (each.metadata.generation or 0) <= seen


# ---- conditions and status ---------------------------------------------------------------------


def has_deadline(deployment: Deployment) -> bool:
    """Whether lack of progress is to be reported."""
    return spec_of(deployment).progress_deadline_seconds not in (None, NO_LIMIT)


def condition(type_: str, status: str, reason: str, message: str, now_ms: int) -> Condition:
    """A new condition of a deployment."""
    moment = timestamp(now_ms)
    return Condition(type_, status, reason, message, last_update_time=moment,
                     last_transition_time=moment)


def set_condition(status: DeploymentStatus, new: Condition) -> DeploymentStatus:
    """The status with a condition, unless it is there with the same status and reason."""
    old = find(status.conditions, new.type or "")
    if old is not None and old.status == new.status:
        if old.reason == new.reason:
            return status
        new = new._replace(last_transition_time=old.last_transition_time)
    return status._replace(conditions=(*drop_condition(status.conditions, new.type or ""), new))


def without(status: DeploymentStatus, type_: str) -> DeploymentStatus:
    """The status without a condition."""
    return status._replace(conditions=drop_condition(status.conditions, type_) or None)


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all pods are new and available, and no other pods are left."""
    wish = wish_of(deployment)
    return ((status.updated_replicas or 0) == wish and (status.replicas or 0) == wish
            and (status.available_replicas or 0) == wish
            and (status.observed_generation or 0) >= (deployment.metadata.generation or 0))


def counted(deployment: Deployment, sets: Sets, new: ReplicaSet | None,
            now_ms: int) -> DeploymentStatus:
    """The counts of a status, and its condition Available."""
    old = deployment.status or DeploymentStatus()
    available = sum(map(available_of, sets))
    lacking = max(sum(map(size_of, sets)) - available, 0)
    status = DeploymentStatus(
        deployment.metadata.generation, sum(map(actual_of, sets)) or None,
        (0 if new is None else actual_of(new)) or None, sum(map(ready_of, sets)) or None,
        available or None, lacking or None, old.conditions, old.collision_count, old.rest)
    return set_condition(status, condition(
        AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.",
        now_ms) if available >= least_available(deployment) else condition(
        AVAILABLE, "False", "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.", now_ms))


def progressed(deployment: Deployment, status: DeploymentStatus, sets: Sets,
               new: ReplicaSet | None, now_ms: int) -> DeploymentStatus:
    """A counted status with the conditions of a rollout: progress and failures."""
    if not has_deadline(deployment):
        status = without(status, PROGRESSING)
    current = find((deployment.status or DeploymentStatus()).conditions, PROGRESSING)
    rests = (status.replicas == status.updated_replicas and current is not None
             and current.reason == COMPLETE)
    if has_deadline(deployment) and not rests:
        status = _progress(deployment, status, current, new, now_ms)
    failed = [each for part in (() if new is None else (new,), sets) for each in part
              if each.status is not None and find(each.status.conditions, FAILURE) is not None]
    if not failed or failed[0].status is None:
        return without(status, FAILURE)
    found = find(failed[0].status.conditions, FAILURE) or Condition()
    return set_condition(status, Condition(
        FAILURE, found.status, found.reason, found.message,
        last_update_time=found.last_transition_time,
        last_transition_time=found.last_transition_time))


def _progress(deployment: Deployment, status: DeploymentStatus, current: Condition | None,
              new: ReplicaSet | None, now_ms: int) -> DeploymentStatus:
    who = (f'Deployment "{deployment.metadata.name}"' if new is None
           else f'ReplicaSet "{new.metadata.name}"')
    if is_complete(deployment, status):
        return set_condition(status, condition(
            PROGRESSING, "True", COMPLETE, f"{who} has successfully progressed.", now_ms))
    if moved_on(deployment.status or DeploymentStatus(), status):
        made = condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{who} is progressing.", now_ms)
        if current is not None and current.status == "True":
            made = made._replace(last_transition_time=current.last_transition_time)
        return set_condition(without(status, PROGRESSING), made)
    if has_timed_out(deployment, status, now_ms):
        return set_condition(status, condition(
            PROGRESSING, "False", TIMED_OUT, f"{who} has timed out progressing.", now_ms))
    return status


def moved_on(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    """Whether a rollout came further: more new pods, fewer old ones, more ready or available."""
    return ((new.updated_replicas or 0) > (old.updated_replicas or 0)
            or _outdated(new) < _outdated(old)
            or (new.ready_replicas or 0) > (old.ready_replicas or 0)
            or (new.available_replicas or 0) > (old.available_replicas or 0))


def _outdated(status: DeploymentStatus) -> int:
    return (status.replicas or 0) - (status.updated_replicas or 0)


def has_timed_out(deployment: Deployment, status: DeploymentStatus, now_ms: int) -> bool:
    """Whether the deadline has passed since the last progress."""
    found = find(status.conditions, PROGRESSING)
    if found is None or found.reason == COMPLETE:
        return False
    return found.reason == TIMED_OUT or deadline_in_ms(deployment, found, now_ms) < 0


def deadline_in_ms(deployment: Deployment, found: Condition, now_ms: int) -> int:
    """How long the rollout may still stand without progress."""
    since = milliseconds(found.last_update_time) if found.last_update_time else now_ms
    return since + 1000 * (spec_of(deployment).progress_deadline_seconds or 0) - now_ms
