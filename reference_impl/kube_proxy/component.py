"""The proxy of one node as a machine: what it has seen, what it has written, what the kernel holds.

A sync writes all services that changed since the last one that succeeded. A sync that fails (the
scenario's setting `proxy-restore-failures` says how often it may) leaves the kernel as it was and
makes the next one a full one.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.action import Scalar
from model.kernel.component import Cause, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.kube_proxy.rules import (
    End,
    Ends,
    Entry,
    Rules,
    entries_of,
    followed,
)
from reference_impl.lib.informer import STOPPED, TIMER, Change, Informer, Reflector

Flow = tuple[str, int]
NO_END: Flow = ("", 0)
FLOWS_OFFERED_MAX = 4


class Local(NamedTuple):
    """The local state of a proxy.

    `ends`: chain -> its ends, as last seen. `written`: service -> the entries written for it.
    `pending`: services changed since the last sync that succeeded; `full`: the next sync writes
    everything. `udp`: the chains of UDP that are written, `stale`: those whose tracked flows have
    to be looked at. `rules` and `flows` are the kernel's: they outlive the process. A flow is the
    end to which one steady client of a UDP service port is tied, NO_END when there was none.
    """

    services: Informer
    endpoints: Informer
    rules: Rules
    flows: FrozenMap[str, Flow] = EMPTY
    ends: FrozenMap[str, Ends] = EMPTY
    written: FrozenMap[str, tuple[tuple[Entry, str], ...]] = EMPTY
    pending: FrozenMap[str, int] = EMPTY
    udp: FrozenMap[str, int] = EMPTY
    stale: FrozenMap[str, int] = EMPTY
    full: bool = True
    failures_left: int = 0

    @property
    def synced(self) -> bool:
        """Whether both collections have been listed."""
        return self.services.synced and self.endpoints.synced


class KubeProxy(Component[Local]):
    """The proxy of the node `node`, which has `address`; pods have addresses of `pod_range`."""

    def __init__(self, node: str, address: str, pod_range: str, failures: int = 0) -> None:
        self.name = f"kube-proxy/{node}"
        self.host = node
        self.rules = Rules(node_addresses=(address,), pod_range=pod_range)
        self.failures = failures
        self.services = Reflector("services")
        self.endpoints = Reflector("endpoints")

    # -- life ----------------------------------------------------------------------------------

    def init(self, io: Io) -> Local:
        """An empty kernel; list the services first, then the endpoints."""
        return self._begin(self.rules, EMPTY, self.failures, io)

    def restart(self, local: Local, cause: Cause, io: Io) -> Local:
        """Rules and tracked flows stay in the kernel unless the machine went down."""
        if cause == "machine":
            return self._begin(self.rules, EMPTY, local.failures_left, io)
        return self._begin(local.rules, local.flows, local.failures_left, io)

    def _begin(self, rules: Rules, flows: FrozenMap[str, Flow], failures: int, io: Io) -> Local:
        services = self.services.start(self.services.init(), io)
        return Local(services, self.endpoints.init(), rules, flows, failures_left=failures,
                     stale=FrozenMap((chain, 1) for chain in flows))

    def receive(self, local: Local, message: Message, io: Io) -> Local:
        """A list, an event or CUT for one of the two collections."""
        if message.lane == "services":
            services, changes = self.services.on_message(local.services, message, io)
            local = local._replace(services=services)
        else:
            endpoints, changes = self.endpoints.on_message(local.endpoints, message, io)
            local = local._replace(endpoints=endpoints)
            for change in changes:
                local = self._follow(local, change)
        pending = local.pending
        for change in changes:
            pending = pending.set(change.key, 1)
        return local if pending is local.pending else local._replace(pending=pending)

    def timer(self, local: Local, key: str, io: Io) -> Local:
        """The back-off of a reflector is over."""
        if key == TIMER + "services":
            return local._replace(services=self.services.on_timer(local.services, io))
        return local._replace(endpoints=self.endpoints.on_timer(local.endpoints, io))

    def _follow(self, local: Local, change: Change) -> Local:
        """Take over the ends of a changed Endpoints object."""
        return local._replace(ends=followed(local.ends, change.key, change.old, change.new))

    # -- own steps -------------------------------------------------------------------------------

    def steps(self, local: Local) -> tuple[Step, ...]:
        """List the second collection, sync, and what UDP clients do."""
        found: list[Step] = []
        if local.endpoints.phase == STOPPED:
            found.append(("list", ("endpoints",)))
        if local.synced and (local.full or len(local.pending) > 0 or len(local.stale) > 0):
            found.append(("sync", ()))
            if local.failures_left > 0:
                found.append(("sync-fails", ()))
        found.extend(self._flow_steps(local))
        return tuple(found)

    def step(self, local: Local, verb: str, args: tuple[Scalar, ...], io: Io) -> Local:
        """Take one of `steps`."""
        if verb == "list":
            return local._replace(endpoints=self.endpoints.start(local.endpoints, io))
        if verb == "sync":
            return self._synced(local)
        if verb == "sync-fails":
            return self._failed(local)
        chain, address, port = str(args[0]), str(args[1]), int(args[2])
        return local._replace(flows=local.flows.set(chain, (address, port)))

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        """One line for traces and diagrams."""
        if verb == "flow":
            where = f"{args[1]}:{args[2]}" if args[1] else "no end"
            return f"tracks a client of {args[0]} to {where}"
        words = {"list": "lists the endpoints", "sync": "writes its rules",
                 "sync-fails": "fails to write its rules"}
        return words[verb]

    def _flow_steps(self, local: Local) -> list[Step]:
        """A steady client of each UDP service port that has none yet, to any of its ends."""
        found: list[Step] = []
        for chain in local.udp:
            if chain not in local.flows:
                ends: tuple[End, ...] = local.rules.chains.get(chain, EMPTY).keys()
                for end in ends[:FLOWS_OFFERED_MAX] or (NO_END,):
                    found.append(("flow", (chain, *end)))
        return found

    # -- writing rules -----------------------------------------------------------------------------

    def _synced(self, local: Local) -> Local:
        """The kernel holds the rules for everything seen; flows without an end are forgotten."""
        if local.full:
            keys = tuple(sorted({*local.services.store.keys(), *local.written.keys()}))
            local = local._replace(rules=self._emptied(local.rules))
        else:
            keys = local.pending.keys()
        local = self._write(local, keys)
        return local._replace(flows=self._kept_flows(local), pending=EMPTY, stale=EMPTY,
                              full=False)

    def _failed(self, local: Local) -> Local:
        """Nothing was written, and nobody knows how far it got: write everything next time."""
        return local._replace(full=True, failures_left=local.failures_left - 1)

    def _emptied(self, rules: Rules) -> Rules:
        """The kernel without any rule of ours, whichever service it was for."""
        return rules._replace(entries=EMPTY, chains=EMPTY)

    def _write(self, local: Local, keys: tuple[str, ...]) -> Local:
        """Replace what stands for some services: first everything goes, then the new comes."""
        entries, chains, written = local.rules.entries, local.rules.chains, local.written
        udp, stale = local.udp, local.stale
        for key in keys:
            for entry, chain in written.get(key, ()):
                entries, chains = entries.drop(entry), chains.drop(chain)
                if entry[1] == "UDP":
                    udp, stale = udp.drop(chain), stale.set(chain, 1)
            written = written.drop(key)
        for key in keys:
            service = local.services.store.get(key)
            wanted = () if service is None else entries_of(key, service)
            for entry, chain in wanted:
                entries = entries.set(entry, chain)
                chains = chains.set(chain, local.ends.get(chain, EMPTY))
                if entry[1] == "UDP":
                    udp, stale = udp.set(chain, 1), stale.set(chain, 1)
            if wanted:
                written = written.set(key, wanted)
        rules = local.rules._replace(entries=entries, chains=chains)
        return local._replace(rules=rules, written=written, udp=udp, stale=stale)

    def _kept_flows(self, local: Local) -> FrozenMap[str, Flow]:
        """The flows that still lead to an end of their service, or to none where there is none."""
        flows = local.flows
        for chain in local.stale:
            end = flows.get(chain)
            if end is not None:
                ends = local.rules.chains.get(chain)
                current = ends is not None and (end in ends or (end == NO_END and not len(ends)))
                if not current:
                    flows = flows.drop(chain)
        return flows
