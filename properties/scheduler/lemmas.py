"""What Z3 proves about placement: lemmas on the rules, and that the checker says what they say.

A lemma is a formula whose negation has no model. Some hold for all integers, some for a stated
bound; each says which. The agreements compare a rule of `rules` with a formula written from the
document: the rule is run on every input of a bound, its answers become a tree of cases, and Z3
finds no input on which tree and formula differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api.objects import freeze
from properties.scheduler import rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts, node_facts, pod_facts
from properties.scheduler.rules import Placement


class Lemma(NamedTuple):
    """A sentence, what it is proved for, and a function that gives its negation."""

    sentence: str
    bound: str
    negation: Callable[[Any], Any]


class Proof(NamedTuple):
    """`holds` None: Z3 gave up. `counterexample` is a model as text."""

    lemma: str
    bound: str
    holds: bool | None
    counterexample: str = ""


def prove(lemma: Lemma, timeout_ms: int = 20_000) -> Proof:
    """Whether the lemma holds."""
    import z3

    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(lemma.negation(z3))
    result = solver.check()
    if result == z3.unsat:
        return Proof(lemma.sentence, lemma.bound, True)
    if result == z3.sat:
        return Proof(lemma.sentence, lemma.bound, False, str(solver.model()))
    return Proof(lemma.sentence, lemma.bound, None)


# -- lemmas ---------------------------------------------------------------------------------------


def _fits(z3: Any, asks: list[Any], used: list[Any], room: list[Any]) -> Any:
    """The filter: what is not asked for is not looked at."""
    return z3.And([z3.Or(ask == 0, ask <= have - taken)
                   for ask, taken, have in zip(asks, used, room, strict=True)])


def _vectors(z3: Any, *names: str) -> list[list[Any]]:
    return [[z3.Int(f"{name}{at}") for at in range(3)] for name in names]


def _capacity_is_kept(z3: Any) -> Any:
    asks, used, room = _vectors(z3, "ask", "used", "room")
    sound = z3.And([z3.And(ask >= 0, taken >= 0, taken <= have)
                    for ask, taken, have in zip(asks, used, room, strict=True)])
    after = z3.And([taken + ask <= have for ask, taken, have in zip(asks, used, room,
                                                                     strict=True)])
    return z3.And(sound, _fits(z3, asks, used, room), z3.Not(after))


def _room_is_monotone(z3: Any) -> Any:
    asks, used, less, room = _vectors(z3, "ask", "used", "less", "room")
    fewer = z3.And([a <= b for a, b in zip(less, used, strict=True)])
    return z3.And(fewer, _fits(z3, asks, used, room), z3.Not(_fits(z3, asks, less, room)))


def _removal_frees(z3: Any) -> Any:
    """Taking a pod away never makes another one unfit: victims are a help or nothing."""
    asks, used, victim, room = _vectors(z3, "ask", "used", "victim", "room")
    positive = z3.And([amount >= 0 for amount in victim])
    after = [taken - freed for taken, freed in zip(used, victim, strict=True)]
    return z3.And(positive, _fits(z3, asks, used, room), z3.Not(_fits(z3, asks, after, room)))


def _skew_is_bounded(z3: Any) -> Any:
    """Counts of up to five domains; the pod goes to the first."""
    counts = [z3.Int(f"count{at}") for at in range(5)]
    skew = z3.Int("maxSkew")
    least = _least(z3, counts)
    after = [counts[0] + 1, *counts[1:]]
    allowed = counts[0] + 1 - least <= skew
    before = z3.And([count - least <= skew for count in counts])
    new_least = _least(z3, after)
    return z3.And(skew >= 1, z3.And([count >= 0 for count in counts]), before, allowed,
                  z3.Or([count - new_least > skew for count in after]))


def _least(z3: Any, values: list[Any]) -> Any:
    found = values[0]
    for value in values[1:]:
        found = z3.If(value < found, value, found)
    return found


def _preemption_pays(z3: Any) -> Any:
    """Up to six pods: victims are those of lower priority; the preemptor is placed."""
    own = z3.Int("own")
    priorities = [z3.Int(f"priority{at}") for at in range(6)]
    victims = [z3.Bool(f"victim{at}") for at in range(6)]
    waiting = [z3.Bool(f"waiting{at}") for at in range(6)]
    lower = z3.And([z3.Implies(gone, z3.And(priority < own, z3.Not(waits)))
                    for gone, priority, waits in zip(victims, priorities, waiting, strict=True)])
    before = 1 + z3.Sum([z3.If(z3.And(waits, priority >= own), 1, 0)
                         for waits, priority in zip(waiting, priorities, strict=True)])
    after = z3.Sum([z3.If(z3.And(z3.Or(waits, gone), priority >= own), 1, 0)
                    for waits, gone, priority in zip(waiting, victims, priorities, strict=True)])
    return z3.And(lower, after >= before)


def _emptier_scores_more(z3: Any) -> Any:
    """Least allocated, one resource: score = (room - used) * 100 div room."""
    used, less, room = z3.Ints("used less room")
    score = (room - used) * 100 / room
    other = (room - less) * 100 / room
    return z3.And(room > 0, room <= 4096, less >= 0, less <= used, used <= room, other < score)


def _assumed_pods_cover_bindings(z3: Any) -> Any:
    """Counting a pod from its assumption to its end, any delay of its binding keeps room."""
    stored, flying, ask, room = z3.Ints("stored flying ask room")
    counted = stored + flying
    sound = z3.And(stored >= 0, flying >= 0, ask >= 0, counted <= room)
    return z3.And(sound, ask <= room - counted, stored + flying + ask > room)


def _big_pod_cut_is_sound(z3: Any) -> Any:
    """Three nodes: more pods of at least `size` than whole slots cannot be placed."""
    size = z3.Int("size")
    rooms = [z3.Int(f"room{at}") for at in range(3)]
    held = [z3.Int(f"held{at}") for at in range(3)]
    slots = z3.Sum([room / size for room in rooms])
    placed = z3.And([z3.And(count >= 0, room >= 0, count * size <= room)
                     for count, room in zip(held, rooms, strict=True)])
    return z3.And(size >= 1, size <= 64, z3.And([room <= 1024 for room in rooms]), placed,
                  z3.Sum(held) > slots)


LEMMAS: tuple[Lemma, ...] = (
    Lemma("a bind keeps every capacity", "all integers, three resources", _capacity_is_kept),
    Lemma("the room filter is monotone in free room", "all integers, three resources",
          _room_is_monotone),
    Lemma("removing a pod never makes another one unfit", "all integers, three resources",
          _removal_frees),
    Lemma("a bind never makes a skew above maxSkew", "all counts, five domains",
          _skew_is_bounded),
    Lemma("preemption lowers the number of pending pods of its priority or above",
          "all priorities, six other pods", _preemption_pays),
    Lemma("an emptier node never scores less", "room up to 4096", _emptier_scores_more),
    Lemma("room counted from the assumption on covers bindings under way", "all integers",
          _assumed_pods_cover_bindings),
    Lemma("counting slots for big pods is a sound cut", "size up to 64, room up to 1024",
          _big_pod_cut_is_sound),
)


# -- agreement of the checker with the documents --------------------------------------------------


class Agreement(NamedTuple):
    """A rule of the checker: `domains` are the sizes of its inputs, `rule` runs it on one input,
    `formula` restates the document over small integers (bit vectors) of Z3."""

    name: str
    bound: str
    domains: tuple[int, ...]
    rule: Callable[[tuple[int, ...]], bool]
    formula: Callable[[Any, list[Any]], Any]


def agree(agreement: Agreement, timeout_ms: int = 20_000) -> Proof:
    """Whether rule and formula give the same answer on every input of the bound."""
    import z3

    inputs = [z3.BitVec(f"input{at}", 8) for at in range(len(agreement.domains))]
    table = _table(z3, agreement, inputs, ())
    inside = z3.And([z3.And(variable >= 0, variable < size) for size, variable in
                     zip(agreement.domains, inputs, strict=True)])
    differs = z3.And(inside, table != agreement.formula(z3, inputs))
    return prove(Lemma(f"checker agrees: {agreement.name}", agreement.bound, lambda _: differs),
                 timeout_ms)


def _table(z3: Any, agreement: Agreement, inputs: list[Any], chosen: tuple[int, ...]) -> Any:
    """The rule's answers as a tree of cases; a case that makes no difference is left out."""
    depth = len(chosen)
    if depth == len(inputs):
        return z3.BoolVal(agreement.rule(chosen))
    cases = [_table(z3, agreement, inputs, (*chosen, value))
             for value in range(agreement.domains[depth])]
    found = cases[-1]
    for value in range(len(cases) - 2, -1, -1):
        if not cases[value].eq(found):
            found = z3.If(inputs[depth] == value, cases[value], found)
    return found


def _node(labels: dict[str, str], taints: list[dict[str, str]] | None = None) -> NodeFacts:
    return node_facts(freeze({"apiVersion": "v1", "kind": "Node",
                              "metadata": {"name": "n", "labels": labels},
                              "spec": {"taints": taints or []},
                              "status": {"allocatable": {"cpu": "4", "pods": "9"}}}))


def _pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> PodFacts:
    return pod_facts(freeze({"apiVersion": "v1", "kind": "Pod",
                             "metadata": {"name": name, "labels": labels or {}},
                             "spec": {"containers": [{"name": "c"}], **spec}}))


EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")


def _taint_rule(values: tuple[int, ...]) -> bool:
    """Inputs: the taint's key, value and effect; the toleration's key (0 none), value, operator
    (0 Equal, 1 Exists) and effect (0 none)."""
    key, value, effect, own_key, own_value, exists, own_effect = values
    toleration: dict[str, str] = {"operator": ("Equal", "Exists")[exists]}
    if own_key:
        toleration["key"] = f"k{own_key - 1}"
    if not exists:
        toleration["value"] = f"v{own_value}"
    if own_effect:
        toleration["effect"] = EFFECTS[own_effect - 1]
    taint = {"key": f"k{key}", "value": f"v{value}", "effect": EFFECTS[effect]}
    return rules.taints(_pod(tolerations=[toleration]), _node({}, [taint])) is None


def _taint_formula(z3: Any, inputs: list[Any]) -> Any:
    key, value, effect, own_key, own_value, exists, own_effect = inputs
    tolerated = z3.And(
        z3.Or(own_effect == 0, own_effect == effect + 1),
        z3.If(exists == 1, z3.Or(own_key == 0, own_key == key + 1),
              z3.And(own_key == key + 1, own_value == value)))
    return z3.Or(effect == 2, tolerated)


OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


def _choice_rule(values: tuple[int, ...]) -> bool:
    """Inputs: the node's label (0 absent, else a number), the operator, two wanted numbers."""
    label, operator, first, second = values
    labels = {"a": str(label)} if label else {}
    name = OPERATORS[operator]
    wanted = [] if name in ("Exists", "DoesNotExist") else [str(first)] if name in (
        "Gt", "Lt") else [str(first), str(second)]
    terms = [{"matchExpressions": [{"key": "a", "operator": name, "values": wanted}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": terms}}}
    return rules.node_choice(_pod(affinity=affinity), _node(labels)) is None


def _choice_formula(z3: Any, inputs: list[Any]) -> Any:
    label, operator, first, second = inputs
    there = label != 0
    among = z3.And(there, z3.Or(label == first, label == second))
    cases = [among, z3.Not(among), there, z3.Not(there), z3.And(there, label > first),
             z3.And(there, label < first)]
    return z3.Or([z3.And(operator == at, case) for at, case in enumerate(cases)])


def _port_rule(values: tuple[int, ...]) -> bool:
    """Inputs: number, protocol and address (0: every one) of two pods' host ports."""
    pods = []
    for name, (number, protocol, address) in (("p", values[:3]), ("q", values[3:])):
        port = {"containerPort": 1, "hostPort": 80 + number, "protocol": ("TCP", "UDP")[protocol]}
        if address:
            port["hostIP"] = f"10.0.0.{address}"
        pods.append(_pod(name, containers=[{"name": "c", "ports": [port]}]))
    return rules.host_ports(pods, _node({})) is None


def _port_formula(z3: Any, inputs: list[Any]) -> Any:
    number, protocol, address, other_number, other_protocol, other_address = inputs
    meets = z3.Or(address == other_address, address == 0, other_address == 0)
    return z3.Not(z3.And(number == other_number, protocol == other_protocol, meets))


def _room_rule(values: tuple[int, ...]) -> bool:
    """Inputs: requests of three pods and the node's processors."""
    *asks, have = values
    pods = [_pod(f"p{at}")._replace(asks={"cpu": ask * NANO, "pods": NANO})
            for at, ask in enumerate(asks)]
    return rules.room(pods, _node({})._replace(has={"cpu": have * NANO, "pods": 9 * NANO})) is None


def _room_formula(z3: Any, inputs: list[Any]) -> Any:
    return z3.Sum(inputs[:-1]) <= inputs[-1]


_SPREAD = {"topologySpreadConstraints": [
    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
     "labelSelector": {"matchLabels": {"app": "web"}}}]}


def _spread_rule(values: tuple[int, ...]) -> bool:
    """Inputs: pods in three zones, and maxSkew less one; the pod comes to the first zone."""
    *counts, more = values
    nodes = {f"n{at}": _node({"zone": f"z{at}"})._replace(name=f"n{at}") for at in range(3)}
    pods = {f"default/e{at}{number}": _pod(f"e{at}{number}", {"app": "web"})
            for at in range(3) for number in range(counts[at])}
    where = {key: f"n{key[9]}" for key in pods}
    constraint = {**_SPREAD["topologySpreadConstraints"][0], "maxSkew": more + 1}
    pod = _pod("p", {"app": "web"}, topologySpreadConstraints=[constraint])
    return rules.spread(pod, nodes["n0"], Placement(nodes, pods, where)) is None


def _spread_formula(z3: Any, inputs: list[Any]) -> Any:
    *counts, more = inputs
    return counts[0] + 1 - _least(z3, counts) <= more + 1


def _anti_rule(values: tuple[int, ...]) -> bool:
    """Inputs: whether each of two pods has the rule, whether each has the label that it names,
    and the zones of their nodes (0: the node has no zone)."""
    first_rule, second_rule, first_label, second_label, first_zone, second_zone = values
    rule = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}]}}
    pods = [_pod(name, {"app": "web"} if label else {}, **({"affinity": rule} if has else {}))
            for name, label, has in (("p", first_label, first_rule),
                                     ("q", second_label, second_rule))]
    nodes = {name: _node({"zone": f"z{zone}"} if zone else {})._replace(name=name)
             for name, zone in (("a", first_zone), ("b", second_zone))}
    placement = Placement(nodes, {"default/q": pods[1]}, {"default/q": "b"})
    return rules.anti_affinity(pods[0], nodes["a"], placement) is None


def _anti_formula(z3: Any, inputs: list[Any]) -> Any:
    first_rule, second_rule, first_label, second_label, first_zone, second_zone = inputs
    together = z3.And(first_zone == second_zone, first_zone != 0)
    refuses = z3.Or(z3.And(first_rule == 1, second_label == 1),
                    z3.And(second_rule == 1, first_label == 1))
    return z3.Not(z3.And(together, refuses))


AGREEMENTS: tuple[Agreement, ...] = (
    Agreement("taints", "two keys, two values, three effects, one toleration",
              (2, 2, 3, 3, 2, 2, 4), _taint_rule, _taint_formula),
    Agreement("node affinity", "one expression, every operator, labels up to 3",
              (4, 6, 4, 4), _choice_rule, _choice_formula),
    Agreement("host ports", "two pods, two numbers, two protocols, three addresses",
              (2, 2, 3, 2, 2, 3), _port_rule, _port_formula),
    Agreement("room", "three pods, requests and room up to 5", (6, 6, 6, 6), _room_rule,
              _room_formula),
    Agreement("topology spread", "three zones with up to 3 pods, maxSkew up to 3", (4, 4, 4, 3),
              _spread_rule, _spread_formula),
    Agreement("anti-affinity", "two pods, two zones or none", (2, 2, 2, 2, 3, 3), _anti_rule,
              _anti_formula),
)
