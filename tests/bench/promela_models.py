"""Two hand-written Promela models of the common benchmark, for Spin as the peer to measure against.

A person who knows Spin writes one process whose options are unrolled `d_step`s. The plain model
counts live pods and occupied nodes in each guard; the other keeps them as state. Their states and
transitions are those of model/benchmark.py, but for one transition that Spin adds for the initial
state. A pod is one byte: 0 absent, 1 pending, then bound, running and terminating on each node.
"""

from __future__ import annotations

from collections.abc import Iterator


class Model:
    """The sizes, and how a pod's byte is read."""

    def __init__(self, pods: int, nodes: int, capacity: int, ceiling: int) -> None:
        self.pods, self.nodes = range(pods), range(nodes)
        self.capacity, self.ceiling = capacity, ceiling
        self.bound = [2 + node for node in self.nodes]
        self.running = [2 + nodes + node for node in self.nodes]
        self.ending = [2 + 2 * nodes + node for node in self.nodes]

    def live(self) -> str:
        """How many pods are live, as an expression."""
        last = self.ending[0]
        return "(" + "+".join(f"(p[{i}]>0 && p[{i}]<{last})" for i in self.pods) + ")"

    def occupied(self, node: int) -> str:
        """How many pods a node holds, as an expression."""
        codes = (self.bound[node], self.running[node], self.ending[node])
        tests = ("(" + " || ".join(f"p[{i}]=={code}" for code in codes) + ")" for i in self.pods)
        return "(" + "+".join(tests) + ")"

    def placed(self, pod: int, node: int) -> str:
        """Whether a pod is bound or running on a node."""
        return f"(p[{pod}]=={self.bound[node]} || p[{pod}]=={self.running[node]})"


def _process(declarations: str, steps: Iterator[str]) -> str:
    body = "\n".join(f":: d_step {{ {step} }}" for step in steps)
    return f"{declarations}\nactive proctype Cluster() {{\nend: do\n{body}\nod\n}}\n"


def _nodes(model: Model) -> Iterator[str]:
    """Crash and recovery, the same in both models."""
    for node in model.nodes:
        yield f"up{node} -> up{node}=0"
        back = " ".join(f"if :: p[{i}]=={model.running[node]} -> p[{i}]={model.bound[node]} "
                        ":: else fi;" for i in model.pods)
        yield f"!up{node} -> up{node}=1; {back}"


def plain(model: Model) -> str:
    """Counts in guards."""
    ups = " ".join(f"bit up{node}=1;" for node in model.nodes)

    def steps() -> Iterator[str]:
        for wish in range(model.ceiling + 1):
            yield f"want!={wish} -> want={wish}"
        yield f"seen!={model.live()} -> seen={model.live()}"
        for pod in model.pods:
            at = f"p[{pod}]"
            yield f"seen<want && {at}==0 -> {at}=1; seen++; assert({model.live()}<={model.ceiling})"
            yield f"seen>want && {at}==1 -> {at}=0; seen--"
            yield f"{at}>={model.ending[0]} -> {at}=0"
            for node in model.nodes:
                room = f"{model.occupied(node)}<{model.capacity}"
                yield (f"{at}==1 && up{node} && {room} -> {at}={model.bound[node]}; "
                       f"assert({model.occupied(node)}<={model.capacity})")
                yield f"{at}=={model.bound[node]} && up{node} -> {at}={model.running[node]}"
                placed = model.placed(pod, node)
                yield f"seen>want && {placed} -> {at}={model.ending[node]}; seen--"
                yield f"{placed} && !up{node} -> {at}={model.ending[node]}"
        yield from _nodes(model)

    return _process(f"byte p[{len(model.pods)}]; byte want; byte seen; {ups}", steps())


def counting(model: Model) -> str:
    """Counts as state, maintained by each step."""
    ups = " ".join(f"bit up{node}=1; byte held{node};" for node in model.nodes)

    def steps() -> Iterator[str]:
        for wish in range(model.ceiling + 1):
            yield f"want!={wish} -> want={wish}"
        yield "seen!=live -> seen=live"
        for pod in model.pods:
            at = f"p[{pod}]"
            yield (f"{at}==0 && seen<want -> {at}=1; live++; seen++; "
                   f"assert(live<={model.ceiling})")
            yield f"{at}==1 && seen>want -> {at}=0; live--; seen--"
            for node in model.nodes:
                yield (f"{at}==1 && up{node} && held{node}<{model.capacity} -> "
                       f"{at}={model.bound[node]}; held{node}++; "
                       f"assert(held{node}<={model.capacity})")
                yield f"{at}=={model.bound[node]} && up{node} -> {at}={model.running[node]}"
                placed = model.placed(pod, node)
                yield f"{placed} && seen>want -> {at}={model.ending[node]}; live--; seen--"
                yield f"{placed} && !up{node} -> {at}={model.ending[node]}; live--"
                yield f"{at}=={model.ending[node]} -> {at}=0; held{node}--"
        yield from _nodes(model)

    return _process(f"byte p[{len(model.pods)}]; byte want; byte seen; byte live; {ups}", steps())
