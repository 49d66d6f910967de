"""The scheduling framework: what a plug-in may do, and how one pod is decided.

Pre-filter, filter, post-filter (preemption), score and normalise, reserve and permit are pure
functions, as in Kubernetes documentation, "Scheduling Framework"; `decide.schedule` puts those of
the scheduling cycle together, the component asks reserve and permit when it assumes a pod, and
binds in a step of its own, because that writes. A plug-in is one file in `plugins/`;
it may offer its filter or score over all nodes at once, and a test holds that form equal to the
form for one node.

Not modelled: the random order in which kube-scheduler visits nodes (here: by name, from a start
that moves on where more nodes exist than are looked at), extenders, several profiles, and dynamic
resource allocation. The first changes which of several equal nodes is met, which the component
offers as choices anyway; the others need configuration that the default profile does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from reference_impl.scheduler.cache import add_pod
from reference_impl.scheduler.records import NodeInfo, PodInfo, Snapshot

SCORE_MAX: Final = 100
NODES_ALWAYS_SEARCHED: Final = 100


class Rejection(NamedTuple):
    """Why a node (or every node) is out. `resolvable`: removing pods could change it."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = True


class Skip(NamedTuple):
    """A plug-in has nothing to say about this pod."""

    kind: str = "Skip"


SKIP: Final = Skip()


class Only(NamedTuple):
    """The pre-filter's state, when the pod can only run on the nodes named."""

    state: Any
    names: frozenset[str]


class Wait(NamedTuple):
    """A permit that is not given yet, and for how long the pod may wait for it."""

    at_most_ms: int


class Plugin:
    """One rule. Subclasses override the points at which they speak.

    `weight` multiplies the score; `helped_by` names the events after which a pod that this
    plug-in refused is worth another attempt.
    """

    name: str = ""
    weight: int = 0
    filters: bool = False
    scores: bool = False
    helped_by: tuple[str, ...] = ()

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        """A state for `filter`; SKIP, Only or a Rejection for all nodes are possible too."""
        return None

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        """None when the pod may run on the node."""
        return None

    def filter_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo],
                   rejected: dict[str, Rejection]) -> Sequence[NodeInfo]:
        """The nodes that pass, in order; the others are entered in `rejected`."""
        passed = []
        for node in nodes:
            rejection = self.filter(state, pod, node)
            if rejection is None:
                passed.append(node)
            else:
                rejected[node.name] = rejection
        return passed

    def pre_score(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
        """A state for `score`, or SKIP."""
        return None

    def score(self, state: Any, pod: PodInfo, node: NodeInfo) -> int:
        """How good the node is, before normalising."""
        return 0

    def score_all(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """The scores of all nodes, in order."""
        score = self.score
        return [score(state, pod, node) for node in nodes]

    def normalize(self, state: Any, scores: list[int], nodes: Sequence[NodeInfo]) -> list[int]:
        """Scores between 0 and SCORE_MAX."""
        return scores

    def reserve(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Snapshot | Rejection:
        """The snapshot in which what the pod needs beside its room is set aside for it, or why
        that is not there any more. What is set aside is given back with the pod's room."""
        return snapshot

    def permit(self, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> Wait | Rejection | None:
        """None: the pod, assumed in the snapshot, may be bound. While one plug-in wants to wait
        the pod keeps its room; it is asked again as the snapshot changes."""
        return None


class Decision(NamedTuple):
    """What became of an attempt.

    `best` are the equally best nodes in order of name, empty when there is none; `scores` is by
    node the weighted score of each plug-in that spoke (only when two or more nodes were feasible);
    `message` is what condition and event say when there is no node; `nominated` and `victims` are
    set when preemption makes room. `rejected` tells for each node why it is out.
    """

    best: tuple[str, ...]
    message: str = ""
    nominated: str = ""
    victims: tuple[str, ...] = ()
    scores: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    rejected: tuple[tuple[str, Rejection], ...] = ()
    feasible: tuple[str, ...] = ()
    refused_by: tuple[str, ...] = ()


class Profile(NamedTuple):
    """The plug-ins of a scheduler, in order."""

    plugins: tuple[Plugin, ...]

    @property
    def filtering(self) -> tuple[Plugin, ...]:
        """Those that filter."""
        return tuple(plugin for plugin in self.plugins if plugin.filters)

    @property
    def scoring(self) -> tuple[Plugin, ...]:
        """Those that score."""
        return tuple(plugin for plugin in self.plugins if plugin.scores)


def reserved(profile: Profile, pod: PodInfo, node: NodeInfo,
             snapshot: Snapshot) -> Snapshot | Rejection:
    """Run the reserve points in order, up to the first that refuses."""
    for plugin in profile.plugins:
        found = plugin.reserve(pod, node, snapshot)
        if type(found) is Rejection:
            return found
        assert isinstance(found, Snapshot)
        snapshot = found
    return snapshot


def permitted(profile: Profile, pod: PodInfo, node: NodeInfo,
              snapshot: Snapshot) -> Wait | Rejection | None:
    """Run the permit points: a refusal wins, then the longest wait."""
    longest: Wait | None = None
    for plugin in profile.plugins:
        found = plugin.permit(pod, node, snapshot)
        if type(found) is Rejection:
            return found
        if type(found) is Wait and (longest is None or found > longest):
            longest = found
    return longest


class Prepared(NamedTuple):
    """The outcome of the pre-filters: the plug-ins that speak with their states."""

    active: tuple[tuple[Plugin, Any], ...]
    only: frozenset[str] | None = None
    only_by: tuple[str, ...] = ()
    refused: Rejection | None = None


def prepare(profile: Profile, pod: PodInfo, snapshot: Snapshot) -> Prepared:
    """Run the pre-filters."""
    active: list[tuple[Plugin, Any]] = []
    only: frozenset[str] | None = None
    only_by: list[str] = []
    for plugin in profile.filtering:
        state = plugin.pre_filter(pod, snapshot)
        if state is SKIP:
            continue
        if type(state) is Rejection:
            return Prepared((), refused=state)
        if type(state) is Only:
            only = state.names if only is None else only & state.names
            only_by.append(plugin.name)
            state = state.state
        active.append((plugin, state))
    return Prepared(tuple(active), only, tuple(sorted(only_by)))


def nodes_to_find(total: int) -> int:
    """How many feasible nodes are enough: all up to 100, then a share that falls from 50 %."""
    if total <= NODES_ALWAYS_SEARCHED:
        return total
    percent = max(50 - total // 125, 5)
    return max(total * percent // 100, NODES_ALWAYS_SEARCHED)


def first_rejection(prepared: Prepared, pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """Why one node is out, by the first plug-in that says so."""
    for plugin, state in prepared.active:
        rejection = plugin.filter(state, pod, node)
        if rejection is not None:
            return rejection
    return None


def feasible_nodes(profile: Profile, prepared: Prepared, pod: PodInfo, snapshot: Snapshot,
                   start: int, rejected: dict[str, Rejection]) -> list[NodeInfo]:
    """The nodes that pass all filters, at most as many as are worth scoring."""
    every: Sequence[NodeInfo] = tuple(snapshot.nodes.values())
    if prepared.only is not None:
        absent = Rejection(
            prepared.only_by[0],
            (f"node(s) didn't satisfy plugin(s) [{' '.join(prepared.only_by)}]",), False)
        for node in every:
            if node.name not in prepared.only:
                rejected[node.name] = absent
        every = tuple(node for node in every if node.name in prepared.only)
    wanted = nodes_to_find(len(every))
    if wanted < len(every) and start:
        every = (*every[start:], *every[:start])
    found: list[NodeInfo] = []
    position = 0
    while position < len(every) and len(found) < wanted:
        chunk = every[position:position + wanted]
        position += len(chunk)
        for plugin, state in prepared.active:
            if not chunk:
                break
            chunk = plugin.filter_all(state, pod, chunk, rejected)
        found.extend(chunk[:wanted - len(found)])
    if snapshot.nominated:
        found = [node for node in found
                 if _room_beside_nominated(profile, pod, node, snapshot, rejected)]
    return found


def nominated_on(node: str, pod: PodInfo, snapshot: Snapshot) -> list[PodInfo]:
    """Pods that wait for room on a node and go before `pod`."""
    return [other for other in snapshot.nominated.values()
            if other.nominated == node and other.key != pod.key
            and other.needs.priority >= pod.needs.priority]


def _room_beside_nominated(profile: Profile, pod: PodInfo, node: NodeInfo, snapshot: Snapshot,
                           rejected: dict[str, Rejection]) -> bool:
    """Whether the node still passes once the pods that are nominated to it are there."""
    rejection = rejection_with_nominated(profile, pod, node.name, snapshot)
    if rejection is not None:
        rejected[node.name] = rejection
    return rejection is None


def rejection_with_nominated(profile: Profile, pod: PodInfo, name: str,
                             snapshot: Snapshot) -> Rejection | None:
    """Why a node is out when the pods nominated to it are counted as there; None when it is not."""
    waiting = nominated_on(name, pod, snapshot)
    if not waiting:
        return None
    for other in waiting:
        snapshot = add_pod(snapshot, other._replace(node=name))
    prepared = prepare(profile, pod, snapshot)
    if prepared.refused is not None:
        return prepared.refused
    return first_rejection(prepared, pod, snapshot.nodes[name])


def message_of(total: int, rejected: dict[str, Rejection],
               refused: Rejection | None = None) -> str:
    """What Kubernetes writes when no node is left: each reason with its count, sorted as text."""
    if refused is not None:
        return f"0/{total} nodes are available: {', '.join(refused.reasons)}."
    counts: dict[str, int] = {}
    for rejection in rejected.values():
        for reason in rejection.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    if not counts:
        return f"0/{total} nodes are available"
    told = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f"0/{total} nodes are available: {', '.join(told)}."


def score_nodes(profile: Profile, pod: PodInfo, snapshot: Snapshot,
                nodes: Sequence[NodeInfo]) -> tuple[list[int], list[tuple[str, list[int]]]]:
    """The sum of the weighted scores of each node, and the parts by plug-in."""
    totals = [0] * len(nodes)
    parts: list[tuple[str, list[int]]] = []
    for plugin in profile.scoring:
        state = plugin.pre_score(pod, snapshot, nodes)
        if state is SKIP:
            continue
        scores = plugin.normalize(state, plugin.score_all(state, pod, nodes), nodes)
        weight = plugin.weight
        if weight != 1:
            scores = [score * weight for score in scores]
        parts.append((plugin.name, scores))
        totals = [total + score for total, score in zip(totals, scores, strict=True)]
    return totals, parts
