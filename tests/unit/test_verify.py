"""`kubeproof verify` and `kubeproof schedule` on small files: findings, places, formats, status."""

from __future__ import annotations

import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from kubeproof.cli import main

STILL = ["verify", "--explore-seconds", "0"]
"""Without random histories, which have a test of their own."""
CLUSTER = """\
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {kubernetes.io/hostname: n1}}
status: {allocatable: {cpu: "2", memory: 4Gi, pods: "10"}}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {kubernetes.io/hostname: n2}}
status: {allocatable: {cpu: "2", memory: 4Gi, pods: "10"}}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: web
        ports: [{containerPort: 80, name: http}]
        resources: {requests: {cpu: "1", memory: 1Gi}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: SELECTED}
  ports: [{port: 80, targetPort: TARGET}]
"""
OTHERS = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: few}
spec: {hard: {pods: "1"}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: all}
spec: {minAvailable: 100%, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: rival}
spec:
  replicas: 0
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: w}
"""


def files(folder: Path, replicas: int = 2, selected: str = "web", target: str = "http",
          more: str = "") -> list[str]:
    """The files of a small cluster."""
    texts = {"cluster.yaml": CLUSTER, "web.yaml": WEB.replace("REPLICAS", str(replicas)),
             "service.yaml": SERVICE.replace("SELECTED", selected).replace("TARGET", target)}
    if more:
        texts["more.yaml"] = more
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in texts]


def test_a_sound_cluster_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, *files(tmp_path)]) == 0
    assert "2 pods on 2 nodes: they fit together" in capsys.readouterr().out


def test_what_does_not_fit_is_told_with_reason_and_place(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, *files(tmp_path, replicas=5)]) == 1
    told = capsys.readouterr().out
    assert "5 pods of Deployment default/web need 5.0 CPU, the 2 nodes have 4.0 CPU" in told
    assert "web.yaml:" in told


def test_a_loss_that_is_not_survived_is_named(tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, *files(tmp_path, replicas=3)]) == 1
    assert "without n1: 3 pods of Deployment default/web need 3.0 CPU" in capsys.readouterr().out


@pytest.mark.parametrize(("selected", "target", "told"), [
    ("wbe", "http", "default/web: no pod has app=wbe"),
    ("web", "https", "declares no port https")])
def test_a_service_without_pods_or_port_is_an_error(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], selected: str, target: str,
        told: str) -> None:
    assert main([*STILL, *files(tmp_path, selected=selected, target=target)]) == 1
    assert told in capsys.readouterr().out


def test_quota_budget_rival_selectors_and_unknown_kinds_are_found(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, "--json", "-", *files(tmp_path, more=OTHERS)]) == 1
    found = {(each["rule"], each["level"]) for each in
             json.loads(capsys.readouterr().out)["findings"]}
    assert {("quota", "error"), ("budget", "warning"), ("selectors", "warning"),
            ("kinds", "note")} <= found


def test_a_waived_error_does_not_fail_and_keeps_its_reason(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- {rule: survives, subject: loss of any 1 node, reason: accepted}\n")
    sarif = tmp_path / "out.sarif"
    status = main([*STILL, "--waivers", str(waivers), "--sarif", str(sarif),
                   *files(tmp_path, replicas=3)])
    assert status == 0
    assert "[waived: accepted]" in capsys.readouterr().out
    (result,) = [each for each in json.loads(sarif.read_text())["runs"][0]["results"]
                 if each["ruleId"] == "survives"]
    assert result["suppressions"][0]["justification"] == "accepted"


def test_a_waiver_with_other_fields_is_refused(tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- {rule: survives}\n")
    assert main([*STILL, "--waivers", str(waivers), *files(tmp_path)]) == 2
    assert "exactly rule, subject and reason" in capsys.readouterr().err


def test_the_placement_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "placement.dot"
    assert main([*STILL, "--draw", str(target), *files(tmp_path)]) == 0
    drawn = target.read_text()
    assert "Deployment default/web x2" in drawn
    assert "2.0 CPU of 2.0 CPU" in drawn


def test_schedule_explains_each_decision(tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--explain", *files(tmp_path, replicas=5)]) == 1
    told = capsys.readouterr().out
    assert "default/web-1: n1 (as good: n2)" in told
    assert "NodeResourcesFit" in told
    assert "default/web-5: no node. 0/2 nodes are available: 2 Insufficient cpu." in told
    assert "n1: refused by NodeResourcesFit: Insufficient cpu" in told


def test_schedule_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--json", "-", *files(tmp_path)]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["pod"], first["equally_good"]) == ("default/web-1", ["n1", "n2"])
    assert set(first["plugin_scores"]) == {"n1", "n2"}


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[Any]]:
    """The findings of a call, by rule."""
    main([*STILL, "--json", "-", *arguments])
    found: dict[str, list[Any]] = {}
    for each in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(each["rule"], []).append(each)
    return found


def test_losses_of_several_nodes_and_of_a_label_are_judged(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path)
    found = findings(capsys, "--survive", "nodes=2", "--survive",
                     "label=kubernetes.io/hostname", "--survive", "zone", "--killing-set", *paths)
    assert [(each["subject"], each["level"]) for each in found["survives"]] == [
        ("loss of any 2 nodes", "error"),
        ("loss of any 1 value of kubernetes.io/hostname", "ok"),
        ("loss of any 1 value of topology.kubernetes.io/zone", "warning")]
    assert "the smallest set that kills: n1, n2" in found["killing set"][0]["text"]


@pytest.mark.parametrize("loss", ["nodes=0", "label=", "racks", "label=rack:x"])
def test_a_loss_of_another_form_is_refused(tmp_path: Path, loss: str,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, "--survive", loss, *files(tmp_path)]) == 2
    assert "is no loss" in capsys.readouterr().err


def test_pods_of_low_priority_need_not_survive(tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path, replicas=3)
    assert findings(capsys, *paths)["survives"][0]["level"] == "error"
    assert findings(capsys, "--priority-at-least", "1", *paths)["survives"][0]["level"] == "ok"


@pytest.mark.parametrize(("change", "level"), [
    ("add=1", "ok"), ("drain=n1", "error"), ("taint=n2:a=b:NoSchedule", "error"),
    ("resize=n1:cpu=3", "ok")])
def test_what_if_changes_the_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                     change: str, level: str) -> None:
    paths = files(tmp_path, replicas=5 if level == "ok" else 3)
    found = findings(capsys, "--what-if", change, *paths)
    assert found["fits"][0]["level"] == level


@pytest.mark.parametrize("change", ["grow=3", "add=x", "drain=n9", "taint=n1:a", "resize=n1:cpu=q"])
def test_a_change_that_makes_no_sense_is_refused(tmp_path: Path, change: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STILL, "--what-if", change, *files(tmp_path)]) == 2
    assert "--what-if" in capsys.readouterr().err


DAEMON = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m, memory: 1Mi}}}]}
"""


def test_a_daemon_takes_room_on_each_node_and_goes_with_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = files(tmp_path, replicas=2, more=DAEMON)
    found = findings(capsys, "--what-if", "add=1", "--cheapest", *paths)
    assert found["fits"][0]["subject"] == "5 pods on 3 nodes"
    assert found["survives"][0]["level"] == "ok"
    assert found["cheapest"][0]["text"].startswith("2 are enough for all pods (no fewer do)")
    full = findings(capsys, *files(tmp_path, replicas=4, more=DAEMON))
    assert full["fits"][0]["level"] == "error"


SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {minReplicas: 1, maxReplicas: MOST, scaleTargetRef: {kind: Deployment, name: NAME}}
"""


@pytest.mark.parametrize(("most", "name", "rule", "level"), [
    (4, "web", "scale", "ok"), (5, "web", "scale", "error"), (4, "wbe", "autoscaler", "error")])
def test_the_maximum_of_an_autoscaler_must_fit(tmp_path: Path, most: int, name: str, rule: str,
                                               level: str,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    more = SCALER.replace("MOST", str(most)).replace("NAME", name)
    assert findings(capsys, *files(tmp_path, more=more))[rule][0]["level"] == level


def test_a_quota_refuses_pods_that_do_not_say_what_it_limits(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quota = OTHERS.partition("---")[0].replace('pods: "1"', 'limits.cpu: "9", services: "0"')
    texts = [each["text"] for each in findings(capsys, *files(tmp_path, more=quota))["quota"]]
    assert texts == ["pod web-1 does not say limits.cpu, so that it is refused",
                     "2 pods and what is beside them use 1 services, 0 is allowed"]


def test_a_drain_is_held_up_by_budgets_and_by_lack_of_room(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = findings(capsys, *files(tmp_path, more=OTHERS))["drain"][0]
    assert "budget default/all does not let default/web-" in held["text"]
    full = findings(capsys, *files(tmp_path, replicas=4))["drain"][0]
    assert "2 cannot: n1: its pods find no room while the others stay" in full["text"]


BOUND = """\
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  nodeName: NODE
  containers: [{name: c, image: i, resources: {requests: {cpu: "CPU", memory: 1Gi}}}]
"""


def test_pods_that_run_stay_unless_that_leaves_another_out(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two small pods on two nodes leave no whole node for a big one."""
    running = "---\n".join(BOUND.replace("NAME", f"s{at}").replace("NODE", f"n{at}").replace(
        '"CPU"', '"1"') for at in (1, 2))
    big = "---\n" + BOUND.replace("NAME", "big").replace("  nodeName: NODE\n", "").replace(
        '"CPU"', '"2"')
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    for more, level in (("", "ok"), (big, "warning")):
        (tmp_path / "pods.yaml").write_text(running + more)
        found = findings(capsys, str(tmp_path))
        assert found["fits"][0]["level"] == level
    assert "only when pods that run now move" in found["fits"][0]["text"]


def test_an_order_that_strands_a_pod_is_told(tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """Small pods are spread by the scheduler; the big one comes too late."""
    small = "---\n".join(BOUND.replace("NAME", f"s{at}").replace("  nodeName: NODE\n", "").replace(
        '"CPU"', '"1"') for at in (1, 2))
    big = "---\n" + BOUND.replace("NAME", "big").replace("  nodeName: NODE\n", "").replace(
        '"CPU"', '"2"')
    (tmp_path / "all.yaml").write_text(CLUSTER + "---\n" + small + big)
    found = findings(capsys, str(tmp_path))
    assert found["fits"][0]["level"] == "ok"
    assert found["order"][0]["level"] == "warning"
    assert "in the order of the files the default scheduler finds no node for default/big" in (
        found["order"][0]["text"])
    assert "It places before: 1 of default/s1, 1 of default/s2." in found["order"][0]["text"]


DEFAULTS = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- pluginConfig:
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}
"""


def test_hard_default_constraints_of_the_scheduler_count(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three pods over two nodes of which one is tainted: one pod stays without a node."""
    paths = [*files(tmp_path, replicas=2), "--what-if", "taint=n2:a=b:NoSchedule"]
    assert findings(capsys, *paths)["fits"][0]["level"] == "ok"
    (tmp_path / "scheduler.yaml").write_text(DEFAULTS)
    found = findings(capsys, *paths, "--scheduler-config", str(tmp_path / "scheduler.yaml"))
    assert found["fits"][0]["level"] == "error"
    assert "spread over kubernetes.io/hostname with maxSkew 1" in found["fits"][0]["text"]
    assert found["spread"][0]["level"] == "error"
    assert main([*STILL, "--scheduler-config", paths[0], *paths]) == 2
    assert "holds no KubeSchedulerConfiguration" in capsys.readouterr().err


def test_output_of_helm_is_read_from_standard_input(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "---\n# Source: shop/templates/web.yaml\n" + WEB.replace("REPLICAS", "2") + (
        "---\n# Source: shop/templates/empty.yaml\n---\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((text + CLUSTER).encode())))
    found = findings(capsys, "-")
    assert found["fits"][0]["subject"] == "2 pods on 2 nodes"


def test_the_sarif_file_has_what_the_format_asks_for(tmp_path: Path) -> None:
    """Version, one run with a named tool, rules that results refer to, levels and places."""
    target = tmp_path / "out.sarif"
    main([*STILL, "--sarif", str(target), *files(tmp_path, replicas=5, more=OTHERS)])
    log = json.loads(target.read_text())
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "kubeproof"
    assert all(rule["shortDescription"]["text"] for rule in rules)
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        for place in result.get("locations", ()):
            spot = place["physicalLocation"]
            assert spot["artifactLocation"]["uri"].startswith("file:///")
            assert spot["region"]["startLine"] >= 1


def test_random_histories_of_the_cluster_are_tried(tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", "--explore-seconds", "1", "--json", "-", "--out", str(tmp_path / "out")]
    assert main([*arguments, *files(tmp_path, replicas=1, more=DAEMON)]) == 0
    (found,) = [each for each in json.loads(capsys.readouterr().out)["findings"]
                if each["rule"] == "histories"]
    assert found["level"] == "ok"
    assert "random histories with losses of nodes" in found["text"]


def test_the_cluster_of_forty_nodes_is_judged_as_the_guide_shows(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with it is what its maker put in."""
    example = Path(__file__).parents[2] / "docs" / "examples" / "forty_nodes.py"
    target = tmp_path / "forty-nodes.json"
    target.write_text(json.dumps(runpy.run_path(str(example))["snapshot"]()))
    found = findings(capsys, "--survive", "zone", "--what-if", "add=2:gpu-04", str(target))
    bad = {(each["rule"], each["subject"]) for rule in found.values() for each in rule
           if each["level"] in ("error", "warning")}
    assert bad == {("survives", "loss of any 1 value of topology.kubernetes.io/zone"),
                   ("service port", "shop/payment"), ("quota", "reports/compute"),
                   ("drain", "drain of any of 42 nodes"), ("budget", "shop/payment")}
    assert found["fits"][0]["text"] == "202 run, 4 more find a node"


SNAPSHOT = """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: cp, labels: {node-role.kubernetes.io/control-plane: "", zone: a}}
  spec: {taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}
  status: {allocatable: {cpu: "2", memory: 4Gi, pods: "110"}}
- apiVersion: v1
  kind: Pod
  metadata:
    name: etcd-cp
    namespace: kube-system
    ownerReferences: [{apiVersion: v1, kind: Node, name: cp, uid: u, controller: true}]
  spec:
    nodeName: cp
    containers: [{name: e, image: etcd, resources: {requests: {cpu: 100m, memory: 1Mi}}}]
  status: {phase: Running}
- apiVersion: batch/v1
  kind: Job
  metadata: {name: done}
  spec:
    completions: 1
    template: {metadata: {labels: {job: done}}, spec: {containers: [{name: c, image: i}]}}
  status: {succeeded: 1}
"""


def test_static_pods_labels_of_roles_and_finished_jobs_of_a_snapshot_are_understood(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The static pod goes with its node, the Job wants nothing more; the kubelet, which may not
    set the label of the role, registers nevertheless."""
    (tmp_path / "snapshot.yaml").write_text(SNAPSHOT)
    assert main(["verify", "--explore-seconds", "0.2", "--json", "-", str(tmp_path)]) == 0
    found = {each["rule"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert found["fits"]["subject"] == "1 pod on 1 node"
    assert found["survives"]["level"] == "ok"
    assert found["histories"]["level"] == "ok"
