"""What the scheduler remembers of pods and nodes: values with everything it decides by, no more.

A `PodInfo` is a pod as the scheduler sees it; its `Needs` depend on namespace, labels and spec
only, so that all pods of one template share them. A `NodeInfo` is a node with the running totals
of the pods on it, so that a filter looks at one node in constant time. A `Group` counts pods that
no rule between pods can tell apart, by node.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.values import FrozenMap

Labels = FrozenMap[str, str]
NO_LABELS: Labels = FrozenMap()


class Amounts(NamedTuple):
    """Processor in thousandths, memory and ephemeral storage in bytes, extended resources."""

    cpu: int = 0
    memory: int = 0
    ephemeral: int = 0
    extended: tuple[tuple[str, int], ...] = ()


NO_AMOUNTS = Amounts()


class Requirement(NamedTuple):
    """One requirement on a label: In, NotIn, Exists, DoesNotExist; on nodes also Gt and Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


Selector = tuple[Requirement, ...]
"""All must hold; the empty selector matches everything."""


class NodeTerm(NamedTuple):
    """A node selector term: requirements on labels and on the node's name, all of them."""

    expressions: Selector = ()
    fields: Selector = ()


class Toleration(NamedTuple):
    """A taint is tolerated when effect, key and, with Equal, the value agree; "" is a wildcard."""

    key: str
    exists: bool
    value: str
    effect: str


class Taint(NamedTuple):
    key: str
    value: str
    effect: str


class Term(NamedTuple):
    """A rule towards other pods. `selector` None matches no pod.

    `namespaces` are the named ones; `namespace_selector` None means that only those count.
    """

    selector: Selector | None
    namespaces: tuple[str, ...]
    namespace_selector: Selector | None
    topology_key: str
    weight: int = 0


class Spread(NamedTuple):
    """A topology spread constraint. `hard` is DoNotSchedule."""

    max_skew: int
    topology_key: str
    hard: bool
    selector: Selector | None
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


HostPort = tuple[str, str, int]
"""Address ("0.0.0.0" is every one), protocol and port."""


class Needs(NamedTuple):
    """What a pod asks of a node and of its neighbours, from its template.

    `scored` are the requests by which resource scores are computed: containers that ask for no
    processor or memory count there as 100m and 200Mi. `group` names pods that are alike to every
    rule between pods.
    """

    namespace: str
    labels: Labels
    request: Amounts = NO_AMOUNTS
    scored_cpu: int = 0
    scored_memory: int = 0
    ports: tuple[HostPort, ...] = ()
    node_selector: Selector = ()
    node_terms: tuple[NodeTerm, ...] | None = None
    preferred_nodes: tuple[tuple[int, NodeTerm], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: tuple[Term, ...] = ()
    anti_affinity: tuple[Term, ...] = ()
    preferred_affinity: tuple[Term, ...] = ()
    preferred_anti_affinity: tuple[Term, ...] = ()
    spread: tuple[Spread, ...] = ()
    images: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    priority: int = 0
    never_preempts: bool = False
    scheduler_name: str = "default-scheduler"
    group: str = ""

    @property
    def between_pods(self) -> bool:
        """Whether the pod has rules towards other pods that matter once it is placed."""
        return bool(self.affinity or self.anti_affinity or self.preferred_affinity
                    or self.preferred_anti_affinity)


class PodInfo(NamedTuple):
    """A pod. `key` is "namespace/name"; times are milliseconds; `owner` is (kind, name)."""

    key: str
    uid: str
    needs: Needs
    node: str = ""
    nominated: str = ""
    terminating: bool = False
    created: int = 0
    started: int | None = None
    owner: tuple[str, str] | None = None


class NodeInfo(NamedTuple):
    """A node, and the totals of the pods on it (bound, or assumed to be)."""

    name: str
    labels: Labels = NO_LABELS
    hard_taints: tuple[Taint, ...] = ()
    soft_taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    room: Amounts = NO_AMOUNTS
    pods_max: int = 0
    images: FrozenMap[str, int] = FrozenMap()
    used: Amounts = NO_AMOUNTS
    scored_cpu: int = 0
    scored_memory: int = 0
    ports: tuple[HostPort, ...] = ()
    pods: tuple[str, ...] = ()


class Group(NamedTuple):
    """Pods that are alike to every rule between pods, counted by node."""

    needs: Needs
    terminating: bool
    nodes: FrozenMap[str, int]


class Budget(NamedTuple):
    """A disruption budget: how many more of the selected pods may go."""

    namespace: str
    selector: Selector | None
    allowed: int
    disrupted: tuple[str, ...] = ()


class Claim(NamedTuple):
    """A persistent volume claim: bound to a volume, or waiting by the rule of its class."""

    volume: str
    storage_class: str
    size: int
    modes: tuple[str, ...]


class Volume(NamedTuple):
    """A persistent volume. `terms` None: usable on every node."""

    name: str
    available: bool
    storage_class: str
    size: int
    modes: tuple[str, ...]
    terms: tuple[NodeTerm, ...] | None


class StorageClass(NamedTuple):
    """`waits`: volumes are bound when a pod is placed. `provisions`: they can be made."""

    waits: bool
    provisions: bool


class Catalog(NamedTuple):
    """What else decides: labels of namespaces, selectors of owners and services, budgets, volumes.

    Services are by "namespace/name"; owners by "Kind/namespace/name".
    """

    namespaces: FrozenMap[str, Labels] = FrozenMap()
    services: FrozenMap[str, Selector] = FrozenMap()
    owners: FrozenMap[str, Selector] = FrozenMap()
    budgets: FrozenMap[str, Budget] = FrozenMap()
    claims: FrozenMap[str, Claim] = FrozenMap()
    volumes: FrozenMap[str, Volume] = FrozenMap()
    classes: FrozenMap[str, StorageClass] = FrozenMap()


class Snapshot(NamedTuple):
    """All that one decision is made from; also the value of the scheduler's cache.

    `nodes` by name; `pods` those that occupy a node, by key; `groups` the same pods, counted;
    `linked` names the groups with rules towards other pods; `soft` the nodes with a
    PreferNoSchedule taint; `images` on how many nodes an image is; `nominated` pods that wait for
    victims to go, by key; `volumes` those set aside for a pod, with its key.
    """

    nodes: FrozenMap[str, NodeInfo] = FrozenMap()
    pods: FrozenMap[str, PodInfo] = FrozenMap()
    groups: FrozenMap[str, Group] = FrozenMap()
    linked: FrozenMap[str, bool] = FrozenMap()
    soft: FrozenMap[str, bool] = FrozenMap()
    images: FrozenMap[str, int] = FrozenMap()
    strays: FrozenMap[str, tuple[str, ...]] = FrozenMap()
    nominated: FrozenMap[str, PodInfo] = FrozenMap()
    volumes: FrozenMap[str, str] = FrozenMap()
    catalog: Catalog = Catalog()
