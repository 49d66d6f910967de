"""Stage three to four: writes as machines with explicit program points.

A write goes through these points, each one transaction of etcd, hence one step:

    lookup   read an object that admission needs and the cache lacks
    read     read the live object, because the cached one does not permit an answer
    work     change another object first (take an address, charge a quota)
    write    create, replace or remove the object, if it is still the one that was read
    back     give back what was taken (a failed request, or after a removal)

Optimistic concurrency: the first attempt stands on the cached object; when etcd has another
version, or when the attempt was refused on the word of the cache, the live object decides.
Source: Kubernetes API conventions ("Concurrency Control and Consistency").
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.objects import (
    Generic,
    Metadata,
    put,
    timestamp,
    with_metadata,
    with_resource_version,
)
from model.api.requests import (
    ObjectList,
    Patch,
    Reply,
    Status,
    already_exists,
    conflict,
    invalid,
    lookup,
    not_found,
    refused,
    success,
)
from model.api.resources import Resource
from model.api.schema import Shape
from model.api.storage import Range, RangeReply, TxnReply
from model.kernel.component import Io
from model.kernel.values import EMPTY
from reference_impl.apiserver import storage
from reference_impl.apiserver.access import admission, escalation
from reference_impl.apiserver.access.admission import namespace_lifecycle, resource_quota
from reference_impl.apiserver.access.admission.attributes import (
    CREATE,
    DELETE,
    UPDATE,
    Attributes,
    LookUp,
    WaitFor,
)
from reference_impl.apiserver.access.authentication import OUTSIDE
from reference_impl.apiserver.registry import (
    allocators,
    custom,
    deletion,
    eviction,
    field_management,
    patching,
    strategies,
    transforms,
    validation,
    warnings,
)
from reference_impl.apiserver.registry.allocators import Limits, RangeAllocation, Work
from reference_impl.apiserver.registry.defaulting import defaulted
from reference_impl.apiserver.registry.deletion import REMOVE
from reference_impl.apiserver.registry.field_management import Author
from reference_impl.apiserver.registry.names import TRIES_MAX, entropy, suffix_from, uid_from
from reference_impl.apiserver.state import NO_CLIENT, Parked, Pending, State, with_pending
from reference_impl.apiserver.storage import resource_named, storage_key

ACCOUNT_WAIT_MS = 10_000
CONFLICT_TRIES_MAX = 50
CREATED_BY_UPDATE = frozenset(("endpoints", "services", "events", "limitranges", "leases", "roles",
                               "rolebindings", "clusterroles", "clusterrolebindings"))
STATUS_REPLIES = frozenset((
    "limitranges", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "leases",
    "endpoints", "configmaps", "secrets", "nodes", "replicationcontrollers", "replicasets",
    "deployments", "poddisruptionbudgets", "events", "daemonsets", "statefulsets", "jobs",
    "cronjobs", "ingresses", "networkpolicies", "horizontalpodautoscalers", "priorityclasses",
    "endpointslices", "controllerrevisions", "ingressclasses", "runtimeclasses",
    "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations"))
"""Resources whose removal is answered by a Status; the others answer with the object."""


class Config(NamedTuple):
    """What an administrator chooses when the server starts."""

    seed: int = 0
    release: tuple[int, int] = (1, 32)
    limits: Limits = Limits("10.96.0.0/16", (30000, 32767))
    plugins: frozenset[str] = frozenset(admission.NAMES) - admission.OFF_BY_DEFAULT
    window: int = 100
    advertised: str = ""
    """The server's own address, which its Service leads to; none where that is not simulated."""
    tracks_fields: bool = False
    marks_removals: bool = False
    """Whether a pod that goes at once is marked by a write of its own before it is removed, as a
    real server does: its watchers see one event more. Histories that are explored leave the write
    out; nothing can be decided between the two."""


class Store:
    """The writing side of the registry; configuration only."""

    def __init__(self, config: Config) -> None:
        self.config = config

    # -- entry --------------------------------------------------------------------------------

    def begin(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """Start a write, or start it over after a look-up."""
        request = pending.request
        if request.verb == "create" and not request.subresource:
            return self._create(local, lane, pending, io)
        if request.verb == "deletecollection" and not pending.queue:
            return self._collection(local, lane, pending, io)
        return self._update(local, lane, pending, io)

    def continued(self, local: State, lane: str, pending: Pending, answer: Any, io: Io) -> State:
        """Go on with etcd's answer."""
        stage = pending.stage
        if type(answer) is RangeReply:
            found = storage.decoded(answer.kvs[0]) if answer.kvs else None
            if stage == "lookup":
                resource, key, _ = pending.target
                return self.begin(local, lane, pending._replace(target=(resource, key, found)), io)
            return self._update(local, lane, pending._replace(base=found, fresh=True), io)
        if type(answer) is not TxnReply:
            return self.finish(local, lane, pending, refused(Status(
                code=500, reason="", message=getattr(answer, "error", "etcdserver: unknown"))), io)
        if stage in ("work", "back"):
            return self._worked(local, lane, pending, answer, io)
        return self._written(local, lane, pending, answer, io)

    # -- create -------------------------------------------------------------------------------

    def _create(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        request = pending.request
        resource = custom.resource_in(local.cache, request.resource) or lookup(request.resource)
        if request.body.metadata.resource_version:
            return self.finish(local, lane, pending, refused(Status(
                code=500, message="resourceVersion should not be set on objects to be created")),
                io)
        local = local._replace(ordinal=local.ordinal + 1)
        obj = self._prepared(local, pending, resource, io)
        if type(obj) is Status:
            return self.finish(local, lane, pending, refused(obj), io)
        if type(obj) is LookUp:
            return self._ask(local, lane, pending._replace(stage="lookup", target=(*obj, None)),
                             Range(storage_key(*obj)), io)
        if type(obj) is WaitFor:
            return self._wait(local, lane, pending, obj, io)
        if resource.name in escalation.GUARDED:
            fault = escalation.objection(pending.user, obj, None, local.cache)
            if fault is not None:
                return self.finish(local, lane, pending, refused(fault), io)
        work: tuple[Work, ...] = ()
        if resource.name == "services":
            work = allocators.needs(obj, None)
        if admission.QUOTA in self.config.plugins:
            charges = resource_quota.charges(self._attributes(local, pending, resource, CREATE,
                                                              None), obj)
            if type(charges) is Status:
                return self.finish(local, lane, pending, refused(charges), io)
            work = (*work, *charges)
        ready = pending._replace(candidate=obj, base=None, work=work, target=None)
        return self._next(local, lane, ready, io)

    def _prepared(self, local: State, pending: Pending, resource: Resource, io: Io) -> Any:
        """The object as it would be stored, or a verdict that stops it."""
        request = pending.request
        body = request.body
        config = self.config
        metadata = strategies.prepared_metadata(
            body.metadata, resource, request.namespace, config.seed, local.incarnation,
            local.ordinal, io.now)
        if body.kind == "LimitRange" and not metadata.name:
            metadata = metadata._replace(name=uid_from(entropy(
                config.seed, local.incarnation, local.ordinal, "limitranges")))
        obj = defaulted(with_metadata(body, metadata))
        definition = self._definition(local, resource)
        shape = None if definition is None else definition.shape
        if definition is not None and type(obj) is Generic:
            made = custom.prepared(obj, definition)
            if isinstance(made, list):
                faults = (*validation.metadata_faults(obj, resource), *made)
                return invalid(resource.kind, resource.group, obj.metadata.name or "", faults)
            obj = made
        obj = self._tracked_creation(pending, obj, shape, io)
        sent = getattr(obj, "spec", None)
        attributes = self._attributes(local, pending, resource, CREATE, None)
        obj = admission.admitted(config.plugins, attributes, obj)
        if type(obj) in (Status, LookUp, WaitFor):
            return obj if body.metadata.name else _unnamed(obj, metadata.name, body.metadata)
        obj = strategies.prepare_create(obj, resource)
        causes = [*validation.faults(obj, resource, sent), *validation.creation_faults(obj)]
        if causes:
            return invalid(resource.kind, resource.group, obj.metadata.name or "", tuple(causes))
        return admission.checked(config.plugins, attributes, obj) or obj

    def _definition(self, local: State, resource: Resource) -> custom.Definition | None:
        if not resource.custom:
            return None
        return custom.definition_of(local.cache, resource.group_resource)

    def _tracked_creation(self, pending: Pending, obj: Any, shape: Shape | None, io: Io) -> Any:
        """The new object with who owns its fields, if anybody is to know."""
        request = pending.request
        if request.body is not None and field_management.is_tracked(request.body.metadata):
            return field_management.with_entries(obj, field_management.entries_of(
                request.body.metadata))
        if not self.config.tracks_fields:
            return obj
        shape = shape or field_management.shape_for(obj)
        if obj.kind != "Service" or request.body.spec is None or obj.spec is None:
            return field_management.created(obj, self._author(pending, io), shape)
        # Families are allocated like addresses: whoever did not ask for them does not own them.
        sent = request.body.spec
        claimed = put(obj, "spec", obj.spec._replace(
            ip_families=sent.ip_families, ip_family_policy=sent.ip_family_policy))
        told = field_management.created(claimed, self._author(pending, io), shape)
        return with_metadata(obj, told.metadata)

    def _tracked(self, pending: Pending, old: Any, new: Any, shape: Shape | None, io: Io) -> Any:
        """The new state with who owns its fields. Applies have settled that themselves."""
        request = pending.request
        body = request.body
        if new is REMOVE or type(new) is Status or request.verb not in ("update", "patch") or (
                type(body) is Patch and body.type == "apply" and request.subresource != "scale"):
            return new
        return field_management.updated(old, new, self._author(pending, io),
                                        shape or field_management.shape_for(new))

    def _author(self, pending: Pending, io: Io) -> Author:
        request = pending.request
        manager = field_management.manager_of(request.options.field_manager, pending.client[0])
        return Author(manager, field_management.UPDATE, request.subresource, io.now)

    def _attributes(self, local: State, pending: Pending, resource: Resource, operation: str,
                    old: Any) -> Attributes:
        data = entropy(self.config.seed, local.incarnation, local.ordinal, "volume")
        looked_up = pending.target if type(pending.target) is tuple else None
        return Attributes(operation, resource, pending.request, pending.user,
                          pending.request.namespace if resource.namespaced else "", old,
                          local.cache, looked_up, self.config.release, suffix_from(data))

    def _wait(self, local: State, lane: str, pending: Pending, wait: WaitFor, io: Io) -> State:
        """Park the request until the account is there; a timer ends the wait."""
        local = with_pending(local, lane, None)
        if pending.client == NO_CLIENT:
            return local
        io.after(ACCOUNT_WAIT_MS, f"account/{'/'.join(pending.client)}")
        parked = Parked(pending.request, 0, wait.key, pending.user)
        return local._replace(parked=local.parked.set(pending.client, parked))

    # -- update, patch, delete, binding: transforms of a stored object ------------------------

    def _update(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        request = pending.request
        resource = custom.resource_in(local.cache, request.resource) or lookup(request.resource)
        key = self._key(pending)
        base = pending.base
        if not pending.fresh:
            base = local.cache.get(request.resource, EMPTY).get(key)
            if base is None:
                return self._read(local, lane, pending, io)
        if base is None:
            return self._absent(local, lane, pending, resource, io)
        verdict = self._decided(local, pending, resource, base, io)
        if type(verdict) is Status:
            if not pending.fresh:
                return self._read(local, lane, pending, io)
            return self.finish(local, lane, pending, refused(verdict), io)
        if type(verdict) is tuple:
            new, work = verdict
        else:
            new, work = verdict, ()
        if new is REMOVE and self.config.marks_removals and deletion.is_marked_first(base):
            work = (*work, Work(deletion.LAST, "pods", key))
        if new is base or new == base:
            if not pending.fresh:
                return self._read(local, lane, pending, io)
            return self._answer(local, lane, pending._replace(base=base), base, io)
        after: tuple[Work, ...] = ()
        if resource.name == "services":
            if new is REMOVE:
                after = allocators.releases(base, None)
            elif request.verb != "delete":
                charges = self._update_charges(local, pending, resource, base, new)
                if type(charges) is Status:
                    return self.finish(local, lane, pending, refused(charges), io)
                work = (*allocators.needs(new, base), *charges)
                after = allocators.releases(base, new)
        ready = pending._replace(base=base, candidate=new, work=work, after=after, target=None)
        return self._next(local, lane, ready, io)

    def _update_charges(self, local: State, pending: Pending, resource: Resource, base: Any,
                        new: Any) -> tuple[Work, ...] | Status:
        """What an update of a service must charge: only services are charged by updates."""
        if admission.QUOTA not in self.config.plugins:
            return ()
        attributes = self._attributes(local, pending, resource, UPDATE, base)
        return resource_quota.charges(attributes, new)

    def _decided(self, local: State, pending: Pending, resource: Resource, base: Any,
                 io: Io) -> Any:
        """What the request makes of the object that the decision stands on."""
        request = pending.request
        definition = self._definition(local, resource)
        shape = None if definition is None else definition.shape
        write = transforms.Write(request, resource, io.now, shape)
        if request.verb in ("delete", "deletecollection"):
            attributes = self._attributes(local, pending, resource, DELETE, base)
            verdict = admission.admitted(self.config.plugins, attributes, base)
            if type(verdict) is not Status:
                verdict = admission.checked(self.config.plugins, attributes, base)
            if type(verdict) is Status:
                return verdict
            return transforms.transformed(write._replace(request=request._replace(verb="delete")),
                                          base)
        if request.verb == "create":
            # Binding and eviction create something in the pod's namespace.
            attributes = self._attributes(local, pending, resource, CREATE, base)
            found = namespace_lifecycle.admit(attributes, base)
            if type(found) is not Status and admission.looks_at_all(pending.user, local.cache):
                found = admission.checked(self.config.plugins, attributes, base)
            if type(found) is Status:
                return found
        if request.subresource == "eviction":
            return eviction.decided(local.cache, write, base)
        new = transforms.transformed(write, base)
        if definition is not None and type(new) is Generic:
            made = custom.prepared(new, definition, base, request.subresource)
            new = invalid(resource.kind, resource.group, base.metadata.name or "", tuple(made)) \
                if isinstance(made, list) else made
        new = self._tracked(pending, base, new, shape, io)
        if new is REMOVE or type(new) is Status or new is base:
            return new
        return self._judged(local, pending, resource, base, new)

    def _judged(self, local: State, pending: Pending, resource: Resource, base: Any,
                new: Any) -> Any:
        """The new state of an object as admission leaves it, or why it may not be stored."""
        plugins = self.config.plugins
        if pending.request.subresource:
            if pending.request.verb == "create" or not admission.looks_at_all(
                    pending.user, local.cache):
                return new
            attributes = self._attributes(local, pending, resource, UPDATE, base)
            return admission.checked(plugins, attributes, new) or new
        attributes = self._attributes(local, pending, resource, UPDATE, base)
        new = admission.admitted(plugins, attributes, new)
        if type(new) is Status:
            return new
        if resource.name in escalation.GUARDED:
            fault = escalation.objection(pending.user, new, base, local.cache)
            if fault is not None:
                return fault
        return admission.checked(plugins, attributes, new) or new

    def _absent(self, local: State, lane: str, pending: Pending, resource: Resource,
                io: Io) -> State:
        """The object does not exist: some resources are created by an update."""
        request = pending.request
        if request.verb == "update" and not request.subresource \
                and request.resource in CREATED_BY_UPDATE:
            body = with_resource_version(request.body, None)
            created = request._replace(verb="create", body=body)
            return self._create(local, lane, pending._replace(request=created, base=None), io)
        if request.verb == "patch" and request.body.type == "apply" and not request.subresource:
            definition = custom.definition_of(local.cache, request.resource)
            made = patching.applied(request, resource, io.now,
                                    None if definition is None else definition.shape)
            if type(made) is Status:
                return self.finish(local, lane, pending, refused(made), io)
            created = request._replace(verb="create", body=made)
            return self._create(local, lane, pending._replace(request=created, base=None), io)
        if pending.queue:
            return self._gone_on(local, lane, pending, io)
        name = self._key(pending).rpartition("/")[2]
        return self.finish(local, lane, pending, refused(not_found(request.resource, name)), io)

    def _read(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        key = storage_key(pending.request.resource, self._key(pending))
        return self._ask(local, lane, pending._replace(stage="read"), Range(key), io)

    def _key(self, pending: Pending) -> str:
        if pending.queue:
            return pending.queue[0]
        request = pending.request
        return storage.cache_key(request.namespace, request.name)

    # -- transactions -------------------------------------------------------------------------

    def _next(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """The next piece of work, else the write itself."""
        if pending.request.options.dry_run:
            return self._dry(local, lane, pending, io)
        if pending.work:
            return self._work(local, lane, pending, io)
        obj, base = pending.candidate, pending.base
        resource = pending.request.resource
        if base is None:
            key = storage_key(resource, storage.cache_key(obj.metadata.namespace or "",
                                                          obj.metadata.name or ""))
            txn = storage.creating(key, obj)
        else:
            key = storage_key(resource, self._key(pending))
            txn = (storage.removing(key, base) if obj is REMOVE
                   else storage.replacing(key, base, obj))
        return self._ask(local, lane, pending._replace(stage="write"), txn, io)

    def _dry(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """A rehearsal: all that needs no write is done, then the answer."""
        if pending.base is None:
            obj = pending.candidate
            key = storage.cache_key(obj.metadata.namespace or "", obj.metadata.name or "")
            known = local.cache.get(pending.request.resource, EMPTY).get(key)
            if known is not None:
                return self.finish(local, lane, pending, refused(already_exists(
                    pending.request.resource, obj.metadata.name or "")), io)
        for item in pending.work:
            target = local.cache.get(item.resource, EMPTY).get(item.key)
            if target is None or item.verb not in (eviction.GRANT, resource_quota.CHARGE):
                continue
            done = (self._granted(pending, item, target, io) if item.verb == eviction.GRANT
                    else self._charged(pending, item, target))
            if type(done) is Status:
                return self.finish(local, lane, pending, refused(done), io)
        return self._answer(local, lane, pending._replace(after=(), undo=()), pending.candidate, io)

    def _written(self, local: State, lane: str, pending: Pending, answer: TxnReply,
                 io: Io) -> State:
        obj = pending.candidate
        if answer.succeeded:
            if obj is not REMOVE:
                obj = with_resource_version(obj, str(answer.revision))
            return self._answer(local, lane, pending._replace(undo=()), obj, io,
                                revision=answer.revision)
        live = answer.replies[0]
        kvs = live.kvs if type(live) is RangeReply else ()
        found = storage.decoded(kvs[0]) if kvs else None
        if pending.base is None:
            return self._taken(local, lane, pending, found, io)
        again = pending._replace(base=found, fresh=True, tries=pending.tries + 1)
        if pending.undo:
            return self._fail(local, lane, again, self._conflict(pending), io)
        if again.tries > CONFLICT_TRIES_MAX:
            return self.finish(local, lane, again, refused(self._conflict(pending)), io)
        return self._update(local, lane, again, io)

    def _conflict(self, pending: Pending) -> Status:
        return conflict(pending.request.resource, self._key(pending).rpartition("/")[2])

    def _taken(self, local: State, lane: str, pending: Pending, found: Any, io: Io) -> State:
        """The name is taken: a generated one is drawn again, else the creation fails."""
        request = pending.request
        if not request.body.metadata.name and pending.tries < TRIES_MAX and not pending.undo:
            return self._create(local, lane, pending._replace(tries=pending.tries + 1), io)
        leaving = found is not None and found.metadata.deletion_timestamp is not None
        name = pending.candidate.metadata.name or ""
        return self._fail(local, lane, pending, already_exists(request.resource, name, leaving), io)

    # -- other objects: addresses, ports, quotas ----------------------------------------------

    def _work(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """One compare-and-swap on the object of the first piece of work."""
        item = pending.work[0]
        target = pending.target
        marks = item.verb in (eviction.MARK, deletion.LAST)
        if target is None:
            target = (pending.base if marks
                      else local.cache.get(item.resource, EMPTY).get(item.key))
        if target is None:
            return self._next(local, lane, pending._replace(work=pending.work[1:]), io)
        if item.verb == resource_quota.CHARGE:
            done = self._charged(pending, item, target)
        elif item.verb == eviction.GRANT:
            done = self._granted(pending, item, target, io)
        elif marks:
            done = self._marked(pending, item, target, io)
        else:
            done = self._taken_from(target, pending.candidate, item)
        if type(done) is Status:
            return self._fail(local, lane, pending, done, io)
        changed, candidate, undo = done
        kept = pending._replace(candidate=candidate, undo=(*pending.undo, *undo))
        if changed == target:
            return self._next(local, lane, kept._replace(work=pending.work[1:], target=None), io)
        txn = storage.replacing(storage_key(item.resource, item.key), target, changed)
        # The allocation counts only once etcd has taken it: `target` keeps what it gives.
        waiting = pending._replace(stage="work", target=_Attempt(
            candidate, undo, changed if marks else None))
        return self._ask(local, lane, waiting, txn, io)

    def _charged(self, pending: Pending, item: Work, quota: Any) -> Any:
        obj = pending.candidate
        done = resource_quota.charged(quota, item.detail, pending.request.resource,
                                      obj.metadata.name or "")
        return done if type(done) is Status else (done, obj, ())

    def _granted(self, pending: Pending, item: Work, budget: Any, io: Io) -> Any:
        done = eviction.granted(budget, item.detail[0], io.now)
        return done if type(done) is Status else (done, pending.candidate, ())

    def _marked(self, pending: Pending, item: Work, pod: Any, io: Io) -> Any:
        if item.verb == deletion.LAST:
            changed = deletion.at_once(pod, io.now)
            return changed, REMOVE if deletion.is_finished(changed) else changed, ()
        resource = resource_named("pods")
        assert resource is not None, "pods are always served"
        changed = eviction.marked(pod, io.now)
        write = transforms.Write(pending.request, resource, io.now)
        gone = eviction.outcome(write, changed)
        return gone if type(gone) is Status else (changed, gone, ())

    def _taken_from(self, range_: RangeAllocation, service: Any, item: Work) -> Any:
        limits = self.config.limits
        if item.verb == "address":
            return allocators.take_address(range_, service, limits)
        return allocators.take_ports(range_, service, limits, item.detail)

    def _worked(self, local: State, lane: str, pending: Pending, answer: TxnReply,
                io: Io) -> State:
        back = pending.stage == "back"
        if not answer.succeeded:
            live = answer.replies[0]
            kvs = live.kvs if type(live) is RangeReply else ()
            found = storage.decoded(kvs[0]) if kvs else None
            if found is None:
                queue = "after" if back else "work"
                left = pending._replace(target=None, **{queue: getattr(pending, queue)[1:]})
                return (self._give_back if back else self._next)(local, lane, left, io)
            again = pending._replace(target=found)
            return (self._give_back if back else self._work)(local, lane, again, io)
        if back:
            return self._give_back(local, lane, pending._replace(
                after=pending.after[1:], target=None), io)
        attempt = pending.target
        if attempt.base is not None:
            # The pod was written, so what follows stands on the new version.
            pending = pending._replace(
                base=with_resource_version(attempt.base, str(answer.revision)))
        return self._next(local, lane, pending._replace(
            candidate=attempt.candidate, undo=(*pending.undo, *attempt.undo),
            work=pending.work[1:], target=None), io)

    def _fail(self, local: State, lane: str, pending: Pending, status: Status, io: Io) -> State:
        """Answer a failure, but first give back what the request took."""
        return self._give_back(local, lane, pending._replace(
            after=pending.undo, undo=(), target=None, outcome=refused(status)), io)

    def _give_back(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """Release the first entry of `after`, then the rest, then reply."""
        if not pending.after:
            if pending.outcome is None and pending.queue:
                return self._gone_on(local, lane, pending, io)
            assert pending.outcome is not None, "the outcome is known before anything is released"
            return self.finish(local, lane, pending, pending.outcome, io)
        item = pending.after[0]
        target = pending.target
        if type(target) is not RangeAllocation:
            target = local.cache.get(item.resource, EMPTY).get(item.key)
        if target is None:
            return self._give_back(local, lane, pending._replace(after=pending.after[1:]), io)
        others = self._others(local, pending, item)
        changed = allocators.release(target, item.detail, others)
        if changed is target:
            return self._give_back(local, lane, pending._replace(
                after=pending.after[1:], target=None), io)
        txn = storage.replacing(storage_key(item.resource, item.key), target, changed)
        return self._ask(local, lane, pending._replace(stage="back"), txn, io)

    def _others(self, local: State, pending: Pending, item: Work) -> frozenset[str]:
        """What services other than that of the request hold."""
        services = local.cache.get("services", EMPTY)
        return allocators.held_by_others(services, item.key, self._key(pending))

    # -- answers ------------------------------------------------------------------------------

    def _answer(self, local: State, lane: str, pending: Pending, obj: Any, io: Io,
                revision: int = 0) -> State:
        """The reply of a write that succeeded, after what it no longer needs was given back."""
        if pending.queue:
            return self._give_back(local, lane, pending._replace(target=None), io)
        outcome = self._reply(pending, obj, revision, io.now)
        return self._give_back(local, lane, pending._replace(outcome=outcome, target=None), io)

    def _reply(self, pending: Pending, obj: Any, revision: int, now: int) -> Reply:
        request = pending.request
        subresource = request.subresource
        if request.verb == "create" and subresource in ("binding", "eviction"):
            return Reply(201, Status())
        if request.verb == "delete":
            return self._delete_reply(pending, obj, revision, now)
        if obj is REMOVE:
            return Reply(200, storage.last_state(pending.base, revision))
        if subresource == "scale":
            return Reply(200, transforms.scale_of(obj))
        return Reply(201 if request.verb == "create" else 200, obj)

    def _delete_reply(self, pending: Pending, obj: Any, revision: int, now: int) -> Reply:
        request = pending.request
        if obj is not REMOVE:
            return Reply(200, obj)
        base = pending.base
        if request.resource in STATUS_REPLIES or resource_named(request.resource) is None:
            return Reply(200, success(request.resource, request.name, base.metadata.uid or ""))
        if revision:
            base = storage.last_state(base, revision)
        if request.resource == "pods":
            metadata = base.metadata
            base = with_metadata(base, metadata._replace(
                deletion_grace_period_seconds=0,
                deletion_timestamp=metadata.deletion_timestamp or timestamp(now)))
        return Reply(200, base)

    # -- a collection, object by object ---------------------------------------------------------

    def _collection(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        request = pending.request
        options = request.options
        found = {key: obj for key, obj in local.cache.get(request.resource, EMPTY).items()
                 if (not request.namespace or obj.metadata.namespace == request.namespace)
                 and storage.matches(options.label_selector, options.field_selector, obj)}
        resource = custom.resource_in(local.cache, request.resource) or lookup(request.resource)
        # The answer shows the objects as they were found, not as they went.
        listed = Reply(200, ObjectList(f"{resource.kind}List", tuple(found.values()),
                                       str(local.revision), "", None, resource.api_version))
        if not found:
            return self.finish(local, lane, pending, listed, io)
        return self._update(local, lane, pending._replace(queue=tuple(found), listed=listed), io)

    def _gone_on(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """One object of a collection is dealt with: the next one."""
        rest = pending._replace(queue=pending.queue[1:], base=None, fresh=False, candidate=None,
                                tries=0, target=None)
        if rest.queue:
            return self._update(local, lane, rest, io)
        assert rest.listed is not None, "a queue comes with the answer of its request"
        return self.finish(local, lane, rest, rest.listed, io)

    # -- ends ---------------------------------------------------------------------------------

    def _ask(self, local: State, lane: str, pending: Pending, body: Any, io: Io) -> State:
        io.request("etcd", lane, body)
        return with_pending(local, lane, pending)

    def finish(self, local: State, lane: str, pending: Pending, reply: Reply, io: Io) -> State:
        """Answer, unless the client has gone, and forget the request."""
        if pending.client != NO_CLIENT:
            if pending.client[0] == OUTSIDE:
                reply = reply._replace(warnings=self._warnings(local, pending, reply))
            io.reply(*pending.client, reply)
            if reply.code >= 400:
                local = local._replace(refusal=(*pending.client, reply.code))
        return with_pending(local, lane, None) if lane in local.pending else local

    def _warnings(self, local: State, pending: Pending, reply: Reply) -> tuple[str, ...]:
        """What a person should be warned of: whatever validation and admission let through."""
        obj, base = pending.candidate, pending.base
        if obj is None or obj is REMOVE or pending.request.verb in ("delete", "deletecollection"):
            return ()
        if reply.code >= 400 and reply.code != 409:
            return ()
        resource = custom.resource_in(local.cache, pending.request.resource) or lookup(
            pending.request.resource)
        attributes = self._attributes(local, pending, resource,
                                      CREATE if base is None else UPDATE, base)
        return (*warnings.of(obj, base),
                *admission.warned(self.config.plugins, attributes, obj))


def _unnamed(verdict: Any, made: str | None, sent: Metadata) -> Any:
    """A refusal of an object whose name was still to be generated: it shows the prefix."""
    if type(verdict) is not Status or not made:
        return verdict
    shown = sent.generate_name or ""
    return verdict._replace(name=shown, message=verdict.message.replace(f'"{made}"', f'"{shown}"'))


class _Attempt(NamedTuple):
    """What a piece of work gives once etcd has taken it."""

    candidate: Any
    undo: tuple[Work, ...]
    base: Any = None

