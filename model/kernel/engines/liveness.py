"""Leads-to on the finite graph of a spec, under weak and strong fairness of every instance.

A run is a path that never ends; it may stay in a state forever (stutter) unless fairness forbids
that. `cause leads to effect` fails when a reachable state satisfies the cause and from there a
fair run avoids the effect forever: it ends in a strongly connected component (or in one state, a
dead end) without the effect in which every weakly fair instance is taken or somewhere disabled,
and every strongly fair one is taken or nowhere enabled. A component that only fails strong
fairness is searched again without the states where the neglected instances are enabled. As in
TLA+, a step that changes nothing counts neither as enabled nor as taken.

The graph is always the full one: permuting members does not keep the fairness of single instances
apart, so a symmetry-reduced graph would be unsound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from model.kernel.spec import ir
from model.kernel.spec.ground import Grounded, GroundState, Obligation
from model.kernel.spec.interpret import Program, search

Fair = tuple[int, ...]


class Lasso(NamedTuple):
    """A counterexample: instances and states of the stem, then those of the loop.

    `stem_states` begins with the initial state and ends where the loop starts; `loop_states` ends
    there again. An empty loop: the run stays in that state forever. `pending_at` is the position in
    `stem_states` where the cause holds.
    """

    stem: tuple[int, ...]
    stem_states: tuple[GroundState, ...]
    loop: tuple[int, ...]
    loop_states: tuple[GroundState, ...]
    pending_at: int


class LeadsToResult(NamedTuple):
    """The verdict on one leads-to; `lasso` and the arguments it fails for, or None."""

    name: str
    holds: bool
    arguments: tuple[ir.Value, ...]
    lasso: Lasso | None


class Graph(NamedTuple):
    """All reachable states and transitions; `source`, `instance`, `target` are NumPy arrays.

    Steps that change nothing are left out. State 0 is the initial one; `parents` leads back to it.
    """

    grounded: Grounded
    states: list[GroundState]
    source: Any
    instance: Any
    target: Any
    parents: dict[GroundState, tuple[GroundState | None, int]]


def build_graph(grounded: Grounded, *, states_max: int = 400_000,
                seconds_max: float = 60.0) -> Graph | None:
    """The whole graph, or None when it is larger than the bounds."""
    import numpy as np

    edges: list[tuple[GroundState, int, GroundState]] = []
    found = search(grounded, states_max=states_max, seconds_max=seconds_max, edges=edges)
    if not found.complete:
        return None
    states = list(found.parents)
    number = {state: position for position, state in enumerate(states)}
    changing = [(number[a], k, number[b]) for a, k, b in edges if a != b]
    table = np.array(changing, dtype=np.int64).reshape(-1, 3)
    return Graph(grounded, states, table[:, 0], table[:, 1], table[:, 2], found.parents)


def check_leads_to(graph: Graph) -> tuple[LeadsToResult, ...]:
    """The verdict on every leads-to of the spec, for all values of its parameters."""
    checker = _Checker(graph)
    results: dict[str, LeadsToResult] = {}
    for obligation in graph.grounded.obligations:
        if obligation.name in results and not results[obligation.name].holds:
            continue
        lasso = checker.check(obligation)
        results[obligation.name] = LeadsToResult(obligation.name, lasso is None,
                                                 obligation.arguments if lasso else (), lasso)
    return tuple(results.values())


class _Checker:
    def __init__(self, graph: Graph) -> None:
        import numpy as np

        self.np: Any = np
        self.graph = graph
        grounded = graph.grounded
        fairness = {each.name: each.fairness for each in grounded.module.actions}
        kinds = [fairness[each.action] for each in grounded.instances]
        self.weak = np.array([kind == "weak" for kind in kinds], dtype=bool)
        self.strong = np.array([kind == "strong" for kind in kinds], dtype=bool)
        self.program = Program(grounded)

    def check(self, obligation: Obligation) -> Lasso | None:
        """A lasso on which the obligation fails, or None."""
        np, graph = self.np, self.graph
        cause = self.program.predicate(obligation.cause)
        effect = self.program.predicate(obligation.effect)
        without = np.fromiter((not effect(state) for state in graph.states), bool,
                              len(graph.states))
        pending = np.fromiter((cause(state) for state in graph.states), bool, len(graph.states))
        starts = np.flatnonzero(pending & without)
        if not len(starts):
            return None
        inside = without[graph.source] & without[graph.target]
        region = self._reachable(starts, inside)
        trap = self._resting(region)
        if trap is None:
            trap = self._fair_component(region, inside)
        return None if trap is None else self._lasso(starts, inside, trap)

    def _reachable(self, starts: Any, edges: Any) -> Any:
        """All states that the starts reach over the edges."""
        np, graph = self.np, self.graph
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import breadth_first_order

        count = len(graph.states)
        source = np.concatenate([graph.source[edges], np.full(len(starts), count)])
        target = np.concatenate([graph.target[edges], starts])
        links = csr_array((np.ones(len(source), np.int8), (source, target)),
                          shape=(count + 1, count + 1))
        order = breadth_first_order(links, count, return_predecessors=False)
        region = np.zeros(count, bool)
        region[order[order < count]] = True
        return region

    def _resting(self, region: Any) -> Any:
        """A state of the region in which a run may stay: no fair instance is enabled. As a mask."""
        np, graph = self.np, self.graph
        fair = (self.weak | self.strong)[graph.instance]
        busy = np.zeros(len(graph.states), bool)
        busy[graph.source[fair]] = True
        rest = np.flatnonzero(region & ~busy)
        if not len(rest):
            return None
        mask = np.zeros(len(graph.states), bool)
        mask[rest[0]] = True
        return mask

    def _fair_component(self, region: Any, edges: Any) -> Any:
        """The states of a fair component within the region (as a mask), or None."""
        np, graph = self.np, self.graph
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        while region.any():
            kept = edges & region[graph.source] & region[graph.target]
            members = np.flatnonzero(region)
            place = np.full(len(graph.states), -1)
            place[members] = np.arange(len(members))
            source, target = place[graph.source[kept]], place[graph.target[kept]]
            links = csr_array((np.ones(len(source), np.int8), (source, target)),
                              shape=(len(members), len(members)))
            total, component = connected_components(links, connection="strong")
            neglected_weak, neglected_strong = self._neglected(
                total, component, members, place, kept, source, target)
            fair = ~(neglected_weak.any(axis=1) | neglected_strong.any(axis=1))
            if fair.any():
                # The component that holds the earliest state gives a short stem.
                first = np.flatnonzero(fair[component])[0]
                mask = np.zeros(len(graph.states), bool)
                mask[members[component == component[first]]] = True
                return mask
            # All components at once: what is left of different ones stays apart.
            region = np.zeros(len(graph.states), bool)
            region[members[~neglected_weak.any(axis=1)[component]]] = True
            here = place[graph.source] >= 0
            neglecting = neglected_strong[component[place[graph.source[here]]],
                                          graph.instance[here]]
            region[graph.source[here][neglecting]] = False
        return None

    def _neglected(self, total: int, component: Any, members: Any, place: Any, kept: Any,
                   source: Any, target: Any) -> tuple[Any, Any]:
        """By component and instance: is it enabled (everywhere, for weak) and never taken?"""
        np, graph = self.np, self.graph
        width = len(graph.grounded.instances)
        sizes = np.bincount(component, minlength=total)
        here = place[graph.source] >= 0
        enabled = np.bincount(
            component[place[graph.source[here]]] * width + graph.instance[here],
            minlength=total * width).reshape(total, width)
        staying = component[source] == component[target]
        taken = np.bincount(component[source[staying]] * width + graph.instance[kept][staying],
                            minlength=total * width).reshape(total, width) > 0
        everywhere = enabled == sizes[:, None]
        return (everywhere & ~taken & self.weak, (enabled > 0) & ~taken & self.strong)

    # ------------------------------------------------------------------------------- the lasso

    def _lasso(self, starts: Any, inside: Any, trap: Any) -> Lasso:
        graph = self.graph
        out = self._outgoing(inside)
        path = _walk(out, [int(each) for each in starts], lambda state: bool(trap[state]))
        first = path[0][0] if path else next(int(each) for each in starts if trap[each])
        stem, states = self._from_start(graph.states[first])
        pending_at = len(states) - 1
        for source, instance, target in path:
            assert graph.states[source] == states[-1]
            stem.append(instance)
            states.append(graph.states[target])
        entry = path[-1][2] if path else first
        loop = self._loop(entry, trap, inside)
        return Lasso(tuple(stem), tuple(states), tuple(k for _, k, _ in loop),
                     tuple(graph.states[target] for _, _, target in loop), pending_at)

    def _outgoing(self, kept: Any) -> dict[int, list[tuple[int, int]]]:
        graph = self.graph
        out: dict[int, list[tuple[int, int]]] = {}
        for source, instance, target in zip(graph.source[kept].tolist(),
                                            graph.instance[kept].tolist(),
                                            graph.target[kept].tolist(), strict=True):
            out.setdefault(source, []).append((instance, target))
        return out

    def _from_start(self, state: GroundState) -> tuple[list[int], list[GroundState]]:
        """The shortest way from the initial state."""
        stem: list[int] = []
        states = [state]
        while (parent := self.graph.parents[states[-1]])[0] is not None:
            stem.append(parent[1])
            states.append(parent[0])
        return stem[::-1], states[::-1]

    def _loop(self, entry: int, trap: Any, inside: Any) -> list[tuple[int, int, int]]:
        """A way round in the component from `entry` that gives every fair instance its due."""
        graph = self.graph
        kept = inside & trap[graph.source] & trap[graph.target]
        out = self._outgoing(kept)
        if not out:
            return []
        enabled: dict[int, set[int]] = {}
        here = trap[graph.source]
        for source, instance in zip(graph.source[here].tolist(), graph.instance[here].tolist(),
                                    strict=True):
            enabled.setdefault(source, set()).add(instance)
        members = [int(each) for each in self.np.flatnonzero(trap)]
        loop: list[tuple[int, int, int]] = []
        at = entry
        for instance in (int(each) for each in self.np.flatnonzero(self.weak | self.strong)):
            on = [state for state in members if instance in enabled.get(state, ())]
            if not on:
                continue
            takers = {state for state, edges in out.items()
                      if any(k == instance for k, _ in edges)}
            if takers:
                if any(k == instance for _, k, _ in loop):
                    continue
                loop += _walk(out, [at], takers.__contains__)
                at = loop[-1][2] if loop else at
                step = next(edge for edge in out[at] if edge[0] == instance)
                loop.append((at, *step))
            else:  # weakly fair, never taken: somewhere it is disabled
                off = {state for state in members if instance not in enabled.get(state, ())}
                if at in off or any(target in off for _, _, target in loop):
                    continue
                loop += _walk(out, [at], off.__contains__)
            at = loop[-1][2] if loop else at
        return loop + _walk(out, [at], lambda state: state == entry)


def _walk(out: dict[int, list[tuple[int, int]]], starts: Iterable[int],
          wanted: Any) -> list[tuple[int, int, int]]:
    """The shortest path from one of the starts to a wanted state, as edges."""
    came: dict[int, tuple[int, int] | None] = dict.fromkeys(starts)
    waiting = deque(came)
    while waiting:
        state = waiting.popleft()
        if wanted(state):
            path: list[tuple[int, int, int]] = []
            while (step := came[state]) is not None:
                path.append((step[0], step[1], state))
                state = step[0]
            return path[::-1]
        for instance, target in out.get(state, ()):
            if target not in came:
                came[target] = (state, instance)
                waiting.append(target)
    raise AssertionError("the states of a component reach each other")
