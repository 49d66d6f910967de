"""The node object and the lease of a kubelet. Rules: Kubernetes documentation "Nodes"."""

from __future__ import annotations

from typing import NamedTuple

from model.api.conditions import find
from model.api.objects import (
    Condition,
    ContainerImage,
    Lease,
    LeaseSpec,
    Metadata,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    micro_timestamp,
    owner_for,
    timestamp,
)
from model.api.quantities import milli, units
from model.api.scenario import NodeShape, Scenario
from model.kernel.values import FrozenMap, stable_digest
from reference_impl.kubelet.state import Used

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
IMAGE_BYTES_FIRST = 20_000_000
IMAGE_BYTES_SPAN = 400_000_000
_HEALTHY = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


class Machine(NamedTuple):
    """What a kubelet is told about its machine: configuration, not state."""

    shape: NodeShape
    number: int
    pod_network: str
    release: str

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.shape.name

    @property
    def room(self) -> Used:
        """What the pods of the machine may ask for together."""
        amounts = dict(self.shape.capacity)
        return Used(milli(amounts.get("cpu", "0")), units(amounts.get("memory", "0")),
                    units(amounts.get("pods", "110")))


def machines(scenario: Scenario) -> tuple[Machine, ...]:
    """The machines of a scenario, each with a /24 of the pod range in the order of the nodes."""
    first, second, third, _ = scenario.pod_range.partition("/")[0].split(".")
    return tuple(
        Machine(shape, at, f"{first}.{(int(second) + (int(third) + at) // 256) % 256}."
                f"{(int(third) + at) % 256}", scenario.release)
        for at, shape in enumerate(scenario.nodes))


def pod_address(machine: Machine, ordinal: int) -> str:
    """The `ordinal`-th address of the machine's pod network."""
    return f"{machine.pod_network}.{2 + ordinal}"


def image_bytes(image: str) -> int:
    """The size of an image: a function of its name."""
    return IMAGE_BYTES_FIRST + int(stable_digest(image), 16) % IMAGE_BYTES_SPAN


def node_object(machine: Machine, now: int) -> Node:
    """The node as it registers: not ready yet."""
    name = machine.name
    labels = {"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
              "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name,
              "kubernetes.io/os": "linux", **dict(machine.shape.labels)}
    status = node_status(machine, None, FrozenMap(), now, ready=False)
    network = f"{machine.pod_network}.0/24"
    spec = NodeSpec(pod_cidr=network, pod_cidrs=(network,), taints=machine.shape.taints or None)
    return Node(metadata=Metadata(name=name, labels=tuple(sorted(labels.items()))), spec=spec,
                status=status)


def node_status(machine: Machine, old: NodeStatus | None, images: FrozenMap[str, int], now: int,
                ready: bool = True) -> NodeStatus:
    """The status of the node now; conditions of other writers are kept."""
    before = (old.conditions if old is not None else None) or ()
    fresh = [Condition(type_, "False", reason, message) for type_, reason, message in _HEALTHY]
    fresh.append(
        Condition("Ready", "True", "KubeletReady", "kubelet is posting ready status") if ready
        else Condition("Ready", "False", "KubeletNotReady", "kubelet is starting"))
    owned = tuple(each.type for each in fresh)
    seen = timestamp(now)
    conditions = []
    for each in fresh:
        was = find(before, each.type or "")
        since = was.last_transition_time if was is not None and was.status == each.status else seen
        conditions.append(each._replace(last_heartbeat_time=seen, last_transition_time=since))
    others = tuple(each for each in before if each.type not in owned)
    version = f"v{machine.release}.0"
    return NodeStatus(
        capacity=machine.shape.capacity, allocatable=machine.shape.capacity,
        conditions=(*others, *conditions),
        addresses=(NodeAddress("InternalIP", machine.shape.address),
                   NodeAddress("Hostname", machine.name)),
        node_info=NodeSystemInfo(
            machine_id=stable_digest(machine.name), system_uuid=stable_digest(machine.name),
            boot_id=stable_digest(machine.name), kernel_version="6.1.0", os_image="Linux",
            container_runtime_version="containerd://1.7.0", kubelet_version=version,
            kube_proxy_version=version, operating_system="linux", architecture="amd64"),
        images=tuple(ContainerImage((image,), image_bytes(image)) for image in images) or None,
        rest=old.rest if old is not None else b"")


def reports_ready(node: Node) -> bool:
    """Whether the API shows the node as ready."""
    ready = find(node.status.conditions if node.status is not None else None, "Ready")
    return ready is not None and ready.status == "True"


def reported_at(node: Node) -> str | None:
    """When the machine reported last, as the API shows it."""
    ready = find(node.status.conditions if node.status is not None else None, "Ready")
    return None if ready is None else ready.last_heartbeat_time


def lease_object(machine: Machine, node: Node | None, old: Lease | None, now: int) -> Lease:
    """The lease of the node, renewed now."""
    if old is not None:
        spec = old.spec if old.spec is not None else LeaseSpec()
        return old._replace(spec=spec._replace(renew_time=micro_timestamp(now)))
    owners = None
    if node is not None:
        owners = (owner_for(node)._replace(controller=None, block_owner_deletion=None),)
    return Lease(metadata=Metadata(name=machine.name, namespace=LEASE_NAMESPACE,
                                   owner_references=owners),
                 spec=LeaseSpec(holder_identity=machine.name, lease_duration_seconds=LEASE_SECONDS,
                                renew_time=micro_timestamp(now)))
