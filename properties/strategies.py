"""Hypothesis strategies: manifests, scenarios, schedules; and rule machines for readable tests.

Scenarios and schedules are data. A schedule is bytes of a fixed size (two a step, at most about
2,000 steps, because Hypothesis keeps 8 kB): a size that may shrink would average a few bytes. On
failure the concrete list of actions goes to our own shrinker, because an index into a changing
list of actions loses its meaning when the list gets shorter; so such tests run without
Hypothesis' shrink phase. Rule machines are short and keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from model.api.nodes import Taint
from model.api.records import pairs
from model.api.scenario import (
    DEFAULT_CAPACITY,
    NodeShape,
    Scenario,
    kubectl,
    node_shape,
    service_range_of,
)
from model.kernel.action import Action
from model.kernel.driver import choose
from model.kernel.fault import KINDS, PEER_KINDS, FaultPlan
from model.kernel.property import Checker, Property, Violation, describe
from model.kernel.system import ADVANCE, System
from model.kernel.world import World
from reference_impl.kubectl.output import to_yaml

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

Document = dict[str, Any]
STEPS_MAX = 2_000
NODES_MAX = 5
WORKLOADS_MAX = 6

APPS = ("web", "db", "cache")
NEARLY: tuple[dict[str, str], ...] = (
    {"app": "web"}, {"app": "web", "tier": "front"}, {"app": "webs"}, {"App": "web"},
    {"app": "db"}, {"app": "db", "tier": "back"}, {"tier": "front"}, {"app": ""}, {"app": "cache"},
)
"""Labels of which many nearly match each other: a prefix, another case, one pair more or less."""
IMAGES = ("web:v1", "web:v2", "db:v1")
AMOUNTS = ("100m", "500m", "1", "2", "0.5")
MEMORIES = ("64Mi", "256Mi", "1Gi", "128M")


def labels() -> st.SearchStrategy[dict[str, str]]:
    """Labels, or the selector of a plain map, that nearly match others."""
    return st.sampled_from(NEARLY)


def resources() -> st.SearchStrategy[Document]:
    """Requests and limits of a container; often none."""
    amounts = st.fixed_dictionaries({}, optional={"cpu": st.sampled_from(AMOUNTS),
                                                  "memory": st.sampled_from(MEMORIES)})
    return st.one_of(st.just({}), amounts.map(lambda each: {"requests": each} if each else {}),
                     amounts.map(lambda each: {"requests": each, "limits": each} if each else {}))


@st.composite
def pod_specs(draw: st.DrawFn) -> Document:
    """The spec of a pod with one or two containers."""
    containers = []
    for number in range(draw(st.integers(1, 2))):
        container: Document = {"name": f"c{number}", "image": draw(st.sampled_from(IMAGES))}
        room = draw(resources())
        if room:
            container["resources"] = room
        if draw(st.booleans()):
            container["ports"] = [{"containerPort": draw(st.sampled_from((80, 3306, 8080)))}]
        containers.append(container)
    spec: Document = {"containers": containers}
    if draw(st.integers(0, 4)) == 0:
        spec["nodeSelector"] = {"zone": draw(st.sampled_from("ab"))}
    if draw(st.integers(0, 4)) == 0:
        spec["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    return spec


@st.composite
def controllers(draw: st.DrawFn, name: str) -> Document:
    """A ReplicationController whose selector its template satisfies, now and then with a surplus
    label that another controller's selector matches too."""
    selector = draw(labels())
    carried = {**selector, **draw(st.sampled_from(({}, {"tier": "front"}, {"version": "1"})))}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name},
            "spec": {"replicas": draw(st.integers(0, 3)), "selector": selector,
                     "template": {"metadata": {"labels": carried}, "spec": draw(pod_specs())}}}


@st.composite
def pods(draw: st.DrawFn, name: str) -> Document:
    """A pod of its own, whose labels may make a controller adopt it."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": draw(labels())},
            "spec": draw(pod_specs())}


@st.composite
def services(draw: st.DrawFn, name: str) -> Document:
    """A service of any type; node ports come from a small pool, so that two may collide."""
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer")))
    port: Document = {"port": draw(st.sampled_from((80, 3306, 8080)))}
    if draw(st.booleans()):
        port["targetPort"] = draw(st.sampled_from((80, 8080)))
    if kind == "NodePort" and draw(st.booleans()):
        port["nodePort"] = draw(st.integers(30001, 30003))
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": kind, "ports": [port], "selector": draw(labels())}}


@st.composite
def quotas(draw: st.DrawFn, name: str) -> Document:
    """A quota that a few pods or services reach."""
    hard = draw(st.fixed_dictionaries(
        {"pods": st.integers(0, 4).map(str)},
        optional={"services": st.integers(0, 2).map(str),
                  "requests.cpu": st.sampled_from(AMOUNTS)}))
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name},
            "spec": {"hard": hard}}


@st.composite
def limit_ranges(draw: st.DrawFn, name: str) -> Document:
    """Defaults for containers that ask for nothing."""
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name},
            "spec": {"limits": [{"type": "Container", "defaultRequest": {
                "cpu": draw(st.sampled_from(AMOUNTS))}}]}}


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, str]:
    """File names and texts: up to six workloads, up to three services, now and then a quota."""
    documents: list[Document] = []
    for number in range(draw(st.integers(0, WORKLOADS_MAX))):
        make = draw(st.sampled_from((controllers, controllers, pods)))
        documents.append(draw(make(f"{draw(st.sampled_from(APPS))}-{number}")))
    for number in range(draw(st.integers(0, 3))):
        documents.append(draw(services(f"svc-{number}")))
    if draw(st.integers(0, 2)) == 0:
        documents.append(draw(quotas("quota")))
    if draw(st.integers(0, 4)) == 0:
        documents.append(draw(limit_ranges("limits")))
    return {f"{each['kind'].lower()}-{each['metadata']['name']}.yaml": to_yaml(each)
            for each in documents}


@st.composite
def nodes(draw: st.DrawFn, count_max: int = NODES_MAX) -> tuple[NodeShape, ...]:
    """One to five machines; some are small, labelled or tainted."""
    shapes = []
    for number in range(1, draw(st.integers(1, count_max)) + 1):
        shape = node_shape(number)
        capacity = {**dict(DEFAULT_CAPACITY), "cpu": draw(st.sampled_from(("1", "2", "4"))),
                    "pods": draw(st.sampled_from(("2", "5", "110")))}
        zone = draw(st.sampled_from(((), (("zone", "a"),), (("zone", "b"),))))
        taints = (Taint("dedicated", None, "NoSchedule"),) if draw(st.integers(0, 4)) == 0 else ()
        shapes.append(NodeShape(shape.name, shape.address, pairs(capacity), zone, taints))
    return tuple(shapes)


def follow_ups(files: dict[str, str]) -> st.SearchStrategy[list[str]]:
    """What a second user does to the objects of these files, in any order."""
    lines = ["get pods", "get svc", "cordon node-1", "uncordon node-1"]
    for file in sorted(files):
        kind, _, name = file.removesuffix(".yaml").partition("-")
        lines.append(f"delete -f {file} --wait=false")
        if kind == "replicationcontroller":
            lines += [f"scale rc {name} --replicas={count}" for count in (0, 1, 3)]
            lines.append(f"set image rc/{name} *=web:v2")
        elif kind == "pod":
            lines += [f"label pod {name} app={app} --overwrite" for app in APPS]
        elif kind == "service":
            lines.append(f"""patch svc {name} -p '{{"spec": {{"type": "ClusterIP"}}}}'""")
    return st.lists(st.sampled_from(lines), max_size=4)


def fault_plans() -> st.SearchStrategy[FaultPlan]:
    """Budgets of none to two for a few kinds of faults."""
    kinds = tuple(kind for kind in KINDS if kind not in PEER_KINDS)
    budgets = st.dictionaries(st.sampled_from(kinds), st.integers(1, 2), max_size=3)
    return budgets.map(lambda each: FaultPlan(tuple((kind, each[kind]) for kind in kinds
                                                    if kind in each)))


@st.composite
def scenarios(draw: st.DrawFn, *, nodes_max: int = NODES_MAX) -> Scenario:
    """A small cluster, its manifests, two sessions and a plan of faults."""
    files = draw(manifests())
    release = draw(st.sampled_from(("1.3", "1.32")))
    first = draw(st.permutations(sorted(files)))
    sessions = [kubectl(*(f"create -f {name}" for name in first)),
                kubectl(*draw(follow_ups(files)))]
    return Scenario("drawn", release, draw(nodes(nodes_max)), tuple(sorted(files.items())),
                    tuple(session for session in sessions if session), draw(fault_plans()),
                    service_range=service_range_of(release))


def schedules(steps: int) -> st.SearchStrategy[bytes]:
    """The choices of a history of this many steps, for `BytesDriver`."""
    if not 0 < steps <= STEPS_MAX:
        raise ValueError(f"a schedule has 1 to {STEPS_MAX} steps, not {steps}")
    return st.binary(min_size=2 * steps, max_size=2 * steps)


# ---- rule machines -------------------------------------------------------------------------------


class Ground(NamedTuple):
    """What a rule machine walks on: a system, the world in which it starts, the properties."""

    system: System
    world: World
    properties: tuple[Property, ...] = ()


def story(system: System, actions: list[Action], violations: tuple[Violation, ...]) -> str:
    """What failed, then how it came about, a line a step."""
    lines = [f"{violation.property.replace('_', ' ')}: {violation.message}"
             for violation in violations]
    lines += [f"  {number:3} {describe(system, action)}"
              for number, action in enumerate(actions, 1)]
    return "\n".join(lines)


def machine(ground: Callable[[], Ground]) -> type[RuleBasedStateMachine]:
    """A rule machine over a system: ready work, inputs, the clock and faults are its rules.

    After each rule the declared properties are checked on what changed; at the end of a run the
    whole world is. A failure prints the actions as a story.
    """
    from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

    numbers = st.integers(0, 255)

    class Walk(RuleBasedStateMachine):
        """One run: a world, and what was done in it."""

        def __init__(self) -> None:
            super().__init__()
            self.system, self.world, properties = ground()
            self.checker = Checker(self.system, properties)
            self.actions: list[Action] = []

        def _take(self, action: Action) -> None:
            step = self.system.transition(self.world, action)
            assert step is not None, f"{action} was offered and is not possible"
            self.actions.append(action)
            violations = tuple(self.checker.check(step))
            self.world = step.after
            assert not violations, story(self.system, self.actions, violations)

        @precondition(lambda self: self.world.total > 0)
        @rule(number=numbers)
        def work(self, number: int) -> None:
            """One piece of ready work: a delivery, a timer, a restart, a component's own step."""
            self._take(self.system.pick(self.world, number % self.world.total))

        @precondition(lambda self: bool(self.system.inputs(self.world)))
        @rule(number=numbers)
        def type_next(self, number: int) -> None:
            """The next input of one of the script's sessions."""
            offered = self.system.inputs(self.world)
            self._take(offered[number % len(offered)])

        @precondition(lambda self: bool(self.system.clock(self.world)))
        @rule()
        def wait(self) -> None:
            """The jump to the next timer."""
            self._take(ADVANCE)

        @precondition(lambda self: bool(self.system.hurts(self.world)))
        @rule(number=numbers)
        def harm(self, number: int) -> None:
            """A fault that the budget allows, or what heals one."""
            offered = self.system.hurts(self.world)
            self._take(offered[number % len(offered)])

        @rule(draws=st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=20))
        def some_steps(self, draws: list[int]) -> None:
            """Several choices at once, so that short machines reach far."""
            for draw in draws:
                action = choose(self.system, self.world, draw, 0, 24)
                if action is None:
                    return
                self._take(action)

        def teardown(self) -> None:
            """The whole world at the end: the oracle of the checks on changes."""
            violations = tuple(self.checker.full(self.world))
            assert not violations, story(self.system, self.actions, violations)

    return Walk
