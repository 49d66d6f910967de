"""The kubelet as a machine: what it sends on which lane, how pods follow the API and the runtime.

Every request leaves in a step of its own: after a reply the next one follows at once, and what the
runtime did waits for an own step `send`. So each crash point between a container's move and its
report is a state.
"""

from __future__ import annotations

from typing import Any, Literal

from model.api.objects import Node, Pod, timestamp, with_status
from model.api.requests import Reply, create, delete, get, update, update_status
from model.kernel.action import Scalar
from model.kernel.component import Cause, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.kubelet import metrics, runtime
from reference_impl.kubelet.node import (
    LEASE_NAMESPACE,
    Machine,
    lease_object,
    node_object,
    node_status,
    pod_address,
    reported_at,
    reports_ready,
)
from reference_impl.kubelet.state import (
    ALIVE,
    BACKOFF,
    CREATING,
    DEADLINE,
    DELETED,
    DONE,
    GONE,
    LIVE,
    PULL_BACKOFF,
    PULL_FAILED,
    PULLING,
    REJECTED,
    RUNNING,
    STOPPING,
    ContainerRecord,
    Flight,
    Local,
    Metrics,
    PodRecord,
    Used,
)
from reference_impl.kubelet.status import long_name, phase_of, status_of
from reference_impl.lib import recorder
from reference_impl.lib.informer import STOPPED, Change, Reflector, split_key

LEASE_MS = 10_000
STATUS_MS = 300_000
RETRY_MS = 1_000
ADDRESSES = 250
LANES = ("nodes", "pods", "node", "lease", "status", "events", metrics.LANE)
OFFERED = {PULLING: "pull", PULL_FAILED: "back-off", CREATING: "start"}


class Kubelet(Component[Local]):
    """The agent of one machine. `tells` switches its events on, `metrics_ms` is how often it
    publishes figures (0: never)."""

    def __init__(self, machine: Machine, tells: bool = True, metrics_ms: int = 0) -> None:
        self.machine = machine
        self.name = f"kubelet/{machine.name}"
        self.host = machine.name
        self.tells = tells
        self.metrics_ms = metrics_ms
        self.room = machine.room
        self.pods = Reflector("pods", field_selector=f"spec.nodeName={machine.name}")
        self.nodes = Reflector("nodes", field_selector=f"metadata.name={machine.name}")

    # -- life --------------------------------------------------------------------------------

    def init(self, io: Io) -> Local:
        """Register the node; everything else follows."""
        local = Local(EMPTY, self.pods.init(), self.nodes.init(), EMPTY)
        return self._begin(local, io)

    def restart(self, local: Local, cause: Cause, io: Io) -> Local:
        """After a crash of the process the containers still run; images stay on the disk."""
        fresh = Local(EMPTY, self.pods.init(), self.nodes.init(), local.images,
                      next_address=local.next_address,
                      metrics=Metrics(published=local.metrics.published))
        if cause == "process":
            for key, old in local.pods.items():
                record = runtime.survived(old)
                self._arm(record, io)
                fresh = fresh._replace(pods=fresh.pods.set(key, record),
                                       used=_used(fresh.used, record, 1))
            fresh = fresh._replace(offers=self._all_offers(fresh))
        return self._begin(fresh, io)

    def _begin(self, local: Local, io: Io) -> Local:
        io.after(LEASE_MS, "idle:lease")
        io.after(STATUS_MS, "idle:status")
        if self.metrics_ms:
            io.after(self.metrics_ms, "idle:metrics")
        return self._pump(local, io)

    def _arm(self, record: PodRecord, io: Io) -> None:
        """The timers that a surviving pod needs again."""
        if _stopping(record):
            io.after(runtime.grace_ms(record.pod), f"kill:{record.key}")
        for each in record.containers:
            if each.point == RUNNING:
                self._arm_exit(record, each, io)
            elif each.point == PULL_BACKOFF:
                io.after(runtime.pull_backoff_ms(each.pulls_failed),
                         f"idle:pull:{record.key}/{each.name}")
        self._arm_deadline(record, io)

    def _arm_deadline(self, record: PodRecord, io: Io) -> None:
        seconds = runtime.spec_of(record.pod).active_deadline_seconds
        if seconds is not None and record.ending == LIVE:
            io.after(max(0, record.started_ms + 1000 * seconds - io.now),
                     f"deadline:{record.key}")

    # -- own steps -----------------------------------------------------------------------------

    def steps(self, local: Local) -> tuple[Step, ...]:
        """Moves of containers that are possible now, and lanes that have something to send."""
        sends = tuple(("send", (lane,)) for lane in LANES if self._wants(local, lane))
        return local.offers.keys() + sends

    def step(self, local: Local, verb: str, args: tuple[Scalar, ...], io: Io) -> Local:
        """A container moves, or a lane sends."""
        if verb == "send":
            return self._send(local, str(args[0]), io)
        record = local.pods[str(args[0])]
        container = runtime.find(record, str(args[1]))
        if verb == "pull":
            return self._pull(local, record, container, io)
        if verb == "back-off":
            return self._back_off(local, record, container, io)
        if verb == "start":
            return self._start(local, record, container, io)
        if verb == "exit":
            return self._exit(local, record, container, io)
        return self._ended(local, record, container, runtime.SIGTERM_CODE, io)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        """One line for traces and diagrams."""
        words = {"pull": "pulls the image of", "start": "starts", "exit": "sees the end of",
                 "stop": "stops", "back-off": "backs off pulling for"}
        if verb == "send":
            return f"sends on {args[0]}"
        return f"{words[verb]} container {args[1]} of {args[0]}"

    def _offers(self, record: PodRecord, synced: bool) -> tuple[Step, ...]:
        """The own steps of one pod's containers. Before the pods are listed, nothing begins."""
        stubborn = any(name == runtime.STUBBORN_ANNOTATION
                       for name, _ in record.pod.metadata.annotations or ())
        found: list[Step] = []
        for each in record.containers:
            verb = OFFERED.get(each.point, "") if synced else ""
            if each.point == RUNNING and each.exits_left > 0 and not each.exit_after_ms:
                verb = "exit"
            elif each.point == STOPPING and not stubborn:
                verb = "stop"
            if verb:
                found.append((verb, (record.key, each.name)))
        return tuple(found)

    def _all_offers(self, local: Local) -> FrozenMap[Step, int]:
        return FrozenMap((step, 1) for record in local.pods.values()
                         for step in self._offers(record, local.informer.synced))

    # -- moves of containers ---------------------------------------------------------------------

    def _pull(self, local: Local, record: PodRecord, container: ContainerRecord,
              io: Io) -> Local:
        after = runtime.pulled(container)
        image = container.image
        local = self._tell(local, record, "Normal", "Pulling", f'Pulling image "{image}"', io)
        if after.point == CREATING:
            local = local._replace(images=local.images.set(image, 1))
            local = self._tell(local, record, "Normal", "Pulled",
                               f'Successfully pulled image "{image}"', io)
        else:
            local = self._tell(local, record, "Warning", "Failed",
                               f'Failed to pull image "{image}": image "{image}" not found', io)
            local = self._tell(local, record, "Warning", "Failed", "Error: ErrImagePull", io)
        return self._commit(local, record, runtime.with_container(record, after), io)

    def _back_off(self, local: Local, record: PodRecord, container: ContainerRecord,
                  io: Io) -> Local:
        io.after(runtime.pull_backoff_ms(container.pulls_failed),
                 f"idle:pull:{record.key}/{container.name}")
        local = self._tell(local, record, "Normal", "BackOff",
                           f'Back-off pulling image "{container.image}"', io)
        after = container._replace(point=PULL_BACKOFF)
        return self._commit(local, record, runtime.with_container(record, after), io)

    def _start(self, local: Local, record: PodRecord, container: ContainerRecord,
               io: Io) -> Local:
        name = container.name
        local = self._tell(local, record, "Normal", "Created", f"Created container: {name}", io)
        local = self._tell(local, record, "Normal", "Started", f"Started container {name}", io)
        after = runtime.started(container, io.now)
        self._arm_exit(record, after, io)
        return self._commit(local, record, runtime.with_container(record, after), io)

    def _exit(self, local: Local, record: PodRecord, container: ContainerRecord,
              io: Io) -> Local:
        """The container ends by itself, as the scenario lets it."""
        left = container._replace(exits_left=container.exits_left - 1)
        return self._ended(local, runtime.with_container(record, left), left, left.exit_code, io)

    def _arm_exit(self, record: PodRecord, container: ContainerRecord, io: Io) -> None:
        if container.exits_left > 0 and container.exit_after_ms:
            io.after(max(0, container.started_ms + container.exit_after_ms - io.now),
                     f"exit:{record.key}/{container.name}")

    def _ended(self, local: Local, record: PodRecord, container: ContainerRecord, code: int,
               io: Io) -> Local:
        """The process of a container ended; what follows is for its policy."""
        after = runtime.ended(record, container, code, io.now)
        now = runtime.find(after, container.name)
        if now.point == BACKOFF:
            wait = runtime.container_backoff_ms(now.crashes)
            if wait:
                io.after(wait, f"restart:{record.key}/{container.name}")
                local = self._tell(
                    local, record, "Warning", "BackOff", "Back-off restarting failed container "
                    f"{container.name} in pod {long_name(record)}", io)
            else:
                after = runtime.with_container(after, now._replace(point=PULLING))
        if after.ending == GONE and after.stopped:
            return self._forget(local, after, io)
        return self._commit(local, record, after, io)

    def _kill(self, local: Local, record: PodRecord, io: Io) -> Local:
        """The grace period is over: everything that was told to stop ends now."""
        for name in [each.name for each in record.containers if each.point == STOPPING]:
            record = local.pods[record.key]
            local = self._ended(local, record, runtime.find(record, name), runtime.SIGKILL_CODE,
                                io)
        return local

    # -- pods as the API has them ------------------------------------------------------------------

    def _changed(self, local: Local, change: Change, io: Io) -> Local:
        record = local.pods.get(change.key)
        if change.new is None:
            if record is None or record.uid != change.old.metadata.uid:
                return local
            return self._gone(local, record, io)
        if record is None:
            return self._admit(local, change.key, change.new, io)
        if record.uid != change.new.metadata.uid:
            return self._gone(local, record, io)
        return self._updated(local, record, change.new, io)

    def _admit(self, local: Local, key: str, pod: Pod, io: Io) -> Local:
        """A pod that this machine does not run yet: refuse it, or begin."""
        over = pod.status is not None and pod.status.phase in runtime.TERMINAL
        name, ask, have, limit = runtime.lacking(pod, local.used, self.room)
        if name and not over:
            record = PodRecord(
                key, pod.metadata.uid or "", pod, (), 0, "", io.now, "Failed", REJECTED,
                f"OutOf{name}", f"Pod was rejected: Node didn't have enough resource: {name}, "
                f"requested: {ask}, used: {have}, capacity: {limit}")
            local = self._tell(local, record, "Warning", record.reason,
                               record.message.removeprefix("Pod was rejected: "), io)
            return self._commit(local, None, record, io)
        if over or runtime.spec_of(pod).host_network:
            ip = self.machine.shape.address if not over else ""
        else:
            local, ip = self._address(local)
        record = runtime.admitted(key, pod, ip, io.now)
        self._arm_deadline(record, io)
        if pod.metadata.deletion_timestamp is not None:
            record = runtime.ending(record, DELETED)
        return self._commit(local, None, record, io)

    def _address(self, local: Local) -> tuple[Local, str]:
        """The next free address of the machine's pod network, after the last one given."""
        taken = {record.ip for record in local.pods.values()}
        for step in range(ADDRESSES):
            ordinal = (local.next_address + step) % ADDRESSES
            ip = pod_address(self.machine, ordinal)
            if ip not in taken:
                return local._replace(next_address=(ordinal + 1) % ADDRESSES), ip
        raise AssertionError(f"{self.machine.name} has no free pod address")

    def _updated(self, local: Local, record: PodRecord, pod: Pod, io: Io) -> Local:
        if _version(pod) < _version(record.pod):
            return local
        after = record._replace(pod=pod)
        if pod.metadata.deletion_timestamp is not None and record.ending != REJECTED:
            if record.ending != DELETED:
                local, after = self._end(local, after, DELETED, io)
            elif runtime.grace_ms(pod) < runtime.grace_ms(record.pod) and not record.stopped:
                io.after(runtime.grace_ms(pod), f"kill:{record.key}")
        elif record.ending == REJECTED and pod.metadata.deletion_timestamp is not None:
            after = after._replace(ending=DELETED)
        if after.ending == LIVE and pod.spec is not record.pod.spec:
            local, after = self._follow_images(local, after, io)
        report = (record.status is None or pod.status != record.status
                  or after.ending != record.ending)
        return self._commit(local, record, after, io, report)

    def _follow_images(self, local: Local, record: PodRecord,
                       io: Io) -> tuple[Local, PodRecord]:
        """Give each container the image of its spec; other fields of a container never change."""
        every, _ = runtime.containers_of(record.pod)
        for spec, container in zip(every, record.containers, strict=True):
            if self._is_other(container, spec.image or "") and container.point != DONE:
                after = runtime.image_changed(container, spec.image or "")
                if after.point == STOPPING and container.point == RUNNING:
                    io.after(runtime.grace_ms(record.pod), f"kill:{record.key}")
                    local = self._tell(
                        local, record, "Normal", "Killing", f"Container {container.name} "
                        "definition changed, will be restarted", io)
                elif container.point in (BACKOFF, PULL_BACKOFF):
                    io.cancel(f"restart:{record.key}/{container.name}")
                    io.cancel(f"idle:pull:{record.key}/{container.name}")
                record = runtime.with_container(record, after)
        return local, record

    def _is_other(self, container: ContainerRecord, image: str) -> bool:
        """Whether a container has to be replaced: only for another image, never for a default."""
        return image != (container.replacement or container.image)

    def _end(self, local: Local, record: PodRecord, why: str,
             io: Io) -> tuple[Local, PodRecord]:
        """The pod has to go: stop what runs, within the grace period."""
        for each in record.containers:
            if each.exit_after_ms:
                io.cancel(f"exit:{record.key}/{each.name}")
            if each.point in ALIVE:
                local = self._tell(local, record, "Normal", "Killing",
                                   f"Stopping container {each.name}", io)
            elif each.point in (BACKOFF, PULL_BACKOFF):
                io.cancel(f"restart:{record.key}/{each.name}")
                io.cancel(f"idle:pull:{record.key}/{each.name}")
        if not record.stopped:
            io.after(runtime.grace_ms(record.pod), f"kill:{record.key}")
        io.cancel(f"deadline:{record.key}")
        return local, runtime.ending(record, why)

    def _gone(self, local: Local, record: PodRecord, io: Io) -> Local:
        """The object is no longer there: what still runs stops, and nothing is reported."""
        if record.stopped:
            return self._forget(local, record, io)
        local, after = self._end(local, record, GONE, io)
        return self._commit(local, record, after, io)

    def _forget(self, local: Local, record: PodRecord, io: Io) -> Local:
        """Drop a pod of which nothing is left; another one of its name may wait."""
        key = record.key
        io.cancel(f"kill:{key}")
        io.cancel(f"deadline:{key}")
        for each in record.containers:
            if each.exit_after_ms:
                io.cancel(f"exit:{key}/{each.name}")
            if each.point in (BACKOFF, PULL_BACKOFF):
                io.cancel(f"restart:{key}/{each.name}")
                io.cancel(f"idle:pull:{key}/{each.name}")
        offers = local.offers
        old = local.pods[key]
        for step in self._offers(old, local.informer.synced):
            offers = offers.drop(step)
        local = local._replace(pods=local.pods.drop(key), offers=offers,
                               used=_used(local.used, old, -1),
                               dirty=tuple(each for each in local.dirty if each != key))
        successor = local.informer.store.get(key)
        if successor is not None and successor.metadata.uid != record.uid:
            return self._admit(local, key, successor, io)
        return local

    def _commit(self, local: Local, old: PodRecord | None, new: PodRecord, io: Io,
                report: bool = True) -> Local:
        """Put a changed pod in its place: offers, room and what is to be reported follow."""
        new = self._fetched(local, new)
        phase = phase_of(new)
        if phase != new.phase:
            new = new._replace(phase=phase)
            if phase in runtime.TERMINAL and new.ending == LIVE:
                io.cancel(f"deadline:{new.key}")
            if new.ending == DEADLINE and phase == "Failed":
                new = new._replace(reason="DeadlineExceeded", message="Pod was active on the node "
                                   "longer than the specified deadline")
        key, synced = new.key, local.informer.synced
        current = local.pods.get(key)
        if current is not None and _stopping(current) and not _stopping(new):
            io.cancel(f"kill:{key}")
        offers, used = local.offers, local.used
        before = () if current is None else self._offers(current, synced)
        after = self._offers(new, synced)
        if before != after:
            for step in before:
                offers = offers.drop(step)
            for step in after:
                offers = offers.set(step, 1)
        if current is None or (current.phase in runtime.TERMINAL) != (phase in runtime.TERMINAL):
            used = _used(used if current is None else _used(used, current, -1), new, 1)
        dirty = local.dirty
        if report and new.ending != GONE and key not in dirty:
            dirty = (*dirty, key)
        return local._replace(pods=local.pods.set(key, new), offers=offers, used=used, dirty=dirty)

    def _fetched(self, local: Local, record: PodRecord) -> PodRecord:
        """The pod with the pull skipped where the image is here and need not be pulled."""
        if not any(each.point == PULLING for each in record.containers):
            return record
        every, _ = runtime.containers_of(record.pod)
        for spec, each in zip(every, record.containers, strict=True):
            if each.point == PULLING and each.image in local.images \
                    and not runtime.pulls_always(spec):
                record = runtime.with_container(record, each._replace(point=CREATING))
        return record

    def _tell(self, local: Local, record: PodRecord, type_: Literal["Normal", "Warning"],
              reason: str, message: str, io: Io) -> Local:
        """Tell an event about a pod."""
        if not self.tells:
            return local
        told = recorder.record(local.events, record.pod, type_, reason, message, "kubelet", io.now,
                               self.machine.name)
        return local._replace(events=told)

    # -- messages and timers -----------------------------------------------------------------------

    def receive(self, local: Local, message: Message, io: Io) -> Local:
        """A reply, an event of a watch, or CUT."""
        lane, body = message.lane, message.body
        if lane == "pods":
            return self._on_pods(local, message, io)
        if lane == "nodes":
            return self._on_nodes(local, message, io)
        if lane == "node":
            local = self._on_node(local, body, io)
        elif lane == "lease":
            local = self._on_lease(local, body)
        elif lane == "status":
            local = self._on_status(local, body, io)
        elif lane == metrics.LANE:
            local = metrics.replied(local, body)
        elif lane == "events":
            local = local._replace(events=recorder.replied(local.events, body, io))
        return self._pump(local, io)

    def timer(self, local: Local, key: str, io: Io) -> Local:
        """Upkeep, the end of a back-off, of a grace period or of a deadline, a retry."""
        kind, _, rest = key.removeprefix("idle:pull:").partition(":")
        if key.startswith(("idle:pull:", "restart:", "exit:")):
            return self._container_timer(local, key.partition(":")[2].removeprefix("pull:"), io)
        if kind == "kill":
            return self._kill(local, local.pods[rest], io)
        if kind == "deadline":
            record = local.pods[rest]
            local, ending = self._end(local, record, DEADLINE, io)
            return self._commit(local, record, ending, io)
        if key == "idle:lease":
            io.after(LEASE_MS, key)
            if local.lease_point == "idle":
                local = local._replace(lease_point="due")
        elif key == "idle:status":
            io.after(STATUS_MS, key)
            local = local._replace(node_dirty=local.node is not None)
        elif key == "idle:metrics":
            io.after(self.metrics_ms, key)
            local = metrics.round_begun(local)
        elif key == "retry:status":
            local = local._replace(waits=False)
        elif key == "retry:node" and local.registration == "waiting":
            local = local._replace(registration="absent")
        elif key == "retry:node":
            local = local._replace(node_dirty=True)
        elif rest == "pods":
            return local._replace(informer=self.pods.on_timer(local.informer, io))
        elif rest == "nodes":
            return local._replace(nodes=self.nodes.on_timer(local.nodes, io))
        return self._pump(local, io)

    def _container_timer(self, local: Local, place: str, io: Io) -> Local:
        """The back-off of the container POD/NAME is over, or the time that it was to run."""
        key, _, name = place.rpartition("/")
        record = local.pods[key]
        container = runtime.find(record, name)
        if container.point == RUNNING and container.exits_left > 0:
            return self._exit(local, record, container, io)
        if container.point not in (BACKOFF, PULL_BACKOFF):
            return local
        after = container._replace(point=PULLING)
        return self._commit(local, record, runtime.with_container(record, after), io)

    def _on_pods(self, local: Local, message: Message, io: Io) -> Local:
        was = local.informer.synced
        informer, changes = self.pods.on_message(local.informer, message, io)
        local = local._replace(informer=informer)
        if informer.synced and not was:
            local = local._replace(offers=self._all_offers(local))
            for key, record in local.pods.items():
                if key not in informer.store:
                    local = self._gone(local, record, io)
        for change in changes:
            local = self._changed(local, change, io)
        return local

    def _on_nodes(self, local: Local, message: Message, io: Io) -> Local:
        informer, changes = self.nodes.on_message(local.nodes, message, io)
        local = local._replace(nodes=informer)
        for change in changes:
            node: Node | None = change.new
            if node is not None and local.node is not None and \
                    _version(node) < _version(local.node):
                continue
            local = local._replace(node=node, node_dirty=node is not None and local.node_dirty)
            if node is not None and not reports_ready(node):
                local = self._objected(local, node, io)
        return self._pump(local, io)

    def _objected(self, local: Local, node: Node, io: Io) -> Local:
        """Somebody else says that this machine is not ready: say otherwise. What was reported in
        this very second would be the same report again, and no sign of life: wait for the next."""
        if reported_at(node) == timestamp(io.now):
            if not (local.node_dirty or local.node_flight):
                io.after(RETRY_MS, "retry:node")
            return local
        return local._replace(node_dirty=True)

    def _on_node(self, local: Local, body: Any, io: Io) -> Local:
        if not local.node_flight:
            return local
        local = local._replace(node_flight=False)
        registered = local.registration == "registered"
        if type(body) is not Reply:
            return local._replace(node_dirty=registered)
        if registered:
            if body.code < 400:
                # The watch may have brought a newer version before this answer came.
                newer = local.node is not None and _version(body.body) > _version(local.node)
                return local._replace(node=body.body) if newer else local
            if body.code == 409:
                return local._replace(node_dirty=True, node_refused=local.node_sent)
            if body.code == 404:
                return local
            io.after(RETRY_MS, "retry:node")
            return local
        if body.code < 400:
            return local._replace(node=body.body, registration="registered", node_dirty=True)
        if body.code == 409:
            return local._replace(registration="taken")
        if body.code == 404 and local.registration == "taken":
            return local._replace(registration="absent")
        io.after(RETRY_MS, "retry:node")
        return local._replace(registration="waiting")

    def _on_lease(self, local: Local, body: Any) -> Local:
        point = local.lease_point
        if type(body) is not Reply:
            return local if point == "idle" else local._replace(lease=None, lease_point="due")
        if body.code < 400:
            return local._replace(lease=body.body,
                                  lease_point="due" if point == "getting" else "idle")
        if body.code == 404 and point == "getting":
            return local._replace(lease=None, lease_point="missing")
        return local._replace(lease=None, lease_point="due" if body.code == 409 else "idle")

    def _on_status(self, local: Local, body: Any, io: Io) -> Local:
        flight = local.flight
        if flight is None:
            return local
        local = local._replace(flight=None)
        record = local.pods.get(flight.key)
        if record is None or record.uid != flight.uid:
            return local
        if type(body) is not Reply:
            return self._redo(local, flight.key)
        if body.code in (403, 409, 429) or body.code >= 500:
            io.after(RETRY_MS, "retry:status")
            return self._redo(local._replace(waits=True), flight.key)
        if body.code >= 400 or flight.status is None:
            return local
        pod: Pod = body.body
        if _version(pod) > _version(record.pod):
            record = record._replace(pod=pod)
            local = local._replace(pods=local.pods.set(flight.key, record))
        return self._redo(local, flight.key) if record.ending == DELETED else local

    def _redo(self, local: Local, key: str) -> Local:
        if key in local.dirty:
            return local
        return local._replace(dirty=(*local.dirty, key))

    # -- sending -----------------------------------------------------------------------------------

    def _pump(self, local: Local, io: Io) -> Local:
        """Send the next request that is due, unless this step has sent one."""
        for lane in LANES:
            if io.requests:
                break
            if self._wants(local, lane):
                local = self._send(local, lane, io)
        return local

    def _wants(self, local: Local, lane: str) -> bool:
        """Whether a lane is free and has something to send."""
        if lane == "status":
            return bool(local.dirty) and local.flight is None and not local.waits \
                and local.informer.synced
        if lane == "events":
            return recorder.offers(local.events)
        if lane == metrics.LANE:
            return metrics.wants(local) and local.informer.synced
        if lane == "lease":
            return local.lease_point in ("due", "missing") and local.registration == "registered"
        if lane == "node":
            return not local.node_flight and (local.registration in ("absent", "taken") or (
                local.node_dirty and local.registration == "registered"
                and (local.node is None or _version(local.node) > local.node_refused)))
        if lane == "nodes":
            return local.nodes.phase == STOPPED and local.registration == "registered"
        return local.informer.phase == STOPPED and local.nodes.synced

    def _send(self, local: Local, lane: str, io: Io) -> Local:
        if lane == "status":
            return self._send_status(local, io)
        if lane == "events":
            return local._replace(events=recorder.send(local.events, io))
        if lane == metrics.LANE:
            return metrics.send(local, self.machine, io)
        if lane == "lease":
            return self._send_lease(local, io)
        if lane == "node":
            return self._send_node(local, io)
        if lane == "nodes":
            return local._replace(nodes=self.nodes.start(local.nodes, io))
        return local._replace(informer=self.pods.start(local.informer, io))

    def _send_node(self, local: Local, io: Io) -> Local:
        name = self.machine.name
        if local.registration == "taken":
            io.request("apiserver", "node", get("nodes", "", name))
        elif local.registration == "absent":
            io.request("apiserver", "node", create(node_object(self.machine, io.now)))
        elif local.node is not None:
            status = node_status(self.machine, local.node.status, local.images, io.now)
            io.request("apiserver", "node", update_status(with_status(local.node, status)))
            return local._replace(node_flight=True, node_dirty=False,
                                  node_sent=_version(local.node))
        else:
            return local._replace(node_dirty=False)
        return local._replace(node_flight=True)

    def _send_lease(self, local: Local, io: Io) -> Local:
        name = self.machine.name
        if local.lease_point == "missing":
            lease = lease_object(self.machine, local.node, None, io.now)
            io.request("apiserver", "lease", create(lease))
            return local._replace(lease_point="creating")
        if local.lease is None:
            io.request("apiserver", "lease", get("leases", LEASE_NAMESPACE, name))
            return local._replace(lease_point="getting")
        renewed = lease_object(self.machine, local.node, local.lease, io.now)
        io.request("apiserver", "lease", update(renewed))
        return local._replace(lease_point="updating")

    def _send_status(self, local: Local, io: Io) -> Local:
        """Write the first status that differs from what the API has, or the last delete."""
        dirty = local.dirty
        while dirty:
            key, dirty = dirty[0], dirty[1:]
            record = local.pods.get(key)
            if record is None or record.ending == GONE:
                continue
            status = status_of(record, self.machine.shape.address, io.now)
            if status != record.pod.status:
                # The object as last seen: were it no longer that version, or another pod of the
                # name, the write would be refused, and the watch brings what is newer.
                io.request("apiserver", "status", update_status(with_status(record.pod, status)))
                known = local.pods.set(key, record._replace(status=status))
                return local._replace(pods=known, dirty=dirty,
                                      flight=Flight(key, record.uid, status))
            if record.status != status:
                local = local._replace(pods=local.pods.set(key, record._replace(status=status)))
            if self._may_finish(record):
                namespace, name = split_key(key)
                io.request("apiserver", "status", self._last_delete(namespace, name, record))
                return local._replace(dirty=dirty, flight=Flight(key, record.uid, None))
        return local._replace(dirty=dirty)

    def _may_finish(self, record: PodRecord) -> bool:
        """Whether a pod that was asked to go has nothing left on this machine."""
        return record.ending == DELETED and record.stopped

    def _last_delete(self, namespace: str, name: str, record: PodRecord) -> Any:
        return delete("pods", namespace, name, uid=record.uid, grace_period_seconds=0)


def _version(obj: Pod | Node) -> int:
    return int(obj.metadata.resource_version or 0)


def _stopping(record: PodRecord) -> bool:
    return any(each.point == STOPPING for each in record.containers)


def _used(used: Used, record: PodRecord, sign: int) -> Used:
    """The room in use after a pod came (1) or went (-1); ended and refused pods use none."""
    if record.phase in runtime.TERMINAL or record.ending == REJECTED:
        return used
    asks = runtime.requested(record.pod)
    return Used(used.cpu_milli + sign * asks.cpu_milli,
                used.memory_bytes + sign * asks.memory_bytes, used.pods + sign)
