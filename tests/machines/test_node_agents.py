"""Random histories of kubelets and proxies behind a small API server, with every fault."""

from __future__ import annotations

import pytest
from node_agents import RESTARTS_SCRIPT, explore, kubelets, proxies

from kubeproof.mutation import hunt
from model.kernel.mutant import Mutant
from model.kernel.property import Property
from properties import kube_proxy, kubelet
from properties.kubelet import cadvisor

# Readiness of pods is not played by the small API server; the whole cluster checks this one.
_NEEDS_PODS = "a_service_routes_to_exactly_the_ready_pods_that_it_selects"
KUBELET = kubelet.PROPERTIES + cadvisor.PROPERTIES
PROXY = tuple(p for p in kube_proxy.PROPERTIES if p.name != _NEEDS_PODS)


@pytest.mark.parametrize("faults", ["none", "crash", "all"])
def test_kubelets_keep_their_promises(faults: str) -> None:
    """No property fails, goals are reached, and a pod was seen running."""
    found = explore(kubelets(faults), KUBELET, histories=60)
    assert found.violations == ()
    assert {"a_pod_runs_and_is_told_so", "a_pod_has_figures"} <= found.seen


@pytest.mark.parametrize("faults", ["none", "crash", "all"])
def test_proxies_keep_their_promises(faults: str) -> None:
    """No property fails, goals are reached, and some rule had an end."""
    found = explore(proxies(faults), PROXY, histories=60)
    assert found.violations == ()
    assert "a_service_has_an_end_in_some_kernel" in found.seen


def _named(properties: tuple[Property, ...], name: str) -> tuple[Property, ...]:
    return tuple(each for each in properties if each.name == name)


@pytest.mark.parametrize("mutant", kubelet.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_seeded_bug_of_the_kubelet_is_caught(mutant: Mutant) -> None:
    """The property that must catch it does, alone, and holds without it."""
    properties = _named(KUBELET, mutant.caught_by)
    every = 1 if properties[0].kind == "leads_to" else 0
    with mutant.installed():
        found = explore(kubelets(mutant.faults), properties, histories=400, converge_every=every)
    assert [each.property for each in found.violations][:1] == [mutant.caught_by]


@pytest.mark.parametrize("mutant", cadvisor.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_seeded_bug_of_the_figures_is_caught(mutant: Mutant) -> None:
    """The property that must catch it does, alone, where a container ends and starts again."""
    with mutant.installed():
        found = explore(kubelets(script=RESTARTS_SCRIPT), _named(KUBELET, mutant.caught_by),
                        histories=50)
    assert [each.property for each in found.violations][:1] == [mutant.caught_by]


@pytest.mark.parametrize(
    "mutant", [each for each in kube_proxy.MUTANTS if each.caught_by != _NEEDS_PODS],
    ids=lambda mutant: mutant.name)
def test_each_seeded_bug_of_the_proxy_is_caught(mutant: Mutant) -> None:
    """The property that must catch it does, alone, and holds without it."""
    properties = _named(PROXY, mutant.caught_by)
    every = 1 if properties[0].kind == "leads_to" else 0
    with mutant.installed():
        found = explore(proxies(mutant.faults), properties, histories=400, converge_every=every)
    assert [each.property for each in found.violations][:1] == [mutant.caught_by]


@pytest.mark.parametrize(
    "mutant", [each for each in kube_proxy.MUTANTS if each.caught_by == _NEEDS_PODS],
    ids=lambda mutant: mutant.name)
def test_each_seeded_bug_that_needs_pods_is_caught_in_a_whole_cluster(mutant: Mutant) -> None:
    """In the scenario that the mutant names, with every component."""
    found = hunt(mutant, histories=40, steps=120, shrunk=False)
    assert (found.found, found.property) == (True, mutant.caught_by)
