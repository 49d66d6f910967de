"""What kube-scheduler 1.32 decides, in small tables: placement, message, scores, victims.

The facts were seen in a real cluster and are restated here as the smallest clusters that show
them. Notation: `node("n1", cpu=2)`, `pod("p", cpu=1, on="n1")`.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.api.objects import freeze
from model.kernel.values import FrozenMap
from reference_impl.scheduler import cache, read
from reference_impl.scheduler.decide import schedule
from reference_impl.scheduler.framework import Decision, prepare
from reference_impl.scheduler.plugins import DEFAULT_PROFILE
from reference_impl.scheduler.records import (
    Budget,
    Catalog,
    NodeInfo,
    PodInfo,
    Requirement,
    Snapshot,
)

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(name: str, cpu: str = "4", memory: str = "8Gi", pods: str = "110", zone: str = "",
         labels: dict[str, str] | None = None, taints: tuple[str, ...] = (), cordoned: bool = False,
         images: tuple[tuple[str, int], ...] = (), **room: str) -> NodeInfo:
    """A node; a taint is "key=value:Effect"."""
    found = []
    for taint in taints:
        pair, _, effect = taint.partition(":")
        key, _, value = pair.partition("=")
        found.append({"key": key, "value": value, "effect": effect})
    own = {HOST: name, **({ZONE: zone} if zone else {}), **(labels or {})}
    more = {name.replace("_", "-").replace("--", "/"): amount for name, amount in room.items()}
    return read.node_info(freeze({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": own},
        "spec": {"taints": found, "unschedulable": cordoned},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **more},
                   "images": [{"names": [image], "sizeBytes": size} for image, size in images]}}))


def pod(name: str, cpu: str = "", memory: str = "", on: str = "", namespace: str = "default",
        labels: dict[str, str] | None = None, priority: int = 0, started: str = "",
        requests: dict[str, str] | None = None, limits: dict[str, str] | None = None,
        ports: tuple[int, ...] = (), **spec: Any) -> PodInfo:
    """A pod with one container; `spec` adds fields of its spec."""
    asked = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {}),
             **(requests or {})}
    container = {"name": "c", "image": "nginx",
                 "resources": {"requests": asked, "limits": limits or {}},
                 "ports": [{"hostPort": port, "containerPort": port} for port in ports]}
    status = {"startTime": started} if started else {}
    return read.pod_info(freeze({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"containers": [container], "priority": priority,
                 **({"nodeName": on} if on else {}), **spec},
        "status": status}))


def cluster(*parts: NodeInfo | PodInfo, catalog: Catalog | None = None) -> Snapshot:
    """A snapshot of nodes and placed pods."""
    names = ("default", "other")
    labels = FrozenMap((name, FrozenMap([("kubernetes.io/metadata.name", name)]))
                       for name in names)
    snapshot = Snapshot(catalog=catalog or Catalog(namespaces=labels))
    for part in parts:
        snapshot = (cache.set_node(snapshot, part) if isinstance(part, NodeInfo)
                    else cache.add_pod(snapshot, part))
    return snapshot


def terms(*rules: dict[str, Any]) -> dict[str, Any]:
    """A required node affinity of alternatives."""
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": list(rules)}}}


def near(kind: str, key: str, weight: int = 0, **selector: str) -> dict[str, Any]:
    """A rule towards pods: podAffinity or podAntiAffinity, required or with a weight."""
    term = {"labelSelector": {"matchLabels": selector}, "topologyKey": key}
    if weight:
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": weight, "podAffinityTerm": term}]}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def spread(key: str, skew: int = 1, when: str = "DoNotSchedule", **more: Any) -> dict[str, Any]:
    """A topology spread constraint over pods labelled app=web."""
    return {"topologySpreadConstraints": [
        {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when,
         "labelSelector": {"matchLabels": {"app": "web"}}, **more}]}


NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
WEB = {"app": "web"}

REFUSED: list[tuple[str, Snapshot, PodInfo, str]] = [
    ("no nodes", cluster(), pod("p"), "no nodes available to schedule pods"),
    ("processor", cluster(node("n1", cpu="1"), node("n2", cpu="1")), pod("p", cpu="2"),
     "0/2 nodes are available: 2 Insufficient cpu. "
     f"preemption: 0/2 nodes are available: 2 {NO_VICTIMS}."),
    ("two lacks", cluster(node("n1", cpu="1"), node("n2", memory="1Gi"),
                          node("n3", cpu="1", memory="1Gi")), pod("p", cpu="2", memory="2Gi"),
     "0/3 nodes are available: 2 Insufficient cpu, 2 Insufficient memory. "
     f"preemption: 0/3 nodes are available: 3 {NO_VICTIMS}."),
    ("limits stand in for requests", cluster(node("n1", cpu="1")),
     pod("p", limits={"cpu": "2"}),
     "0/1 nodes are available: 1 Insufficient cpu. "
     f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}."),
    ("extended resource", cluster(node("n1"), node("n2")), pod("p", requests={"x.org/gpu": "1"}),
     "0/2 nodes are available: 2 Insufficient x.org/gpu. "
     f"preemption: 0/2 nodes are available: 2 {NO_VICTIMS}."),
    ("too many pods", cluster(node("n1", pods="1"), pod("e", on="n1")), pod("p"),
     f"0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: "
     f"1 {NO_VICTIMS}."),
    ("cordon", cluster(node("n1", cordoned=True)), pod("p"),
     "0/1 nodes are available: 1 node(s) were unschedulable. "
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("the first untolerated taint is named",
     cluster(node("n1", taints=("a=1:NoSchedule", "b=2:NoSchedule"))),
     pod("p", tolerations=[{"key": "a", "operator": "Exists"}]),
     "0/1 nodes are available: 1 node(s) had untolerated taint {b: 2}. "
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("a toleration of another effect", cluster(node("n1", taints=("k=v:NoSchedule",))),
     pod("p", tolerations=[{"key": "k", "operator": "Exists", "effect": "NoExecute"}]),
     "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}. "
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("an empty term matches no node", cluster(node("n1")), pod("p", affinity=terms({})),
     "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("a node that is not there", cluster(node("n1"), node("n2")),
     pod("p", affinity=terms({"matchFields": [
         {"key": "metadata.name", "operator": "In", "values": ["n9"]}]})),
     "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
     f"preemption: 0/2 nodes are available: 2 {NOT_HELPFUL}."),
    ("host port", cluster(node("n1"), pod("e", on="n1", ports=(80,))), pod("p", ports=(80,)),
     "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. "
     f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}."),
    ("pods that are there keep away",
     cluster(node("n1"), pod("e", on="n1", affinity=near("podAntiAffinity", HOST, app="web"))),
     pod("p", labels=WEB),
     "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. "
     f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}."),
    ("a friend in another namespace", cluster(node("n1"), pod("e", on="n1", namespace="other",
                                                              labels=WEB)),
     pod("p", affinity=near("podAffinity", HOST, app="web")),
     "0/1 nodes are available: 1 node(s) didn't match pod affinity rules. "
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("minDomains", cluster(node("n1", zone="a"), node("n2", zone="b"),
                           pod("e1", on="n1", labels=WEB), pod("e2", on="n2", labels=WEB)),
     pod("p", labels=WEB, **spread(ZONE, minDomains=3)),
     "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints. "
     f"preemption: 0/2 nodes are available: 2 {NO_VICTIMS}."),
    ("a tainted node is a domain", cluster(node("n1"), node("n2", taints=("k=v:NoSchedule",)),
                                           pod("e", on="n1", labels=WEB)),
     pod("p", labels=WEB, **spread(HOST)),
     "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, "
     "1 node(s) had untolerated taint {k: v}. preemption: 0/2 nodes are available: "
     f"1 {NO_VICTIMS}, 1 {NOT_HELPFUL}."),
    ("a claim that is not there", cluster(node("n1")),
     pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}]),
     '0/1 nodes are available: persistentvolumeclaim "nope" not found. '
     f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}."),
    ("equal priority is not preempted", cluster(node("n1", cpu="1"), pod("e", cpu="1", on="n1")),
     pod("p", cpu="1"),
     "0/1 nodes are available: 1 Insufficient cpu. "
     f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}."),
    ("preemption refused", cluster(node("n1", cpu="1"), pod("e", cpu="1", on="n1")),
     pod("p", cpu="1", priority=9, preemptionPolicy="Never"),
     "0/1 nodes are available: 1 Insufficient cpu. "
     "preemption: not eligible due to preemptionPolicy=Never."),
]


@pytest.mark.parametrize(("snapshot", "wanted", "message"), [row[1:] for row in REFUSED],
                         ids=[row[0] for row in REFUSED])
def test_a_pod_that_no_node_takes_is_told_why(snapshot: Snapshot, wanted: PodInfo,
                                              message: str) -> None:
    decision = schedule(wanted, snapshot)
    assert decision.best == ()
    assert decision.message == message


SIDECAR = {"name": "s", "image": "i", "restartPolicy": "Always",
           "resources": {"requests": {"cpu": "1"}}}
CHOSEN: list[tuple[str, Snapshot, PodInfo, tuple[str, ...]]] = [
    ("an exact fit", cluster(node("n1", cpu="1")), pod("p", cpu="1"), ("n1",)),
    ("sidecars and containers add up",
     cluster(node("n1", cpu="1"), node("n2", cpu="2")),
     pod("p", cpu="1", initContainers=[SIDECAR]), ("n2",)),
    ("alternatives of node affinity", cluster(node("n1"), node("n2", labels={"disk": "ssd"})),
     pod("p", affinity=terms(
         {"matchExpressions": [{"key": "no", "operator": "Exists"}]},
         {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]})), ("n2",)),
    ("greater than", cluster(node("n1", labels={"cores": "8"}), node("n2", labels={"cores": "16"})),
     pod("p", affinity=terms({"matchExpressions": [
         {"key": "cores", "operator": "Gt", "values": ["8"]}]})), ("n2",)),
    ("every taint is tolerated", cluster(node("n1", taints=("k=v:NoExecute",))),
     pod("p", tolerations=[{"operator": "Exists"}]), ("n1",)),
    ("the first of its kind starts anywhere", cluster(node("n1")),
     pod("p", labels=WEB, affinity=near("podAffinity", HOST, app="web")), ("n1",)),
    ("affinity to a zone", cluster(node("n1", zone="a"), node("n2", zone="b"),
                                   pod("e", on="n2", labels=WEB)),
     pod("p", affinity=near("podAffinity", ZONE, app="web")), ("n2",)),
    ("spread", cluster(node("n1"), node("n2"), pod("e", on="n1", labels=WEB)),
     pod("p", labels=WEB, **spread(HOST)), ("n2",)),
    ("taints honoured, a tainted node is no domain",
     cluster(node("n1"), node("n2", taints=("k=v:NoSchedule",)), pod("e", on="n1", labels=WEB)),
     pod("p", labels=WEB, **spread(HOST, nodeTaintsPolicy="Honor")), ("n1",)),
    ("terminating pods do not count for spread",
     cluster(node("n1"), node("n2", cpu="0"),
             pod("e", on="n1", labels=WEB)._replace(terminating=True)),
     pod("p", cpu="1", labels=WEB, **spread(HOST)), ("n1",)),
    ("ties are all kept", cluster(node("n1"), node("n2"), node("n3", cordoned=True)), pod("p"),
     ("n1", "n2")),
]


@pytest.mark.parametrize(("snapshot", "wanted", "best"), [row[1:] for row in CHOSEN],
                         ids=[row[0] for row in CHOSEN])
def test_the_best_nodes_are_chosen(snapshot: Snapshot, wanted: PodInfo,
                                   best: tuple[str, ...]) -> None:
    assert schedule(wanted, snapshot).best == best


SCORED: list[tuple[str, Snapshot, PodInfo, str, dict[str, tuple[int, ...]]]] = [
    ("best effort counts 100m and 200Mi", cluster(
        node("n1", memory="8Gi"), node("n2", memory="8Gi"),
        *(pod(f"e{at}", on="n1") for at in range(10))), pod("p"), "NodeResourcesFit",
     {"n1": (72,), "n2": (97,)}),
    ("least allocated", cluster(node("n1"), node("n2"), pod("e", cpu="2", on="n1")),
     pod("p", cpu="500m", memory="2Gi"), "NodeResourcesFit", {"n1": (54,), "n2": (81,)}),
    ("a tolerated preference", cluster(node("n1", taints=("k=v:PreferNoSchedule",)), node("n2")),
     pod("p"), "TaintToleration", {"n1": (0,), "n2": (300,)}),
    ("preferred nodes", cluster(node("n1", labels={"d": "1"}), node("n2", labels={"d": "2"}),
                                node("n3")),
     pod("p", affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
         {"weight": 10, "preference": {"matchExpressions": [
             {"key": "d", "operator": "In", "values": ["1"]}]}},
         {"weight": 80, "preference": {"matchExpressions": [
             {"key": "d", "operator": "In", "values": ["2"]}]}}]}}), "NodeAffinity",
     {"n1": (24,), "n2": (200,), "n3": (0,)}),
    ("an image of a gigabyte on one of two nodes",
     cluster(node("n1"), node("n2", images=(("nginx:latest", 10 ** 9),))), pod("p"),
     "ImageLocality", {"n1": (0,), "n2": (46,)}),
    ("preferred neighbours", cluster(node("n1"), node("n2"), pod("e", on="n2", labels=WEB)),
     pod("p", affinity=near("podAffinity", HOST, 100, app="web")), "InterPodAffinity",
     {"n1": (0,), "n2": (200,)}),
    ("neighbours that want us", cluster(
        node("n1"), node("n2"),
        pod("e", on="n2", affinity=near("podAffinity", HOST, app="web"))),
     pod("p", labels=WEB), "InterPodAffinity", {"n1": (0,), "n2": (200,)}),
]


@pytest.mark.parametrize(("snapshot", "wanted", "plugin", "scores"), [row[1:] for row in SCORED],
                         ids=[row[0] for row in SCORED])
def test_plugins_score_as_in_kubernetes(snapshot: Snapshot, wanted: PodInfo, plugin: str,
                                        scores: dict[str, tuple[int, ...]]) -> None:
    decision = schedule(wanted, snapshot)
    assert {name: (dict(parts)[plugin],) for name, parts in decision.scores} == scores


def test_pods_of_one_owner_are_spread_by_default() -> None:
    owned = Catalog(owners=FrozenMap([("ReplicationController/default/rc",
                                       (Requirement("app", "In", ("web",)),))]))
    mine = {"labels": WEB}
    snapshot = cluster(node("n1"), node("n2"), node("n3"), pod("e1", on="n1", **mine),
                       pod("e2", on="n1", **mine), pod("e3", on="n2", **mine),
                       pod("e4", on="n3", **mine), catalog=owned)
    decision = schedule(pod("p", **mine)._replace(owner=("ReplicationController", "rc")), snapshot)
    scores = {name: dict(parts)["PodTopologySpread"] for name, parts in decision.scores}
    assert scores == {"n1": 160, "n2": 200, "n3": 200}


def test_only_as_many_victims_as_needed_are_taken_and_the_important_stay() -> None:
    snapshot = cluster(node("n1", cpu="3"), pod("va", cpu="1", on="n1", priority=1),
                       pod("vb", cpu="1", on="n1", priority=2),
                       pod("vc", cpu="1", on="n1", priority=3))
    decision = schedule(pod("p", cpu="1", priority=9), snapshot)
    assert (decision.nominated, decision.victims) == ("n1", ("default/va",))
    assert decision.message == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_disruption_budget_outweighs_priority() -> None:
    guard = Budget("default", (Requirement("app", "In", ("web",)),), 0)
    snapshot = cluster(node("n1", cpu="1"), node("n2", cpu="1"),
                       pod("v1", cpu="1", on="n1", priority=1, labels=WEB),
                       pod("v2", cpu="1", on="n2", priority=5),
                       catalog=Catalog(budgets=FrozenMap([("default/guard", guard)])))
    decision = schedule(pod("p", cpu="1", priority=9), snapshot)
    assert (decision.nominated, decision.victims) == ("n2", ("default/v2",))


def test_of_equal_victims_the_one_that_started_last_goes() -> None:
    snapshot = cluster(node("n1", cpu="1"), node("n2", cpu="1"),
                       pod("v1", cpu="1", on="n1", started="2024-01-02T00:00:00Z"),
                       pod("v2", cpu="1", on="n2", started="2024-01-01T00:00:00Z"))
    assert schedule(pod("p", cpu="1", priority=9), snapshot).victims == ("default/v1",)


def test_room_for_a_nominated_pod_is_kept_from_lower_ones() -> None:
    waits = pod("high", cpu="2", priority=9)._replace(nominated="n1")
    snapshot = cluster(node("n1", cpu="2"))._replace(
        nominated=FrozenMap([("default/high", waits)]))
    assert schedule(pod("low", cpu="1"), snapshot).best == ()
    assert schedule(pod("higher", cpu="1", priority=10), snapshot).best == ("n1",)
    assert schedule(waits, snapshot).best == ("n1",)


def test_a_pod_waits_while_its_victims_terminate() -> None:
    victim = pod("v", cpu="1", on="n1")._replace(terminating=True)
    waits = pod("p", cpu="1", priority=9)._replace(nominated="n1")
    decision: Decision = schedule(waits, cluster(node("n1", cpu="1"), victim))
    assert decision.victims == ()
    assert decision.message.endswith(
        "preemption: not eligible due to terminating pod on the nominated node.")


def test_forms_over_all_nodes_equal_the_forms_for_one_node() -> None:
    """Each plug-in, on clusters where its rule decides both ways."""
    compared = 0
    rows = [row[1:3] for row in REFUSED] + [row[1:3] for row in CHOSEN] \
        + [row[1:3] for row in SCORED]
    for snapshot, wanted in rows:
        nodes = tuple(snapshot.nodes.values())
        for plugin, state in prepare(DEFAULT_PROFILE, wanted, snapshot).active:
            rejected: dict[str, Any] = {}
            passed = plugin.filter_all(state, wanted, nodes, rejected)
            single = {each.name: plugin.filter(state, wanted, each) for each in nodes}
            assert rejected == {name: why for name, why in single.items() if why is not None}
            assert [each.name for each in passed] == [n for n in single if single[n] is None]
            compared += 1
        for plugin in DEFAULT_PROFILE.scoring:
            state = plugin.pre_score(wanted, snapshot, nodes) if nodes else None
            if nodes and type(state).__name__ != "Skip" and (
                    plugin.name != "TaintToleration" or state is not None):
                assert plugin.score_all(state, wanted, nodes) == [
                    plugin.score(state, wanted, each) for each in nodes], plugin.name
                compared += 1
    assert compared > 150
