"""What Z3 proves about placement: lemmas on the rules, and that the checker says what they say.

A lemma is a formula whose negation has no model. Some hold for all integers, some for a stated
bound; each says which. The agreements compare a rule of `rules` with a formula written from the
document: the rule is run on every input of a bound, its answers become a tree of cases, and Z3
finds no input on which tree and formula differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.api.objects import LabelSelector, LabelSelectorRequirement, freeze
from properties.scheduler import rules
from properties.scheduler.facts import NANO, NodeFacts, PodFacts, node_facts, pod_facts
from properties.scheduler.preemption import Contest, victims
from properties.scheduler.rules import Placement
from properties.scheduler.scores import Scene, least_allocated


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


def _amounts(z3: Any, *names: str) -> list[Any]:
    """Amounts by resource, however many resources there are."""
    return [z3.Function(name, z3.IntSort(), z3.IntSort()) for name in names]


def _fits(z3: Any, ask: Any, used: Any, room: Any) -> Any:
    """The filter: what is not asked for is not looked at."""
    each = z3.Int("each")
    return z3.ForAll(each, z3.Or(ask(each) == 0, ask(each) <= room(each) - used(each)))


def _lacks(one: Any, z3: Any, ask: Any, used: Any, room: Any) -> Any:
    """One resource for which the filter refuses."""
    return z3.And(ask(one) != 0, ask(one) > room(one) - used(one))


def _capacity_is_kept(z3: Any) -> Any:
    ask, used, room = _amounts(z3, "ask", "used", "room")
    each, one = z3.Ints("each one")
    sound = z3.ForAll(each, z3.And(ask(each) >= 0, used(each) >= 0, used(each) <= room(each)))
    return z3.And(sound, _fits(z3, ask, used, room), used(one) + ask(one) > room(one))


def _room_is_monotone(z3: Any) -> Any:
    ask, used, less, room = _amounts(z3, "ask", "used", "less", "room")
    each, one = z3.Ints("each one")
    fewer = z3.ForAll(each, less(each) <= used(each))
    return z3.And(fewer, _fits(z3, ask, used, room), _lacks(one, z3, ask, less, room))


def _removal_frees(z3: Any) -> Any:
    """Taking a pod away never makes another one unfit: victims are a help or nothing."""
    ask, used, victim, room = _amounts(z3, "ask", "used", "victim", "room")
    each, one = z3.Ints("each one")
    positive = z3.ForAll(each, victim(each) >= 0)
    return z3.And(positive, _fits(z3, ask, used, room),
                  _lacks(one, z3, ask, lambda name: used(name) - victim(name), room))


def _skew_is_bounded(z3: Any) -> Any:
    """Pods by domain, however many there are: the pod goes to one, another exceeds the skew."""
    count = z3.Function("count", z3.IntSort(), z3.IntSort())
    skew, least, most, chosen, poor, rich, each = z3.Ints(
        "maxSkew least most chosen poor rich each")

    def after(domain: Any) -> Any:
        return count(domain) + z3.If(domain == chosen, 1, 0)

    before = z3.ForAll(each, z3.And(count(each) >= least, count(each) - least <= skew))
    return z3.And(skew >= 1, before, count(chosen) + 1 - least <= skew, most == after(rich),
                  most - after(poor) > skew)


def _skew_may_only_shrink_the_gap(z3: Any) -> Any:
    """Where the skew is too large already (pods were removed), a bind does not enlarge it."""
    count = z3.Function("count", z3.IntSort(), z3.IntSort())
    skew, least, top, chosen, rich, each = z3.Ints("maxSkew least top chosen rich each")
    before = z3.ForAll(each, z3.And(count(each) >= least, count(each) <= top))
    now = count(rich) + z3.If(rich == chosen, 1, 0)
    return z3.And(skew >= 1, before, top - least > skew, count(chosen) + 1 - least <= skew,
                  now - least > top - least)


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


def _a_victim_leaves_the_pending_count(z3: Any) -> Any:
    """The step of an induction over the victims, however many there are."""
    own, victim, pending = z3.Ints("own victim pending")
    after = pending + z3.If(victim >= own, 1, 0)
    return z3.And(victim < own, after != pending)


def _tolerating_more_helps(z3: Any) -> Any:
    """Taints and tolerations as sets, however many; `more` holds every toleration of `some`."""
    covers = z3.Function("covers", z3.IntSort(), z3.IntSort(), z3.BoolSort())
    some, more, tainted = (z3.Function(name, z3.IntSort(), z3.BoolSort())
                           for name in ("some", "more", "tainted"))
    taint, toleration, hard = z3.Ints("taint toleration hard")

    def passes(held: Any) -> Any:
        return z3.ForAll(taint, z3.Implies(tainted(taint), z3.Exists(
            toleration, z3.And(held(toleration), covers(toleration, taint)))))

    uncovered = z3.ForAll(toleration, z3.Not(z3.And(more(toleration), covers(toleration, hard))))
    return z3.And(z3.ForAll(toleration, z3.Implies(some(toleration), more(toleration))),
                  passes(some), tainted(hard), uncovered)


def _apart_stays_apart(z3: Any) -> Any:
    """Pods as numbers: who refuses whom, and in which domain; a newcomer passes the filter."""
    refuses = z3.Function("refuses", z3.IntSort(), z3.IntSort(), z3.BoolSort())
    domain = z3.Function("domain", z3.IntSort(), z3.IntSort())
    there = z3.Function("there", z3.IntSort(), z3.BoolSort())
    new, one, other, left, right = z3.Ints("new one other left right")

    def clash(first: Any, second: Any) -> Any:
        return z3.And(first != second, domain(first) == domain(second), refuses(first, second))

    sound = z3.ForAll([left, right], z3.Implies(z3.And(there(left), there(right)),
                                                z3.Not(clash(left, right))))
    passed = z3.ForAll(left, z3.Implies(there(left), z3.Not(z3.Or(clash(new, left),
                                                                  clash(left, new)))))
    return z3.And(sound, passed, z3.Or(there(one), one == new), z3.Or(there(other), other == new),
                  clash(one, other))


def _company_is_kept(z3: Any) -> Any:
    """More pods never end the company that a pod has in its domain."""
    wanted, before, after = (z3.Function(name, z3.IntSort(), z3.BoolSort())
                             for name in ("wanted", "before", "after"))
    domain = z3.Function("domain", z3.IntSort(), z3.IntSort())
    pod, friend, each = z3.Ints("pod friend each")
    grows = z3.ForAll(each, z3.Implies(before(each), after(each)))
    had = z3.And(before(friend), wanted(friend), domain(friend) == domain(pod))
    none = z3.ForAll(each, z3.Not(z3.And(after(each), wanted(each), domain(each) == domain(pod))))
    return z3.And(grows, had, none)


def _confined_sum_cut_is_sound(z3: Any) -> Any:
    """Four pods confined to three nodes: when they need more than the nodes have, one is too
    full."""
    asks = [z3.Int(f"ask{at}") for at in range(4)]
    rooms = [z3.Int(f"room{at}") for at in range(3)]
    where = [z3.Int(f"where{at}") for at in range(4)]
    placed = z3.And([z3.And(at >= 0, at < 3) for at in where])
    fit = z3.And([z3.Sum([z3.If(at == node, ask, 0) for at, ask in zip(where, asks, strict=True)])
                  <= room for node, room in enumerate(rooms)])
    return z3.And(placed, fit, z3.Sum(asks) > z3.Sum(rooms))


def _uneven_cut_is_sound(z3: Any) -> Any:
    """Four domains, each with a most that it takes: a spread pod too many finds none."""
    counts = [z3.Int(f"count{at}") for at in range(4)]
    takes = [z3.Int(f"takes{at}") for at in range(4)]
    skew = z3.Int("maxSkew")
    fewest, poorest = _least(z3, counts), _least(z3, takes)
    spread = z3.And([z3.And(count >= 0, count <= most, count - fewest <= skew)
                     for count, most in zip(counts, takes, strict=True)])
    bound = z3.Sum([z3.If(most < poorest + skew, most, poorest + skew) for most in takes])
    return z3.And(skew >= 1, spread, z3.Sum(counts) > bound)


def _normalised_within_bounds(z3: Any) -> Any:
    """Scaled scores, turned round or not, and those of spread, lie between 0 and 100."""
    score, most, least = z3.Ints("score most least")
    scaled = score * 100 / most
    turned = 100 - scaled
    spread = 100 * (most + least - score) / most
    inside = z3.And([z3.And(value >= 0, value <= 100) for value in (scaled, turned, spread)])
    return z3.And(least >= 0, least <= score, score <= most, most > 0, most <= 256,
                  z3.Not(inside))


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
    return z3.And(size >= 1, size <= 32, z3.And([room <= 256 for room in rooms]), placed,
                  z3.Sum(held) > slots)


LEMMAS: tuple[Lemma, ...] = (
    Lemma("a bind keeps every capacity", "all integers, any number of resources",
          _capacity_is_kept),
    Lemma("the room filter is monotone in free room", "all integers, any number of resources",
          _room_is_monotone),
    Lemma("removing a pod never makes another one unfit for want of room",
          "all integers, any number of resources", _removal_frees),
    Lemma("a bind never makes a skew above maxSkew", "all counts, any number of domains",
          _skew_is_bounded),
    Lemma("where the skew is above maxSkew already, a bind does not enlarge it",
          "all counts, any number of domains", _skew_may_only_shrink_the_gap),
    Lemma("tolerating more never loses a node", "any number of taints and tolerations",
          _tolerating_more_helps),
    Lemma("a bind keeps the anti-affinity of all pods, the newcomer's and that of others",
          "any number of pods and domains", _apart_stays_apart),
    Lemma("more pods never end a required affinity that is met", "any number of pods and domains",
          _company_is_kept),
    Lemma("preemption lowers the number of pending pods of its priority or above",
          "all priorities, six other pods", _preemption_pays),
    Lemma("a victim of lower priority leaves the number of pending pods of the preemptor's "
          "priority or above as it is", "all priorities (the step of an induction over victims)",
          _a_victim_leaves_the_pending_count),
    Lemma("normalised scores lie between 0 and 100", "scores up to 256", _normalised_within_bounds),
    Lemma("an emptier node never scores less", "room up to 4096", _emptier_scores_more),
    Lemma("room counted from the assumption on covers bindings under way", "all integers",
          _assumed_pods_cover_bindings),
    Lemma("the sum over pods that are confined to some nodes is a sound cut",
          "all integers, four pods, three nodes", _confined_sum_cut_is_sound),
    Lemma("the poorest domain bounds what a spread takes: a sound cut",
          "all integers, four domains", _uneven_cut_is_sound),
    Lemma("counting slots for big pods is a sound cut", "size up to 32, room up to 256",
          _big_pod_cut_is_sound),
)


# -- agreement of the checker with the documents --------------------------------------------------


class Agreement(NamedTuple):
    """A rule of the checker: `domains` are the sizes of its inputs, `rule` runs it on one input,
    `formula` restates the document over small integers (bit vectors) of Z3."""

    name: str
    bound: str
    domains: tuple[int, ...]
    rule: Callable[[tuple[int, ...]], bool | int]
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
        answer = agreement.rule(chosen)
        return z3.BoolVal(answer) if isinstance(answer, bool) else z3.IntVal(answer)
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


def _cordon_rule(values: tuple[int, ...]) -> bool:
    """Inputs: whether the node is cordoned; the toleration's key (0 none, 1 that of the cordon, 2
    another), operator (0 Equal, 1 Exists) and effect (0 none)."""
    cordoned, key, exists, effect = values
    toleration: dict[str, str] = {"operator": ("Equal", "Exists")[exists]}
    if key:
        toleration["key"] = ("node.kubernetes.io/unschedulable", "other")[key - 1]
    if effect:
        toleration["effect"] = EFFECTS[effect - 1]
    node = _node({})._replace(cordoned=bool(cordoned))
    return rules.taints(_pod(tolerations=[toleration]), node) is None


def _cordon_formula(z3: Any, inputs: list[Any]) -> Any:
    cordoned, key, exists, effect = inputs
    tolerated = z3.And(z3.Or(effect == 0, effect == 1),
                       z3.Or(key == 1, z3.And(key == 0, exists == 1)))
    return z3.Or(cordoned == 0, tolerated)


def _selector_rule(values: tuple[int, ...]) -> bool:
    """Inputs: values of labels a and b (0: absent), the one that matchLabels wants of a (0: does
    not ask), and an expression about b: operator and wanted value."""
    first, second, wanted, operator, value = values
    labels = {key: str(number) for key, number in (("a", first), ("b", second)) if number}
    name = OPERATORS[operator]
    selector = LabelSelector(
        match_labels=(("a", str(wanted)),) if wanted else None,
        match_expressions=(LabelSelectorRequirement(
            key="b", operator=name,
            values=(str(value),) if name in ("In", "NotIn") else None),))
    return rules.picks(selector, labels)


def _selector_formula(z3: Any, inputs: list[Any]) -> Any:
    first, second, wanted, operator, value = inputs
    cases = [z3.And(second != 0, second == value), z3.Not(z3.And(second != 0, second == value)),
             second != 0, second == 0]
    return z3.And(z3.Or(wanted == 0, first == wanted),
                  z3.Or([z3.And(operator == at, case) for at, case in enumerate(cases)]))


def _hungriest_rule(values: tuple[int, ...]) -> int:
    """Inputs: processors of two init containers, whether the first restarts always, of two
    containers, and of the overhead."""
    first, stays, second, one, other, over = values

    def container(name: str, cpu: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "resources": {"requests": {"cpu": str(cpu)}}, **more}

    pod = _pod(initContainers=[container("i", first, **(
        {"restartPolicy": "Always"} if stays else {})), container("j", second)],
        containers=[container("c", one), container("d", other)], overhead={"cpu": str(over)})
    return pod.asks.get("cpu", 0) // NANO


def _hungriest_formula(z3: Any, inputs: list[Any]) -> Any:
    first, stays, second, one, other, over = map(z3.BV2Int, inputs)
    beside = z3.If(stays == 1, first, 0)
    phases = [first, beside + second, beside + one + other]
    return over + -_least(z3, [-phase for phase in phases])


def _company_rule(values: tuple[int, ...]) -> bool:
    """Inputs: zones of the node and of two pods (0: none), whether each is wanted, and whether the
    newcomer is of the kind that it wants."""
    zone, first_zone, second_zone, first, second, own = values
    term = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}]}}
    pod = _pod("p", {"app": "web"} if own else {}, affinity=term)
    nodes = {name: _node({"zone": f"z{place}"} if place else {})._replace(name=name)
             for name, place in (("n", zone), ("a", first_zone), ("b", second_zone))}
    others = {f"default/{name}": _pod(name, {"app": "web"} if wanted else {})
              for name, wanted in (("q", first), ("r", second))}
    placement = Placement(nodes, others, {"default/q": "a", "default/r": "b"})
    return rules.affinity(pod, nodes["n"], placement) is None


def _company_formula(z3: Any, inputs: list[Any]) -> Any:
    zone, first_zone, second_zone, first, second, own = inputs
    friends = [z3.And(wanted == 1, place != 0) for wanted, place in ((first, first_zone),
                                                                     (second, second_zone))]
    near = z3.Or([z3.And(friend, place == zone) for friend, place in zip(
        friends, (first_zone, second_zone), strict=True)])
    return z3.And(zone != 0, z3.Or(near, z3.And(own == 1, z3.Not(z3.Or(friends)))))


def _policy_rule(values: tuple[int, ...]) -> bool:
    """Inputs: pods in three zones, whether the third zone is tainted, whether the taints of nodes
    are honoured, and minDomains less one; maxSkew is one, the pod comes to the first zone."""
    *counts, tainted, honoured, least = values
    taint = [{"key": "k", "value": "v", "effect": "NoSchedule"}]
    nodes = {f"n{at}": _node({"zone": f"z{at}"}, taint if at == 2 and tainted else [])._replace(
        name=f"n{at}") for at in range(3)}
    pods = {f"default/e{at}{number}": _pod(f"e{at}{number}", {"app": "web"})
            for at in range(3) for number in range(counts[at])}
    where = {key: f"n{key[9]}" for key in pods}
    constraint = {**_SPREAD["topologySpreadConstraints"][0], "minDomains": least + 1,
                  "nodeTaintsPolicy": ("Ignore", "Honor")[honoured]}
    pod = _pod("p", {"app": "web"}, topologySpreadConstraints=[constraint])
    return rules.spread(pod, nodes["n0"], Placement(nodes, pods, where)) is None


def _policy_formula(z3: Any, inputs: list[Any]) -> Any:
    first, second, third, tainted, honoured, least = map(z3.BV2Int, inputs)
    two = z3.And(tainted == 1, honoured == 1)
    fewest = z3.If(two, _least(z3, [first, second]), _least(z3, [first, second, third]))
    domains = z3.If(two, z3.IntVal(2), z3.IntVal(3))
    return first + 1 - z3.If(domains < least + 1, 0, fewest) <= 1


def _free_share_rule(values: tuple[int, ...]) -> int:
    """Inputs: processors and memory that are asked for, and that the pods there ask for; the node
    has seven of each."""
    cpu, memory, used_cpu, used_memory = values
    node = _node({})._replace(has={"cpu": 7 * NANO, "memory": 7 * NANO})
    pods = [_asking(f"p{at}", *asks) for at, asks in enumerate(((cpu, memory),
                                                                (used_cpu, used_memory)))]
    placement = Placement({"n": node}, {"default/p1": pods[1]}, {"default/p1": "n"})
    return least_allocated(pods[0], [node], Scene(placement))[0]


def _asking(name: str, cpu: int, memory: int) -> PodFacts:
    return _pod(name, containers=[{"name": "c", "resources": {"requests": {
        "cpu": str(cpu), "memory": str(memory)}}}])


def _free_share_formula(z3: Any, inputs: list[Any]) -> Any:
    cpu, memory, used_cpu, used_memory = map(z3.BV2Int, inputs)
    parts = [z3.If(asked + used <= 7, (7 - asked - used) * 100 / 7, 0)
             for asked, used in ((cpu, used_cpu), (memory, used_memory))]
    return (parts[0] + parts[1]) / 2


def _victims_rule(values: tuple[int, ...]) -> int:
    """Inputs: processors and priority of two pods on a node of four processors, and of the pod
    that comes with priority two (priority three: as important). Who goes, as a set of bits; seven
    when nothing helps."""
    cpu, first, first_priority, second, second_priority = values
    pods = {name: _ranked(name, asks, priority) for name, asks, priority in (
        ("a", first, first_priority), ("b", second, second_priority))}
    node = _node({})._replace(name="n", has={"cpu": 4 * NANO, "pods": 9 * NANO})
    placement = Placement({"n": node}, {pod.key: pod for pod in pods.values()},
                          {pod.key: "n" for pod in pods.values()})
    started = {"default/a": 1, "default/b": 2}
    found = victims(_ranked("p", cpu, 2), "n", Contest(placement, started))
    if found is None:
        return 7
    return ("default/a" in found.keys) + 2 * ("default/b" in found.keys)


def _ranked(name: str, cpu: int, priority: int) -> PodFacts:
    return _pod(name, priority=priority)._replace(asks={"cpu": cpu * NANO, "pods": NANO})


def _victims_formula(z3: Any, inputs: list[Any]) -> Any:
    """Spare the more important one first (of equals the one that started first), if it fits beside
    what is kept."""
    cpu, first, first_priority, second, second_priority = map(z3.BV2Int, inputs)
    low = [first_priority < 2, second_priority < 2]
    fixed = z3.If(low[0], 0, first) + z3.If(low[1], 0, second)
    helps = z3.And(z3.Or(low), cpu + fixed <= 4)
    first_leads = first_priority >= second_priority

    def stays(ask: Any, before: Any) -> Any:
        return cpu + fixed + before + ask <= 4

    a_alone = z3.And(low[0], stays(first, 0))
    b_alone = z3.And(low[1], stays(second, 0))
    a_kept = z3.If(z3.Or(first_leads, z3.Not(b_alone)), a_alone,
                   z3.And(low[0], stays(first, second)))
    b_kept = z3.If(z3.And(first_leads, a_alone), z3.And(low[1], stays(second, first)), b_alone)
    gone = (z3.If(z3.And(low[0], z3.Not(a_kept)), 1, 0)
            + z3.If(z3.And(low[1], z3.Not(b_kept)), 2, 0))
    return z3.If(helps, gone, 7)


AGREEMENTS: tuple[Agreement, ...] = (
    Agreement("cordon", "one toleration, every operator and effect", (2, 3, 2, 4), _cordon_rule,
              _cordon_formula),
    Agreement("label selectors", "two labels up to 2, one expression of every operator",
              (3, 3, 3, 4, 3), _selector_rule, _selector_formula),
    Agreement("requests of a pod", "two init containers, one may be a sidecar, two containers, "
              "overhead; up to 3 each", (4, 2, 4, 4, 4, 3), _hungriest_rule, _hungriest_formula),
    Agreement("affinity", "two pods, two zones or none, the first of its kind too",
              (3, 3, 3, 2, 2, 2), _company_rule, _company_formula),
    Agreement("spread: minDomains and taint policy", "three zones with up to 2 pods",
              (3, 3, 3, 2, 2, 4), _policy_rule, _policy_formula),
    Agreement("score: least allocated", "two resources of 7, requests up to 4", (5, 5, 5, 5),
              _free_share_rule, _free_share_formula),
    Agreement("victims", "two pods of up to 4 processors and 4 priorities on one node",
              (5, 5, 4, 5, 4), _victims_rule, _victims_formula),
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
