"""Verdicts about sets of pods and nodes: cuts with their words, witnesses, solvers, losses."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest

from model.api.objects import freeze
from properties.scheduler import (
    binding_order,
    cuts,
    greedy,
    losses,
    reasons,
    rules,
    size,
    solver,
    verdict,
)
from properties.scheduler.facts import NodeFacts, PodFacts, node_facts, pod_facts
from properties.scheduler.problem import Problem, build, placement_of, recheck, without
from properties.scheduler.rules import Placement

HOST = "kubernetes.io/hostname"


def node(name: str, cpu: int = 4, taint: str = "", **labels: str) -> NodeFacts:
    taints = [{"key": "pool", "value": taint, "effect": "NoSchedule"}] if taint else []
    return node_facts(freeze({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {HOST: name, **labels}}, "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": str(cpu), "memory": "8Gi", "pods": "10"}}}))


def pod(name: str, cpu: int = 1, app: str = "web", **spec: Any) -> PodFacts:
    return pod_facts(freeze({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "i",
                                 "resources": {"requests": {"cpu": str(cpu)}}}], **spec}}))


def apart(app: str = "web", key: str = HOST) -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}}}


def spread_over(key: str, skew: int = 1, app: str = "web", **more: Any) -> dict[str, Any]:
    """A hard spread constraint."""
    return {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": app}}, **more}


def beside(app: str, key: str = HOST) -> dict[str, Any]:
    """A required affinity towards pods of an app."""
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}}


TOLERANT = {"tolerations": [{"key": "pool", "operator": "Exists"}]}

NOT_FITTING: list[tuple[str, Problem, str]] = [
    ("too much in all", build([node("n1"), node("n2")], [pod(f"p{i}", 3) for i in range(3)]),
     "3 pods of default/p0 need 9.0 CPU, the 2 nodes have 8.0 CPU"),
    ("too much for the nodes of a pool",
     build([node("n1", 64), node("n2", zone="a"), node("n3", zone="a")],
           [pod(f"p{i}", 3, nodeSelector={"zone": "a"}) for i in range(3)]),
     "3 pods of default/p0 need 9.0 CPU, the 2 nodes that they may use (n2, n3) have 8.0 CPU"),
    ("no node at all", build([node("n1", taint="a"), node("n2", 1)], [pod("p", 2)]),
     "no node takes pod default/p: of 2 nodes 1 tainted pool=a, 1 too small"),
    ("big pieces", build([node(f"n{i}", 5) for i in range(3)], [pod(f"p{i}", 3) for i in range(4)]),
     "4 pods of default/p0 need 3.0 CPU or more each, the 3 nodes that they may use have room "
     "for 3 such pods"),
    ("pigeonholes", build([node("n1"), node("n2")], [pod(f"p{i}", **apart()) for i in range(3)]),
     "3 pods of default/p0 keep each other out, there are 2 domains of kubernetes.io/hostname "
     "for them"),
    ("nobody to be with", build([node("n1")], [pod("p", affinity=beside("db"))]),
     "pod default/p wants to be in the kubernetes.io/hostname of pods that are not there"),
    ("company is elsewhere", build(
        [node("n1", zone="a"), node("n2", zone="b")],
        [pod("p", affinity=beside("db", "zone"), nodeSelector={"zone": "a"}),
         pod("q", app="db", nodeSelector={"zone": "b"})]),
     "pod default/p wants to be in the zone of pod default/q, whose nodes are in none that it may "
     "use"),
    ("an empty domain that counts", build(
        [node("n1", zone="a"), node("n2", zone="b"), node("n3", taint="x", zone="c")],
        [pod(f"p{i}", topologySpreadConstraints=[spread_over("zone")]) for i in range(3)]),
     "3 pods of default/p0 are spread over zone with maxSkew 1: c has room for 0 of them, so the 3 "
     "domains take 2"),
]


@pytest.mark.parametrize(("problem", "text"), [row[1:] for row in NOT_FITTING],
                         ids=[row[0] for row in NOT_FITTING])
def test_a_cut_says_why_pods_do_not_fit_and_a_solver_agrees(problem: Problem, text: str) -> None:
    found = verdict.decide(problem)
    assert (found.fits, found.engine, found.reason) == (False, "cuts", text)
    assert solver.Incremental(problem).ask(seconds=5).fits is False


def random_problem(seed: int, room: int = 0) -> Problem:
    """Three small nodes and up to six pods with every kind of rule."""
    draw = random.Random(seed)
    nodes = [node(f"n{i}", room + draw.randint(2, 5), draw.choice(["", "", "a"]),
                  zone=draw.choice(["a", "b"])) for i in range(3)]
    pods = []
    for number in range(draw.randint(3, 6)):
        spec: dict[str, Any] = {}
        if draw.random() < 0.3:
            spec.update(TOLERANT)
        if draw.random() < 0.3:
            spec["nodeSelector"] = {"zone": draw.choice(["a", "b"])}
        if draw.random() < 0.3:
            spec.update(apart(draw.choice(["web", "db"]), draw.choice([HOST, "zone"])))
        pods.append(pod(f"p{number}", draw.randint(1, 3), draw.choice(["web", "db"]), **spec))
    return build(nodes, pods)


def by_trying(problem: Problem) -> bool:
    """Whether some placement satisfies the rules, all of them tried; order does not matter."""
    pods = [key for kind in problem.kinds for key in kind.pods]
    names = [each.name for each in problem.nodes]
    return any(not rules.check(placement_of(problem, dict(zip(pods, choice, strict=True))))
               for choice in product(names, repeat=len(pods)))


def test_all_engines_agree_with_trying_everything() -> None:
    outcomes = set()
    for seed in range(60):
        problem = random_problem(seed)
        truth = by_trying(problem)
        assert verdict.decide(problem, use_cp_sat=False).fits == truth, seed
        assert solver.Incremental(problem).ask(seconds=5).fits == truth, seed
        reason, answer = cuts.find(problem), greedy.solve(problem)
        assert not (truth and reason), reason
        assert answer is None or (truth and recheck(problem, answer) == [])
        outcomes.add((truth, reason is not None, answer is not None))
    assert {(True, False, True), (False, True, False)} <= outcomes


@pytest.mark.skipif(not solver.has_cp_sat(), reason="CP-SAT is an optional extra")
def test_cp_sat_agrees_with_z3() -> None:
    for seed in range(25):
        problem = random_problem(seed)
        assert solver.cp_sat(problem).fits == solver.Incremental(problem).ask(seconds=5).fits


def test_a_packing_that_no_sum_excludes_is_refused_by_the_solver() -> None:
    tight = build([node("n1", 5), node("n2", 5)],
                  [pod("a", 2, "a"), pod("b", 2, "b"), pod("c", 2, "c"), pod("x", 4, "x")])
    assert cuts.find(tight) is None
    refused = verdict.minimised(tight, verdict.decide(tight))
    assert refused.fits is False
    assert refused.minimal
    assert len(refused.kinds) == 4


def test_the_reason_is_reduced_to_what_is_needed() -> None:
    problem = build([node("n1", 2)], [pod("big", 2, "big"), pod("small", 1, "small"),
                                      pod("free", 0, "free")])
    found = verdict.minimised(problem, verdict.decide(problem))
    assert {problem.kinds[at].name for at in found.kinds} == {"default/big", "default/small"}
    assert found.minimal


def test_losses_are_survived_until_there_is_no_room() -> None:
    problem = build([node("n1"), node("n2"), node("n3")], [pod(f"p{i}", 2) for i in range(4)])
    answer = verdict.decide(problem).answer
    assert answer is not None
    assert losses.survives(problem, answer, 1) == losses.Survival(True, tried=3)
    lost = losses.survives(problem, answer, 2)
    assert (lost.survives, lost.worst) == (False, ("n1", "n2"))
    assert lost.reason == "4 pods of default/p0 need 8.0 CPU, the 1 node has 4.0 CPU"
    assert losses.killing_set(problem) == lost._replace(tried=2)


def test_a_loss_after_which_others_must_move_is_told() -> None:
    """n2 and n3 hold a small pod each; when n1 goes, its big one fits only if both small share."""
    problem = build([node("n1"), node("n2"), node("n3")],
                    [pod("big", 4), pod("s1", 1, "a"), pod("s2", 1, "b")])
    answer = {"default/big": "n1", "default/s1": "n2", "default/s2": "n3"}
    assert losses.survives(problem, answer, 1) == losses.Survival(
        True, tried=3, moved=(("n1",),))


def test_pods_tied_to_a_node_go_with_it() -> None:
    pods = [pod(f"d{at}", 1, "agent", nodeSelector={HOST: f"n{at}"}) for at in (1, 2)]
    problem = build([node("n1", 2), node("n2", 2)], [*pods, pod("p", 1)],
                    tied=frozenset({"default/d1", "default/d2"}))
    answer = verdict.decide(problem).answer
    assert answer is not None
    assert losses.survives(problem, answer, 1).survives is True
    assert solver.Incremental(problem).ask(lost=frozenset({0})).fits is True
    found = size.nodes_needed(problem)
    assert (len(found.nodes or ()), found.least, found.proved) == (1, 1, True)


def test_only_what_must_run_has_to_survive() -> None:
    """Of the low ones the budget keeps one; the high one needs the room of the others."""
    low = [pod(f"l{at}", 2, "low") for at in range(3)]
    problem = build([node("n1"), node("n2")], [*low, pod("high", 2, "high", priority=10)])
    guard = losses.Guard("low", frozenset(each.key for each in low), 1)
    must = losses.needed(problem, 10, [guard])
    assert [(kind.name, len(kind.pods)) for kind in must.kinds] == [
        ("default/l0", 1), ("default/high", 1)]
    answer = verdict.decide(must).answer
    assert answer is not None
    assert losses.survives(must, answer, 1).survives is True
    strict = losses.needed(problem, 10, [guard._replace(need=2)])
    assert losses.survives(strict, verdict.decide(strict).answer or {}, 1).worst == ("n1",)


def test_bound_pods_stay_and_waiting_ones_are_added() -> None:
    problem = build([node("n1"), node("n2")], [pod("a", 3, "a"), pod("b", 3, "b")])
    assert losses.as_it_stands(problem, {"default/a": "n2"}) == {
        "default/a": "n2", "default/b": "n1"}
    full = build([node("n1"), node("n2", 2)], [pod("a", 2, "a"), pod("b", 3, "b")])
    assert losses.as_it_stands(full, {"default/a": "n1"}) is None
    assert verdict.decide(full).fits is True


def test_the_fewest_nodes_are_found_with_and_without_cp_sat(
        monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"topologySpreadConstraints": [spread_over(HOST, app="s")]}
    problem = build([node(f"n{at}", 4) for at in range(5)],
                    [*(pod(f"p{at}", 1, "p") for at in range(6)),
                     *(pod(f"s{at}", 1, "s", **spread) for at in range(2))])
    found = [size.nodes_needed(problem)]
    monkeypatch.setattr(solver, "has_cp_sat", lambda: False)
    found.append(size.nodes_needed(problem))
    assert [(len(each.nodes or ()), each.proved) for each in found] == [(2, True), (2, True)]


def group_texts(problem: Problem) -> tuple[list[str], bool]:
    """The groups of the reason why a problem has no answer."""
    found = verdict.minimised(problem, verdict.decide(problem))
    told = reasons.explain(problem, found)
    return [str(each) for each in told.groups], told.minimal


def test_the_reason_names_the_rules_and_the_room_that_are_needed() -> None:
    """The pods could go elsewhere but for the taint, and anti-affinity plays no part."""
    problem = build([node("n1", 2), node("n2", 2, taint="a"), node("n3", 8, taint="b")],
                    [pod(f"p{at}", 2, "p", **apart("p")) for at in range(2)])
    texts, minimal = group_texts(problem)
    assert texts == ["default/p0: taints that it does not tolerate", "default/p0: anti-affinity"]
    assert minimal
    problem = build([node("n1", 2), node("n2", 8, taint="b")],
                    [pod(f"p{at}", 2, "p", **spread_and_apart()) for at in range(2)])
    texts, minimal = group_texts(problem)
    assert texts == ["default/p0: requests", "default/p0: taints that it does not tolerate",
                     "node n1: room"]
    assert minimal
    heavy = {"containers": [{"name": "c", "image": "i", "resources": {
        "requests": {"cpu": "1", "memory": "3Gi"}}}]}
    problem = build([node("n1"), node("n2", zone="a")],
                    [pod(f"p{at}", 1, "p", nodeSelector={"zone": "a"}, **heavy)
                     for at in range(3)])
    texts, minimal = group_texts(problem)
    assert texts == ["default/p0: requests", "default/p0: node selector or affinity",
                     "node n2: room"]
    assert minimal


def spread_and_apart() -> dict[str, Any]:
    """Rules that play no part where one node takes all."""
    return {"topologySpreadConstraints": [spread_over(HOST, 5, app="p")], **apart("other")}


def test_minimal_reasons_are_minimal_and_reasons() -> None:
    """Lifting a group leaves a placement; keeping them all leaves none: by the second engine."""
    seen = 0
    for seed in range(25):
        problem = random_problem(seed)
        first = verdict.minimised(problem, verdict.decide(problem))
        if first.fits is not False:
            continue
        told = reasons.explain(problem, first)
        assert told.minimal
        whole = reasons.lifted(problem, first.kinds, told.groups)
        assert solver.Incremental(whole).ask(seconds=5).fits is False
        for group in told.groups:
            rest = reasons.lifted(problem, first.kinds,
                                  [each for each in told.groups if each != group])
            assert solver.Incremental(rest).ask(seconds=5).fits is True
        seen += 1
    assert seen >= 5


def test_losses_of_a_structured_cluster_are_judged_by_every_engine() -> None:
    """Z3 under assumptions, and a problem built without the node, agree."""
    for seed in range(30):
        problem = structured_problem(seed)
        engine = solver.Incremental(problem)
        for lost in range(3):
            rest = without(problem, frozenset({lost}))
            answers = {engine.ask(lost=frozenset({lost})).fits, verdict.decide(rest).fits}
            assert not {True, False} <= answers, (seed, lost)


def test_every_single_loss_is_judged_as_by_trying_everything() -> None:
    judged = set()
    for seed in range(40):
        problem = random_problem(seed, room=seed % 4)
        answer = verdict.decide(problem).answer
        if answer is not None:
            truth = all(by_trying(without(problem, frozenset((at,)))) for at in range(3))
            assert losses.survives(problem, answer, 1).survives == truth, seed
            judged.add(truth)
    assert judged == {True, False}


def test_zones_are_lost_as_a_whole() -> None:
    problem = build([node("n1", zone="a"), node("n2", zone="a"), node("n3", zone="b")],
                    [pod(f"p{i}", 3) for i in range(2)])
    answer = verdict.decide(problem).answer
    assert answer is not None
    assert losses.survives(problem, answer, 1, by="zone").worst == ("a",)


def test_spread_and_affinity_are_kept_by_the_witness() -> None:
    spread = {"topologySpreadConstraints": [spread_over(HOST)]}
    problem = build([node("n1"), node("n2")], [pod(f"p{i}", 1, **spread) for i in range(4)])
    found = verdict.decide(problem)
    assert found.fits
    assert found.answer is not None
    assert sorted(found.answer.values()) == ["n1", "n1", "n2", "n2"]


def structured_problem(seed: int) -> Problem:
    """Three small nodes and up to five pods that want company or are spread."""
    draw = random.Random(seed)
    nodes = [node(f"n{i}", draw.randint(1, 3), draw.choice(["", "", "a"]),
                  **({"zone": draw.choice(["a", "b"])} if draw.random() < 0.9 else {}))
             for i in range(3)]
    pods: list[PodFacts] = []
    while len(pods) < draw.randint(3, 5):
        spec: dict[str, Any] = dict(TOLERANT) if draw.random() < 0.5 else {}
        app = draw.choice(["web", "db"])
        if draw.random() < 0.4:
            spec["affinity"] = beside(draw.choice(["web", "db"]), draw.choice([HOST, "zone"]))
        if draw.random() < 0.6:
            more: dict[str, Any] = {"minDomains": 3} if draw.random() < 0.2 else {}
            if draw.random() < 0.4:
                more["nodeTaintsPolicy"] = "Honor"
            spec["topologySpreadConstraints"] = [spread_over(
                draw.choice([HOST, "zone"]), draw.randint(1, 2), draw.choice([app, app, "db"]),
                **more)]
        number = draw.randint(1, 2)
        pods += [pod(f"p{len(pods) + at}", draw.randint(0, 2), app, **spec)
                 for at in range(number)]
    return build(nodes, pods[:5])


def in_some_order(problem: Problem) -> bool:
    """Whether some order of bindings, each by the rules, places all pods; all orders tried."""
    facts = {key: kind.facts._replace(key=key) for kind in problem.kinds for key in kind.pods}
    nodes = {each.name: each for each in problem.nodes}
    seen: set[frozenset[tuple[str, str]]] = set()

    def reach(where: dict[str, str]) -> bool:
        state = frozenset(where.items())
        if len(where) == len(facts) or state in seen:
            return len(where) == len(facts)
        seen.add(state)
        placement = Placement(nodes, facts, where, problem.namespaces)
        return any(rules.against(facts[key], name, placement) is None
                   and reach({**where, key: name})
                   for key in facts if key not in where for name in nodes)

    return reach({})


def test_affinity_and_spread_are_decided_as_by_trying_every_order() -> None:
    """No engine contradicts the truth; what is left open is rare."""
    truths, open_ = [], 0
    for seed in range(60):
        problem = structured_problem(seed)
        truth = in_some_order(problem)
        own = verdict.decide(problem, use_cp_sat=False)
        answers = [own.fits, solver.accepted(problem, solver.Incremental(problem).ask()).fits]
        open_ += answers.count(None)
        if solver.has_cp_sat():
            answers.append(solver.accepted(problem, solver.cp_sat(problem)).fits)
        assert set(answers) <= {truth, None}, (seed, answers)
        truths.append(truth)
    assert truths.count(False) > 10 < truths.count(True)
    assert open_ <= 4


def test_pods_that_come_one_by_one_are_judged_as_the_rules_judge_them() -> None:
    allowed = 0
    for seed in range(60):
        problem = structured_problem(seed)
        draw = random.Random(seed)
        facts = {key: kind.facts._replace(key=key) for kind in problem.kinds for key in kind.pods}
        keys = sorted(facts)
        nodes = {each.name: each for each in problem.nodes}
        where: dict[str, str] = {}
        arrivals = binding_order.Arrivals([facts[key] for key in keys],
                                          Placement(nodes, facts, {}))
        for at, key in enumerate(keys):
            placement = Placement(nodes, facts, where)
            for name, place in nodes.items():
                wrong = (rules.affinity(facts[key], place, placement)
                         or rules.spread(facts[key], place, placement))
                assert arrivals.allows(at, place) == (wrong is None), (seed, key, name, wrong)
                allowed += wrong is None
            where[key] = draw.choice(sorted(nodes))
            arrivals.come(at, nodes[where[key]])
    assert allowed > 100


def test_two_circles_of_company_cannot_both_begin() -> None:
    """At the end each pod has company, but the third had none when it came."""
    problem = build([node("n1", 2), node("n2", 2)],
                    [pod(f"p{i}", 1, affinity=beside("web")) for i in range(4)])
    answer = {"default/p0": "n1", "default/p1": "n1", "default/p2": "n2", "default/p3": "n2"}
    assert recheck(problem, answer) == [
        "default/p2 cannot come to n2: affinity or spread of its template is not met in any "
        "order tried"]
    assert solver.Incremental(problem).ask().fits is False
    assert verdict.decide(problem).fits is False
