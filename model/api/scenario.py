"""A scenario: which cluster, which files, who types what, how much harm. Configuration, not state.

A scenario is read from a folder with a `scenario.yaml` (see `model.api.scenario_file`), made from
a user's manifests, or drawn by Hypothesis; every component is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.api.nodes import Taint
from model.api.records import Pairs
from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.fault import FaultPlan

DEFAULT_CAPACITY: Pairs = (("cpu", "4"), ("ephemeral-storage", "100Gi"), ("memory", "8Gi"),
                           ("pods", "110"))
NO_FAULTS = FaultPlan()


@dataclass(frozen=True)
class NodeShape:
    """One machine: its name, what it holds, its labels and taints, and its address."""

    name: str
    address: str
    capacity: Pairs = DEFAULT_CAPACITY
    labels: Pairs = ()
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A small cluster and what happens to it.

    `release` decides the client's style and the defaults of address ranges. `files` are the
    manifests that the client can name, in path order. `script` holds sessions; each is a list of
    inputs, offered in order. `start` is "booted" (nodes and system objects are there before the
    first step of a history) or "cold". `settings` are options of components by name, for example
    ("node-monitor-grace-period-seconds", "40").
    """

    name: str
    release: str = "1.32"
    nodes: tuple[NodeShape, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    script: tuple[tuple[Action, ...], ...] = ()
    faults: FaultPlan = NO_FAULTS
    start: str = "booted"
    seed: int = 0
    service_range: str = "10.96.0.0/16"
    pod_range: str = "10.244.0.0/16"
    node_ports: tuple[int, int] = (30000, 32767)
    settings: Pairs = ()

    def setting(self, name: str, default: str) -> str:
        """The value of a component's option."""
        return dict(self.settings).get(name, default)

    def number(self, name: str, default: int) -> int:
        """The value of a component's option that is a whole number. InputError when it is none."""
        text = self.setting(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise InputError(f"{text!r} is no whole number", where=f"settings.{name}") from None

    @property
    def workloads(self) -> bool:
        """Whether the controllers that the worked example lacks run as well: those of Deployments,
        ReplicaSets, disruption budgets and endpoint slices, and the garbage collector."""
        return self.setting("workloads", "no") == "yes"

    @property
    def version(self) -> tuple[int, int]:
        """The release as numbers, to compare with."""
        major, minor = self.release.split(".")[:2]
        return int(major), int(minor)

    def with_nodes(self, count: int) -> Scenario:
        """The same with this many nodes: the first ones, or more like the last one."""
        shapes = list(self.nodes[:count])
        like = self.nodes[-1] if self.nodes else node_shape(1)
        for number in range(len(shapes) + 1, count + 1):
            fresh = node_shape(number)
            shapes.append(replace(like, name=fresh.name, address=fresh.address))
        return replace(self, nodes=tuple(shapes))


def node_shape(number: int) -> NodeShape:
    """The `number`-th machine (from 1): node-1 at 192.168.1.1, with the usual capacity."""
    block, place = divmod(number - 1, 250)
    return NodeShape(f"node-{number}", f"192.168.{1 + block}.{1 + place}")


def kubectl(*lines: str) -> tuple[Action, ...]:
    """A session of client command lines."""
    return tuple(Action("kubectl", "run", (line,)) for line in lines)


SERVICE_RANGES = {"1.3": "169.169.0.0/16"}


def service_range_of(release: str) -> str:
    """The range of cluster addresses that a cluster of this release uses."""
    return SERVICE_RANGES.get(release, "10.96.0.0/16")


def scenario_from_files(name: str, files: tuple[tuple[str, str], ...], *, nodes: int = 2,
                        release: str = "1.32", faults: FaultPlan = NO_FAULTS) -> Scenario:
    """A cluster in which one session creates each of a user's files, in order."""
    script = kubectl(*(f"create -f {path}" for path, _ in files))
    return Scenario(name=name, release=release, files=tuple(sorted(files)), script=(script,),
                    nodes=tuple(node_shape(number) for number in range(1, nodes + 1)),
                    faults=faults, service_range=service_range_of(release))
