"""Pictures of histories and worlds as DOT, and as SVG or PNG where Graphviz is installed.

Three pictures: the space-time diagram of a history (a lane for each component, as in a List-Watch
figure), the cluster at one step (nodes, pods, services, routes), and the graph of a bounded search
or a lasso. What a violation names is drawn in red.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.kernel.action import Action
from model.kernel.component import CUT
from model.kernel.errors import InputError
from model.kernel.property import describe
from model.kernel.system import System, Transition
from model.kernel.world import UP, World
from traces.explain import body_text, clock
from traces.history import write_whole
from traces.replay import transitions

FORMATS = ("svg", "png", "dot")
_RED, _GREY, _BLUE = "#c62828", "#78909c", "#1565c0"
_LANE_POINTS, _STEP_POINTS = 150, 26


class Drawn(NamedTuple):
    """The file that was written, and a remark when it is not the one that was asked for."""

    path: Path
    remark: str = ""


def render(dot: str, path: Path) -> Drawn:
    """Write DOT text to `path` in the format of its suffix.

    Without Graphviz's `dot` the DOT text itself is written beside it, and the remark says so.
    InputError for an unknown suffix or a place that cannot be written.
    """
    import graphviz
    kind = path.suffix.lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"pictures end in .svg, .png or .dot, not {path.suffix!r}",
                         where=str(path))
    if kind == "dot":
        write_whole(path, dot.encode())
        return Drawn(path)
    placed = "layout=neato" in dot
    try:
        data = graphviz.Source(dot, engine="neato" if placed else "dot").pipe(
            format=kind, neato_no_op=2 if placed else None)
    except graphviz.ExecutableNotFound:
        target = path.with_suffix(".dot")
        write_whole(target, dot.encode())
        return Drawn(target, f"Graphviz's dot is not installed: wrote {target.name} instead of "
                     f"{path.name}")
    except graphviz.CalledProcessError as error:
        raise InputError(f"dot failed: {error.stderr!r}", where=str(path)) from None
    write_whole(path, data)
    return Drawn(path)


def _graph(title: str, **attributes: str) -> Any:
    """An empty picture with a title and our fonts."""
    import graphviz
    return graphviz.Digraph(
        graph_attr={"label": title, "labelloc": "t", "fontname": "Helvetica", "bgcolor": "white",
                    **attributes},
        node_attr={"fontname": "Helvetica", "fontsize": "9", "shape": "box"},
        edge_attr={"fontname": "Helvetica", "fontsize": "8"})


# -- space-time -----------------------------------------------------------------------------------


def space_time(system: System, start: World, actions: Sequence[Action], title: str = "",
               limit: int = 120) -> str:
    """The history as lanes of components over steps, with an arrow for every message.

    Only components that move are given a lane; of a long history the last `limit` steps are drawn.
    """
    steps = list(transitions(system, start, actions))
    first = max(len(steps) - limit, 0)
    drawn = steps[first:]
    names = _lanes(system, drawn)
    graph = _graph(title, layout="neato", splines="line")
    height = (len(drawn) + 1) * _STEP_POINTS
    for name, lane in names.items():
        x = lane * _LANE_POINTS
        graph.node(f"head {lane}", label=name, style="filled", fillcolor="#eceff1",
                   pos=f"{x},{_STEP_POINTS}!")
        graph.node(f"foot {lane}", shape="point", width="0.01", pos=f"{x},{-height}!")
        graph.edge(f"head {lane}", f"foot {lane}", color="#cfd8dc", arrowhead="none")
    _events(graph, system, drawn, names, first, start.now)
    return str(graph.source)


def _lanes(system: System, steps: Sequence[Transition]) -> dict[str, int]:
    moving = {name for step in steps for name in _touched(system, step)}
    order = [component.name for component in system.components if component.name in moving]
    # The store and its server in the middle, as in the figures of the documentation.
    outside = [name for name in order if name not in ("etcd", "apiserver")]
    half = len(outside) // 2
    middle = [name for name in ("etcd", "apiserver") if name in moving]
    return {name: at for at, name in enumerate((*outside[:half], *middle, *outside[half:]))}


def _touched(system: System, step: Transition) -> Iterable[str]:
    if step.mover >= 0:
        yield system.components[step.mover].name
    yield from (to for to, _, _ in step.sent)
    yield from (str(arg) for arg in step.action.args[:2] if str(arg) in system.names)


def _events(graph: Any, system: System, steps: Sequence[Transition], names: dict[str, int],
            first: int, start_ms: int) -> None:
    waiting: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for number, step in enumerate(steps):
        y = -(number + 1) * _STEP_POINTS
        event = f"step {first + number + 1}"
        where = system.components[step.mover].name if step.mover >= 0 else _at_fault(step, names)
        text = f"{first + number + 1} {_label(system, step)}"
        color = _RED if step.action.actor == "fault" else (
            _GREY if step.action.actor == "clock" else _BLUE)
        graph.node(event, label="", shape="circle", width="0.09", style="filled",
                   fillcolor=color, color=color, pos=f"{names.get(where, 0) * _LANE_POINTS},{y}!",
                   xlabel=f"{text} {clock(step.after.now, start_ms)}", tooltip=text)
        if step.message is not None:
            sent = waiting.get((step.message.source, where, step.message.lane))
            if sent:
                tail, words = sent.pop(0)
                dashed = "dashed" if step.message.body == CUT else "solid"
                graph.edge(tail, event, label=words, color=color, style=dashed, fontcolor=_GREY)
        for to, lane, body in step.sent:
            waiting.setdefault((where, to, lane), []).append((event, body_text(body)))


def _at_fault(step: Transition, names: dict[str, int]) -> str:
    return next((str(arg) for arg in step.action.args if str(arg) in names), "")


def _label(system: System, step: Transition) -> str:
    if step.action.verb == "deliver":
        return ""
    return describe(system, step.action).removeprefix(f"{step.action.actor} ")[:48]


# -- the cluster at a step ------------------------------------------------------------------------


def cluster(world: World, title: str = "", named: str = "") -> str:
    """Nodes, pods, services and routes of a world; objects that the text `named` names are red."""
    objects = _objects(world)
    graph = _graph(title, rankdir="LR", compound="true")
    graph.attr("node", style="filled,rounded", fontsize="10")
    pods = objects.get("Pod", [])
    nodes = {node.metadata.name: node for node in objects.get("Node", [])}
    placed: dict[str, list[Any]] = {}
    for pod in pods:
        placed.setdefault((pod.spec.node_name if pod.spec else None) or "", []).append(pod)
    for at, name in enumerate(sorted({*nodes, *placed})):
        color = _RED if name and name in named else _GREY
        heading = name if name in nodes else (f"{name} (gone)" if name else "not bound")
        if name and _is_down(world, name):
            heading, color = f"{name} (down)", _RED
        with graph.subgraph(name=f"cluster_{at}") as machine:
            machine.attr(label=heading, color=color)
            machine.node(f"node {name}", style="invis", width="0.1", label="")
            for pod in placed.get(name, ()):
                _pod(machine, pod, named)
    _services(graph, objects, named)
    return str(graph.source)


def _objects(world: World) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry in world["etcd"].kv.values():
        kind = getattr(entry.value, "kind", "")
        found.setdefault(kind, []).append(entry.value)
    return found


def _is_down(world: World, node: str) -> bool:
    name = f"kubelet/{node}"
    return name in world and world.status(name) != UP


def _pod(graph: Any, pod: Any, named: str) -> None:
    name = pod.metadata.name
    phase = (pod.status.phase if pod.status else None) or "Pending"
    going = pod.metadata.deletion_timestamp is not None
    fill = {"Running": "#c8e6c9", "Pending": "#fff9c4", "Failed": "#ffcdd2",
            "Succeeded": "#bbdefb"}.get(phase, "#eeeeee")
    address = (pod.status.pod_ip if pod.status else None) or "no address"
    graph.node(f"pod {pod.metadata.namespace}/{name}",
               label=f"{name}\n{'Terminating' if going else phase} {address}", fillcolor=fill,
               color=_RED if name in named else "#455a64", penwidth="3" if name in named else "1")


def _services(graph: Any, objects: dict[str, list[Any]], named: str) -> None:
    addresses = {(pod.metadata.namespace, pod.status.pod_ip): pod for pod in objects.get("Pod", [])
                 if pod.status and pod.status.pod_ip}
    ends = {(e.metadata.namespace, e.metadata.name): e for e in objects.get("Endpoints", [])}
    for service in objects.get("Service", []):
        namespace, name = service.metadata.namespace, service.metadata.name
        ports = ", ".join(f"{port.port}" + (f":{port.node_port}" if port.node_port else "")
                          for port in service.spec.ports or ())
        key = f"service {namespace}/{name}"
        graph.node(key, label=f"{name}\n{service.spec.cluster_ip or ''} {ports}", shape="hexagon",
                   fillcolor="#e1bee7", color=_RED if name in named else "#6a1b9a",
                   penwidth="3" if name in named else "1")
        endpoints = ends.get((namespace, name))
        for subset in (endpoints.subsets if endpoints else None) or ():
            for address in subset.addresses or ():
                pod = addresses.get((namespace, address.ip))
                target = f"pod {namespace}/{pod.metadata.name}" if pod else f"address {address.ip}"
                if pod is None:
                    graph.node(target, label=f"{address.ip}\nno such pod", fillcolor="#ffcdd2",
                               color=_RED)
                graph.edge(key, target, color="#6a1b9a")


# -- graphs of a search ---------------------------------------------------------------------------


def state_graph(system: System, start: World, actions: Sequence[Action], title: str = "",
                limit: int = 300) -> str:
    """The states along a history with all that could have happened instead, one step off.

    The history is drawn in red; equal worlds are one state, so that ways which meet again are
    seen to. At most `limit` states are drawn, those near the end first.
    """
    import networkx
    steps = list(transitions(system, start, actions))
    states = networkx.MultiDiGraph()
    path = [step.before for step in steps] + ([steps[-1].after] if steps else [start])
    red = {(step.before, step.action) for step in steps}
    for step in steps:
        states.add_edge(step.before, step.after, action=step.action)
    for world in reversed(path):
        for action in system.enabled(world):
            if (world, action) in red:
                continue
            if states.number_of_nodes() >= limit:
                break
            states.add_edge(world, system.apply(world, action), action=action)
    graph = _graph(title)
    names = {world: f"s{number}" for number, world in enumerate(states)}
    on_path = {world: number for number, world in enumerate(path)}
    for world, name in names.items():
        number = on_path.get(world)
        graph.node(name, label="" if number is None else str(number), shape="circle",
                   width="0.15" if number is None else "0.3",
                   color=_GREY if number is None else _RED)
    for tail, head, action in states.edges(data="action"):
        chosen = (tail, action) in red
        graph.edge(names[tail], names[head], color=_RED if chosen else "#cfd8dc",
                   label=describe(system, action)[:40], fontcolor=_RED if chosen else _GREY)
    return str(graph.source)


def lasso(stem: Sequence[tuple[str, str]], loop: Sequence[tuple[str, str]],
          title: str = "") -> str:
    """A counterexample to a leads-to: (label, state) steps of the stem, then of the loop.

    The first label is that of the start ("init"). The loop leads back to the last stem state.
    """
    graph = _graph(title, rankdir="LR")
    steps = [*stem, *loop[:-1]]
    for at, (_, state) in enumerate(steps):
        graph.node(f"s{at}", label=state, color=_GREY if at < len(stem) - 1 else _RED)
    for at in range(1, len(steps)):
        graph.edge(f"s{at - 1}", f"s{at}", label=steps[at][0],
                   color=_RED if at >= len(stem) else _GREY)
    if loop:
        graph.edge(f"s{len(steps) - 1}", f"s{len(stem) - 1}", label=loop[-1][0], color=_RED,
                   constraint="false")
    return str(graph.source)
