"""The node controller: notices silent nodes, taints them, evicts their pods, clears up after them.

Source: Kubernetes 1.32, pkg/controller/nodelifecycle, tainteviction and podgc; KEP-589 (leases).
Timings: a node that has not been heard of for 50 s becomes Ready=Unknown with its pods Ready=False
and the taint unreachable:NoSchedule; unreachable:NoExecute follows 5 s later, for one node in 10 s;
each pod is deleted when its tolerationSeconds have passed since then (the server gives pods 300 s
by default). A node is heard of when its lease or its own heartbeat *changes*, on the controller's
clock; clocks of nodes are never compared with ours.

A large outage is rather ours than theirs: while every node is silent nothing is evicted and the
NoExecute taints come off; when that ends, every node is given a whole grace period anew. While more
than 2 nodes and 55 % are not ready in a cluster of at most 50 nodes, no further node is tainted
NoExecute.

Pods on a node that no longer exists are removed 40 s after the controller noticed, when a live
look confirms it.

Not modelled: zones (all nodes are in one), the slower rate of large clusters with a partial outage,
address ranges of nodes, the out-of-service taint, and polling each 5 s: timers fire when
something is due. That only makes it act at an instant at which a poll might have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.conditions import find
from model.api.objects import Lease, Node, Pod, with_status
from model.api.requests import Reply, Request, delete, get, update, update_status
from model.api.scenario import Scenario
from model.kernel.component import Component, Io
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.lib import node_rules as rules
from reference_impl.lib.controller import Controller, ControllerState
from reference_impl.lib.informer import Change, Reflector

NODES, LEASES, PODS = "nodes", "leases", "pods"
LEASE_NAMESPACE = "kube-node-lease"
GRACE_MS = 50_000
STARTUP_GRACE_MS = 60_000
TAINT_DELAY_MS = 5_000
TAINT_PERIOD_MS = 10_000
QUARANTINE_MS = 40_000
PARTIAL_MIN, PARTIAL_PERCENT, LARGE_CLUSTER = 3, 55, 50

PLANNED, GRANTED = "planned", "granted"
NODE, MARK, EVICT, GONE = "node|", "mark|", "evict|", "gone|"
SILENT, TAINT, LEAVE = "idle:silent:", "taint:", "leave:"
QUARANTINE, UNREADY = "quarantine:", "unready:"


class Eviction(NamedTuple):
    """A pod that must leave: its uid, since when it is known, and when it goes."""

    uid: str
    since_ms: int
    due_ms: int


class Memory(NamedTuple):
    """`heard_ms`: node -> when its heartbeat last changed; `grants`: node -> whether it may get the
    taint NoExecute (GRANTED) or will when its turn comes (PLANNED); `next_grant_ms`: the next free
    turn; `evictions`: pod key -> eviction; `outage`: no node is ready; `missing_ms`: node that pods
    name but that does not exist -> since when that is known."""

    heard_ms: FrozenMap[str, int] = EMPTY
    grants: FrozenMap[str, str] = EMPTY
    next_grant_ms: int = 0
    evictions: FrozenMap[str, Eviction] = EMPTY
    outage: bool = False
    missing_ms: FrozenMap[str, int] = EMPTY


class Work(NamedTuple):
    """Where a sync stands: which request is in flight, the node or pod concerned as it was, what is
    left of a list of pods, and the node as it is written."""

    at: str
    node: Node | None = None
    pod: Pod | None = None
    left: tuple[Pod, ...] = ()
    written: Node | None = None


State = ControllerState[Memory]


def node_of(pod: Pod | None) -> str | None:
    """The node that a pod is bound to."""
    return None if pod is None or pod.spec is None else pod.spec.node_name or None


class NodeController(Controller[Memory]):
    """See the head of this file."""

    name = "controllers/node"
    source = "node-controller"
    reflectors = (
        Reflector(NODES),
        Reflector(LEASES, namespace=LEASE_NAMESPACE),
        Reflector(PODS, indexes={"node": node_of}),
    )
    blank = Memory()

    def __init__(self, grace_ms: int = GRACE_MS, labels: bool = False) -> None:
        self.grace_ms = grace_ms
        self.labels = labels

    # -- what is heard --------------------------------------------------------------------------

    def observed(self, local: State, lane: str, change: Change, io: Io) -> State:
        if lane == LEASES:
            return self._lease_changed(local, change, io)
        if lane == NODES:
            return self._node_changed(local, change, io)
        pod: Pod | None = change.new
        name = node_of(change.old if pod is None else pod)
        if not name:
            return local
        if pod is not None and self.is_ready_on_a_lost_node(local, pod):
            io.after(self.grace_ms, UNREADY + name)
        return self._reconsider(local, change.key, pod, io)

    def _lease_changed(self, local: State, change: Change, io: Io) -> State:
        lease: Lease | None = change.new
        if lease is None or lease.spec is None:
            return local
        old = change.old
        if old is not None and old.spec == lease.spec:
            return local
        return self._heard(local, lease.metadata.name or "", self.heard_at(lease, io), io)

    def heard_at(self, lease: Lease, io: Io) -> int:
        """When a heartbeat counts: when it is seen, whatever time is written in it."""
        return io.now

    def _heard(self, local: State, name: str, heard_ms: int, io: Io) -> State:
        memory = local.memory
        io.after(max(heard_ms + self.grace_ms - io.now, 1), SILENT + name)
        return local._replace(memory=Memory(memory.heard_ms.set(name, heard_ms), memory.grants,
                                            memory.next_grant_ms, memory.evictions,
                                            memory.outage, memory.missing_ms))

    def _node_changed(self, local: State, change: Change, io: Io) -> State:
        node: Node | None = change.new
        name = change.key
        if node is None:
            memory = local.memory
            io.cancel(SILENT + name)
            io.cancel(TAINT + name)
            local = local._replace(memory=memory._replace(
                heard_ms=memory.heard_ms.drop(name), grants=memory.grants.drop(name)))
            local = self.event(local, change.old, "Normal", "RemovingNode",
                               f"Node {name} event: Removing Node {name} from Controller", io)
        else:
            local = self._node_seen(local, change.old, node, io)
        return self._weigh_outage(local, io)

    def _node_seen(self, local: State, old: Node | None, node: Node, io: Io) -> State:
        name = node.metadata.name or ""
        if old is None:
            local = self.event(local, node, "Normal", "RegisteredNode",
                               f"Node {name} event: Registered Node {name} in Controller", io)
            if name not in local.memory.heard_ms:
                late_ms = max(STARTUP_GRACE_MS - self.grace_ms, 0)
                local = self._heard(local, name, io.now + (0 if rules.readiness(node) else late_ms),
                                    io)
        elif heartbeat(old) != heartbeat(node) and rules.readiness(node) != "Unknown":
            local = self._heard(local, name, io.now, io)
        memory = local.memory
        if rules.readiness(node) == "True" and name in memory.grants:
            local = local._replace(memory=memory._replace(grants=memory.grants.drop(name)))
            io.cancel(TAINT + name)
        if old is None or rules.evicting_taints(old) != rules.evicting_taints(node):
            for key in self.reflector(PODS).keys_by(local.caches[PODS], "node", name):
                local = self._reconsider(local, key, local.caches[PODS].store[key], io)
        return local

    def keys_for(self, local: State, lane: str, change: Change) -> tuple[str, ...]:
        if lane == LEASES:
            return ()
        if lane == NODES:
            return self._keys_for_node(change)
        pod: Pod | None = change.new
        if pod is None or not node_of(pod):
            return ()
        name = node_of(pod) or ""
        node = local.caches[NODES].store.get(name)
        if node is None:
            return (GONE + name,)
        # At once only where the pod is new to us: a kubelet that is back may set its pods ready
        # before its node, and must not be answered write for write. Else a grace period later.
        if self.is_ready_on_a_lost_node(local, pod) and node_of(change.old) != name:
            return (MARK + name,)
        return ()

    def is_ready_on_a_lost_node(self, local: State, pod: Pod) -> bool:
        """Whether the caches show a pod ready on a node that is Ready=Unknown."""
        node = local.caches[NODES].store.get(node_of(pod) or "")
        return node is not None and rules.readiness(node) == "Unknown" and rules.is_ready(pod)

    def _keys_for_node(self, change: Change) -> tuple[str, ...]:
        old, new = change.old, change.new
        if new is None:
            return (GONE + change.key,)
        keys = (NODE + change.key,) if concerns(old) != concerns(new) else ()
        return (*keys, MARK + change.key) if self.unreadies_pods(old, new) else keys

    def unreadies_pods(self, old: Node | None, new: Node) -> bool:
        """Whether a change of a node makes its pods not ready. A node that was lost before it was
        first seen counts: a predecessor may have died before it marked the pods."""
        if old is None:
            return rules.readiness(new) == "Unknown"
        before, after = rules.readiness(old), rules.readiness(new)
        return after in ("False", "Unknown") and before != after and before != "Unknown"

    # -- outages --------------------------------------------------------------------------------

    def _weigh_outage(self, local: State, io: Io) -> State:
        """Enter or leave the state in which no node is ready."""
        memory = local.memory
        outage = self.is_outage(local)
        if outage == memory.outage:
            return local
        names = local.caches[NODES].store.keys()
        local = local._replace(memory=memory._replace(outage=outage, grants=EMPTY))
        for name in names:
            io.cancel(TAINT + name)
            if not outage:
                local = self._heard(local, name, io.now, io)
        return self.enqueue(local, tuple(NODE + name for name in names))

    def is_outage(self, local: State) -> bool:
        """Whether there are nodes and not one of them is ready."""
        store = local.caches[NODES].store
        return len(store) > 0 and not any(rules.readiness(node) == "True"
                                          for node in store.values())

    def may_grant(self, local: State) -> bool:
        """Whether another node may be tainted NoExecute, seen how many are not ready."""
        store = local.caches[NODES].store
        if local.memory.outage:
            return False
        if len(store) > LARGE_CLUSTER:
            return True
        down = sum(1 for node in store.values() if rules.readiness(node) != "True")
        return down < PARTIAL_MIN or down * 100 < PARTIAL_PERCENT * len(store)

    # -- evictions ------------------------------------------------------------------------------

    def _reconsider(self, local: State, key: str, pod: Pod | None, io: Io) -> State:
        """Plan, move or cancel the eviction of one pod after it or its node's taints changed."""
        memory = local.memory
        planned = memory.evictions.get(key)
        stays_ms = self.stays_ms(local, pod)
        if pod is None or stays_ms is None:
            return local if planned is None else self.cancel(local, key, planned, pod, io)
        since_ms = io.now
        if planned is not None and planned.uid == pod.metadata.uid:
            since_ms = planned.since_ms
        due_ms = since_ms + stays_ms
        wanted = Eviction(pod.metadata.uid or "", since_ms, due_ms)
        if planned == wanted:
            return local
        io.after(max(due_ms - io.now, 0), LEAVE + key)
        return local._replace(memory=memory._replace(evictions=memory.evictions.set(key, wanted)))

    def stays_ms(self, local: State, pod: Pod | None) -> int | None:
        """How long a pod may stay where it is; None for ever (or there is nothing to evict)."""
        if pod is None or not rules.is_bound_and_live(pod):
            return None
        taints = rules.evicting_taints(local.caches[NODES].store.get(node_of(pod) or ""))
        return rules.tolerated_ms(pod, taints) if taints else None

    def cancel(self, local: State, key: str, planned: Eviction, pod: Pod | None,
               io: Io) -> State:
        """The pod may stay after all, or is going already."""
        io.cancel(LEAVE + key)
        memory = local.memory
        local = local._replace(memory=memory._replace(evictions=memory.evictions.drop(key)))
        if pod is not None and pod.metadata.deletion_timestamp is None:
            local = self.event(local, pod, "Normal", "TaintManagerEviction",
                               f"Cancelling deletion of Pod {key}", io)
        return local

    # -- timers ---------------------------------------------------------------------------------

    def alarm(self, local: State, key: str, io: Io) -> State:
        for prefix, queue in ((SILENT, NODE), (LEAVE, EVICT), (QUARANTINE, GONE),
                              (UNREADY, MARK)):
            if key.startswith(prefix):
                return self.enqueue(local, (queue + key[len(prefix):],))
        name = key[len(TAINT):]
        memory = local.memory
        if not self.may_grant(local):
            io.after(TAINT_PERIOD_MS, TAINT + name)
            return local
        local = local._replace(memory=memory._replace(
            grants=memory.grants.set(name, GRANTED)))
        return self.enqueue(local, (NODE + name,))

    # -- the sync -------------------------------------------------------------------------------

    def sync(self, local: State, key: str, io: Io) -> State:
        kind, _, name = key.partition("|")
        if kind == "node":
            return self._sync_node(local, name, io)
        if kind == "mark":
            return self._sync_marks(local, name, io)
        if kind == "evict":
            return self._sync_eviction(local, name, io)
        return self._sync_gone(local, name, io)

    def _sync_node(self, local: State, name: str, io: Io) -> State:
        node: Node | None = self.cached(local, NODES, name)
        if node is None:
            return self.done(local)
        heard_ms = local.memory.heard_ms.get(name, io.now)
        if io.now >= heard_ms + self.grace_ms and rules.readiness(node) != "Unknown":
            lost = with_status(node, rules.lost_status(node, io.now))
            return self.ask(local, update_status(lost), Work("lost", node, written=lost), io)
        return self._sync_taints(local, node, io)

    def _sync_taints(self, local: State, node: Node, io: Io) -> State:
        name = node.metadata.name or ""
        memory = local.memory
        has = any(rules.is_managed(taint) for taint in rules.evicting_taints(node))
        may_evict = not memory.outage and (has or memory.grants.get(name) == GRANTED)
        if (rules.readiness(node) not in ("True", "") and not may_evict and not memory.outage
                and name not in memory.grants):
            local = self._plan_grant(local, name, io)
        tainted = rules.retainted(node, may_evict, io.now)
        if self.labels:
            tainted = rules.labelled(tainted)
        if tainted is node:
            return self.done(local)
        return self.ask(local, update(tainted), Work("taint", node, written=tainted), io)

    def _plan_grant(self, local: State, name: str, io: Io) -> State:
        """Give a node the next free turn for the taint NoExecute."""
        memory = local.memory
        due_ms = max(io.now + TAINT_DELAY_MS, memory.next_grant_ms)
        io.after(due_ms - io.now, TAINT + name)
        return local._replace(memory=memory._replace(
            grants=memory.grants.set(name, PLANNED), next_grant_ms=due_ms + TAINT_PERIOD_MS))

    def _sync_marks(self, local: State, name: str, io: Io) -> State:
        """Mark the pods of a node that is not ready, whenever that was noticed."""
        node: Node | None = self.cached(local, NODES, name)
        if node is None or rules.readiness(node) == "True":
            return self.done(local)
        pods = tuple(pod for pod in self.reflector(PODS).by(local.caches[PODS], "node", name)
                     if rules.is_ready(pod))
        return self._mark(local, node, pods, io)

    def _mark(self, local: State, node: Node, pods: tuple[Pod, ...], io: Io) -> State:
        if not pods:
            return self.done(local)
        pod = pods[0]
        local = self.event(local, pod, "Warning", "NodeNotReady", "Node is not ready", io)
        return self.ask(local, update_status(rules.unready(pod, io.now)),
                        Work("mark", node, pod, pods[1:]), io)

    def _sync_eviction(self, local: State, key: str, io: Io) -> State:
        planned = local.memory.evictions.get(key)
        pod: Pod | None = self.cached(local, PODS, key)
        if (planned is None or planned.due_ms > io.now or pod is None
                or pod.metadata.uid != planned.uid):
            return self.done(local)
        local = self.event(local, pod, "Normal", "TaintManagerEviction",
                           f"Marking for deletion Pod {key}", io)
        return self._disrupt(local, Work("evict", None, pod), io)

    def _disrupt(self, local: State, work: Work, io: Io) -> State:
        """Say why in the pod's status, then delete it."""
        pod = work.pod
        assert pod is not None
        if work.at == "evict":
            reason = "DeletionByTaintManager"
            text = "Taint manager: deleting due to NoExecute taint"
        else:
            reason, text = "DeletionByPodGC", "PodGC: node no longer exists"
        marked = pod.status is None or find(pod.status.conditions, "DisruptionTarget") is not None
        if marked:
            return self._delete(local, work, io)
        said = rules.disrupted(pod, reason, text, io.now, failed=work.at == "gone")
        return self.ask(local, update_status(said), work._replace(at=work.at + "-status"), io)

    def _delete(self, local: State, work: Work, io: Io) -> State:
        assert work.pod is not None
        metadata = work.pod.metadata
        grace = 0 if work.at == "gone" else None
        request: Request = delete(PODS, metadata.namespace or "", metadata.name or "",
                                  uid=metadata.uid, grace_period_seconds=grace)
        return self.ask(local, request, work._replace(at=work.at + "-delete"), io)

    def _sync_gone(self, local: State, name: str, io: Io) -> State:
        """Remove the pods of a node that is gone, after a while and a live look."""
        memory = local.memory
        bound = self.reflector(PODS).keys_by(local.caches[PODS], "node", name)
        if not bound or self.cached(local, NODES, name) is not None:
            return self.done(local._replace(memory=memory._replace(
                missing_ms=memory.missing_ms.drop(name))))
        since_ms = memory.missing_ms.get(name, io.now)
        if since_ms + QUARANTINE_MS > io.now:
            io.after(since_ms + QUARANTINE_MS - io.now, QUARANTINE + name)
            return self.done(local._replace(memory=memory._replace(
                missing_ms=memory.missing_ms.set(name, since_ms))))
        return self.ask(local, get(NODES, "", name), Work("look"), io)

    def _remove(self, local: State, pods: tuple[Pod, ...], io: Io) -> State:
        if not pods:
            return self.done(local)
        return self._disrupt(local, Work("gone", None, pods[0], pods[1:]), io)

    # -- replies --------------------------------------------------------------------------------

    def replied(self, local: State, reply: Reply, io: Io) -> State:
        work: Work = local.work
        refused = reply.code >= 400
        if work.at == "look":
            if reply.code != 404:
                return self.retry(local, io) if refused else self.done(local)
            name = local.key.partition("|")[2]
            pods = self.reflector(PODS).by(local.caches[PODS], "node", name)
            return self._remove(local, tuple(pods), io)
        if refused and reply.code != 404:
            return self.retry(local, io)
        if work.at == "lost":
            return self._lost_written(local, work, reply, io)
        if work.at == "mark":
            assert work.node is not None
            return self._mark(local, work.node, work.left, io)
        if work.at in ("evict-status", "gone-status"):
            step = work._replace(at=work.at.partition("-")[0])
            return self._delete(local, step, io) if not refused else self._deleted(local, step, io)
        if work.at in ("evict-delete", "gone-delete"):
            return self._deleted(local, work._replace(at=work.at.partition("-")[0]), io)
        return self.done(local)

    def _lost_written(self, local: State, work: Work, reply: Reply, io: Io) -> State:
        """The taints follow when the cache shows what was written."""
        assert work.node is not None
        name = work.node.metadata.name or ""
        if reply.code < 400 and rules.readiness(work.node) == "True":
            local = self.event(local, work.node, "Normal", "NodeNotReady",
                               f"Node {name} status is now: NodeNotReady", io)
        return self.done(local)

    def _deleted(self, local: State, work: Work, io: Io) -> State:
        if work.at == "gone":
            return self._remove(local, work.left, io)
        # The plan stays until the cache shows that the pod goes.
        return self.done(local)


def heartbeat(node: Node) -> tuple[str | None, ...]:
    """What changes in a node's status when its kubelet reports."""
    conditions = () if node.status is None else node.status.conditions or ()
    return tuple(each.last_heartbeat_time for each in conditions)


def concerns(node: Node | None) -> tuple[Any, ...]:
    """Everything of a node that its taints depend on, and its taints."""
    if node is None:
        return ()
    conditions = () if node.status is None else node.status.conditions or ()
    spec = node.spec
    return (tuple((each.type, each.status) for each in conditions),
            None if spec is None else (spec.unschedulable, spec.taints), node.metadata.labels)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The node controller of a cluster; it reads the options node-monitor-grace-period-seconds and
    node-labels ("yes": it keeps old names of labels too, for clients that compare)."""
    return (NodeController(1000 * scenario.number("node-monitor-grace-period-seconds", 50),
                           scenario.setting("node-labels", "no") == "yes"),)
