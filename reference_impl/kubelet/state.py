"""What a kubelet remembers: its pods and their containers, its node, its lease, its queues.

`Local.pods` is what a container runtime and its sandboxes would keep on the machine: it survives a
restart of the kubelet and is lost with the machine. Everything else is memory of the process.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api.objects import Lease, Node, Pod, PodStatus
from model.kernel.component import Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.kubelet.cadvisor import Sample
from reference_impl.lib.informer import Informer
from reference_impl.lib.recorder import NO_EVENTS, Recorder

# Program points of a container, in the order in which it passes through them.
HELD = "held"                   # waits for the init containers before it
PULLING = "pulling"             # the image is being pulled
PULL_FAILED = "pull-failed"     # the last pull failed (ErrImagePull)
PULL_BACKOFF = "pull-backoff"   # waits before it pulls again (ImagePullBackOff)
CREATING = "creating"           # the image is here, the container can be started
RUNNING = "running"
STOPPING = "stopping"           # was told to stop and has not ended yet
BACKOFF = "backoff"             # has ended and waits before it is started again
DONE = "done"                   # has ended, or was never started, and will not be started again

ALIVE = (RUNNING, STOPPING)

# Why a pod ends before its containers do.
LIVE = ""
DELETED = "deleted"             # asked to go; the kubelet has the last word
DEADLINE = "deadline"           # active for longer than its spec allows
GONE = "gone"                   # its object is no longer there, or is another one of that name
REJECTED = "rejected"           # the node did not admit it


class Exit(NamedTuple):
    """How an instance of a container ended; `instance` counts them from 0."""

    code: int
    reason: str
    started_ms: int
    finished_ms: int
    instance: int


class ContainerRecord(NamedTuple):
    """One container of a pod.

    `image` is what runs or is to be started next, `replacement` the image that follows when a
    running container is stopped for it. `restarts` is what the API shows, `crashes` counts the
    ends since the image last changed (for the back-off), `exits_left` how often the scenario lets
    it end by itself with `exit_code`, `exit_after_ms` how long it runs before (0: at any time).
    """

    name: str
    image: str
    point: str = HELD
    restarts: int = 0
    started_ms: int = -1
    last_exit: Exit | None = None
    crashes: int = 0
    pulls_failed: int = 0
    exit_code: int = 0
    exits_left: int = 0
    exit_after_ms: int = 0
    replacement: str = ""

    @property
    def alive(self) -> bool:
        """Whether a process of this container exists."""
        return self.point in ALIVE


class PodRecord(NamedTuple):
    """One pod on this node. `pod` is its object in the newest version seen.

    The first `inits` of `containers` are init containers, run one after the other. `status` is
    the last status that was computed; `phase` never goes backwards.
    """

    key: str
    uid: str
    pod: Pod
    containers: tuple[ContainerRecord, ...]
    inits: int
    ip: str
    started_ms: int
    phase: str = "Pending"
    ending: str = LIVE
    reason: str = ""
    message: str = ""
    status: PodStatus | None = None

    @property
    def stopped(self) -> bool:
        """Whether no process of the pod exists."""
        return not any(container.point in ALIVE for container in self.containers)


class Used(NamedTuple):
    """What the admitted pods of the node ask for."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pods: int = 0


class Flight(NamedTuple):
    """A write to a pod that has not been answered: a status, or the last delete (None)."""

    key: str
    uid: str
    status: PodStatus | None


class Metrics(NamedTuple):
    """The publishing of figures. `queue`: what waits, "" for the node; `point`: what is in flight
    (creating, updating, deleting); `published`: what the API server has of ours; `samples`: the
    last figures of each container, by uid of its pod and name."""

    queue: tuple[str, ...] = ()
    point: str = ""
    published: FrozenMap[str, int] = EMPTY
    samples: FrozenMap[str, Sample] = EMPTY


class Local(NamedTuple):
    """The local state of a kubelet.

    `dirty`: keys of pods whose status may have to be written, oldest first. `offers`: the own steps
    of containers that are possible now. `flight`: the write to a pod that is not answered yet;
    `waits`: the server refused, a timer will try again. `node_sent`: the version of the
    node over which its status was last written; `node_refused`: one that was no longer current
    then. The watch brings a newer one.
    """

    pods: FrozenMap[str, PodRecord]
    informer: Informer
    nodes: Informer
    images: FrozenMap[str, int]
    used: Used = Used()
    next_address: int = 0
    offers: FrozenMap[Step, int] = EMPTY
    dirty: tuple[str, ...] = ()
    flight: Flight | None = None
    waits: bool = False
    registration: str = "absent"
    node: Node | None = None
    node_dirty: bool = False
    node_flight: bool = False
    node_sent: int = 0
    node_refused: int = 0
    lease: Lease | None = None
    lease_point: str = "due"
    events: Recorder = NO_EVENTS
    metrics: Metrics = Metrics()
