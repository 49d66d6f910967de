"""`kubeproof verify` and `kubeproof schedule` on small files: findings, places, formats, status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubeproof.cli import main

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
    assert main(["verify", *files(tmp_path)]) == 0
    assert "2 pods on 2 nodes: they fit together" in capsys.readouterr().out


def test_what_does_not_fit_is_told_with_reason_and_place(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *files(tmp_path, replicas=5)]) == 1
    told = capsys.readouterr().out
    assert "5 pods of Deployment default/web need 5.0 CPU, the 2 nodes have 4.0 CPU" in told
    assert "web.yaml:" in told


def test_a_loss_that_is_not_survived_is_named(tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *files(tmp_path, replicas=3)]) == 1
    assert "without n1: 3 pods of Deployment default/web need 3.0 CPU" in capsys.readouterr().out


@pytest.mark.parametrize(("selected", "target", "told"), [
    ("wbe", "http", "default/web: no pod has app=wbe"),
    ("web", "https", "declares no port https")])
def test_a_service_without_pods_or_port_is_an_error(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], selected: str, target: str,
        told: str) -> None:
    assert main(["verify", *files(tmp_path, selected=selected, target=target)]) == 1
    assert told in capsys.readouterr().out


def test_quota_budget_rival_selectors_and_unknown_kinds_are_found(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json", "-", *files(tmp_path, more=OTHERS)]) == 1
    found = {(each["rule"], each["level"]) for each in
             json.loads(capsys.readouterr().out)["findings"]}
    assert {("quota", "error"), ("budget", "warning"), ("selectors", "warning"),
            ("kinds", "note")} <= found


def test_a_waived_error_does_not_fail_and_keeps_its_reason(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- {rule: survives, subject: loss of any 1 node, reason: accepted}\n")
    sarif = tmp_path / "out.sarif"
    status = main(["verify", "--waivers", str(waivers), "--sarif", str(sarif),
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
    assert main(["verify", "--waivers", str(waivers), *files(tmp_path)]) == 2
    assert "exactly rule, subject and reason" in capsys.readouterr().err


def test_the_placement_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "placement.dot"
    assert main(["verify", "--draw", str(target), *files(tmp_path)]) == 0
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
