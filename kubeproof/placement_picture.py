"""The placement as a picture: zones with their nodes, what is on each, and how full it is."""

from __future__ import annotations

from typing import Any

from kubeproof.verification import ZONE, Outcome
from properties.scheduler.problem import Problem, amount_text

COLUMNS = 7
SHADES = ((0.6, "#e3f2e1"), (0.85, "#fdf3d0"), (2.0, "#f9dccb"))
"""How full a node is by its scarcest resource, and the colour for up to that."""
TOLD = ("cpu", "memory")


def picture(outcome: Outcome) -> str:
    """The placement as DOT: a box for each node with its pods by workload and its fill."""
    import graphviz

    problem, answer = outcome.problem, outcome.answer or {}
    kinds = {pod: at for at, kind in enumerate(problem.kinds) for pod in kind.pods}
    here: dict[str, dict[int, int]] = {node.name: {} for node in problem.nodes}
    for pod, name in answer.items():
        here[name][kinds[pod]] = here[name].get(kinds[pod], 0) + 1
    graph = graphviz.Digraph("placement", graph_attr={"ranksep": "0.15", "nodesep": "0.1"},
                             node_attr={"shape": "record", "fontname": "Helvetica",
                                        "fontsize": "10", "style": "filled"})
    zones: dict[str, list[int]] = {}
    for at, node in enumerate(problem.nodes):
        zones.setdefault(node.labels.get(ZONE, ""), []).append(at)
    above: list[str] = []
    for zone, members in zones.items():
        with graph.subgraph(name=f"cluster {zone}") as part:
            part.attr(label=zone, color="#bbbbbb" if zone else "white", fontname="Helvetica")
            above = _rows(part, problem, here, members, above)
    missing = [pod for pod in kinds if pod not in answer]
    if missing:
        graph.node("missing", label=f"not placed: {len(missing)} pods", color="red")
    return str(graph.source)


def _rows(graph: Any, problem: Problem, here: dict[str, dict[int, int]], members: list[int],
          above: list[str]) -> list[str]:
    """Draw some nodes in rows below the row `above`; the last row."""
    for start in range(0, len(members), COLUMNS):
        row = [problem.nodes[at].name for at in members[start:start + COLUMNS]]
        for name, at in zip(row, members[start:], strict=False):
            label, shade = _box(problem, at, here[name])
            graph.node(name, label=label, fillcolor=shade)
        for upper, lower in zip(above, row, strict=False):
            graph.edge(upper, lower, style="invis")
        above = row
    return above


def _box(problem: Problem, at: int, held: dict[int, int]) -> tuple[str, str]:
    """Label and colour of a node."""
    used = [sum(problem.kinds[kind].asks[column] * number for kind, number in held.items())
            for column in range(len(problem.resources))]
    fullest = max((taken / have for taken, have in zip(used, problem.room[at], strict=True)
                   if have), default=0.0)
    shade = next(colour for most, colour in SHADES if fullest <= most)
    fill = [f"{amount_text(name, taken)} of {amount_text(name, have)}"
            for name, taken, have in zip(problem.resources, used, problem.room[at], strict=True)
            if name in TOLD or (taken and name != "pods")]
    counts: dict[str, int] = {}
    for kind, number in held.items():
        name = problem.kinds[kind].name
        counts[name] = counts.get(name, 0) + number
    pods = [f"{name} x{number}" for name, number in sorted(counts.items())]
    rows = [problem.nodes[at].name, "\n".join(fill), "\n".join(pods)]
    return "{" + "|".join(_plain(row) for row in rows if row) + "}", shade


def _plain(text: str) -> str:
    """Text without the characters that have a meaning in a record label."""
    return "".join("/" if each in "{}|<>" else each for each in text).replace("\n", r"\n")
