"""Z3 on decisions: a sample of those of random histories, all of the traces kept, random clusters.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from test_scheduler_against_rules import NAMESPACES, random_node, random_pod

from kubeproof.failures import keep
from kubeproof.options import chosen_properties, made_ready
from model.kernel.driver import RandomDriver, run
from properties.scheduler import MUTANTS, rules
from properties.scheduler.facts import node_facts, pod_facts
from properties.scheduler.symbolic import Question, recheck
from reference_impl import scenarios
from reference_impl.cluster import build, start
from traces.history import load

CORPUS = Path(__file__).parents[2] / "traces" / "corpus"
KEPT = sorted(CORPUS.glob("scheduler-*.trace"))


def test_z3_allows_what_the_rules_allow() -> None:
    """Every node of random clusters with every kind of rule."""
    told = {True: 0, False: 0}
    for seed in range(40):
        draw = random.Random(seed)
        nodes = [node_facts(random_node(draw, f"n{at}")) for at in range(3)]
        placement = rules.Placement({node.name: node for node in nodes}, {}, {}, NAMESPACES)
        for number in range(5):
            pod = pod_facts(random_pod(draw, f"p{number}"))
            question = Question(pod, placement)
            allowed = [node.name for node in nodes
                       if rules.against(pod, node.name, placement) is None]
            assert [node.name for node in nodes if question.allows(node.name)] == allowed, (
                seed, number)
            assert (question.somewhere() is None) == (not allowed)
            told[True] += len(allowed)
            told[False] += 3 - len(allowed)
            if allowed:
                placement = rules.Placement(
                    placement.nodes, {**placement.pods, pod.key: pod},
                    {**placement.where, pod.key: draw.choice(allowed)}, NAMESPACES)
    assert min(told.values()) > 100


@pytest.mark.parametrize("name", ["contested-room", "crowded-nodes"])
def test_z3_agrees_with_a_sample_of_the_decisions_of_histories(name: str) -> None:
    scenario = scenarios.named(name)
    system = build(scenario)
    first = start(system, scenario)
    asked = 0
    for seed in range(3):
        outcome = run(system, RandomDriver(seed), first, steps=900)
        found = recheck(system, first, outcome.actions, one_in=3)
        assert found.wrong == ()
        asked += found.asked
    assert asked >= 5


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_z3_agrees_with_every_decision_of_the_traces_kept(path: Path) -> None:
    history = load(path)
    system, first = made_ready(history.scenario)
    assert recheck(system, first, history.actions).wrong == ()


def test_z3_finds_the_room_that_a_seeded_bug_overlooks(tmp_path: Path) -> None:
    """The trace of the bug, with the bug: the pod is refused, and Z3 names a node for it."""
    name = "scheduler-refuses-an-exact-fit"
    (mutant,) = [each for each in MUTANTS if each.name == name]
    history = load(CORPUS / f"{name}.trace")
    with mutant.installed():
        system, first = made_ready(history.scenario)
        (text,) = recheck(system, first, history.actions).wrong
        kept = keep(history, chosen_properties([history.property]), tmp_path, replays_max=1)
    assert "is refused, but may be on node-" in text
    assert text in (kept.folder / "story.txt").read_text()
