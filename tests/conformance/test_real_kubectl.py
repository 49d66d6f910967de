"""The real kubectl at the server: the worked example, rollouts, edits, drains, explanations.

The transcript of the worked example stands in docs/reference/kubectl-transcript.md, with what
varies (suffixes, ages, addresses) replaced; a test compares. After a change that was meant, run
this file as a program: it writes the page anew.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_process import ROOT, Served

KUBECTL = shutil.which("kubectl")
PAGE = ROOT / "docs" / "reference" / "kubectl-transcript.md"
EXAMPLE = ROOT / "reference_impl" / "scenarios" / "worked-example"
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
SECONDS_MAX = 60


class Terminal:
    """A person at kubectl, in a folder of manifests."""

    def __init__(self, kubeconfig: Path, home: Path, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home),
                            "KUBECACHEDIR": str(home / "cache")}
        self.transcript: list[str] = []

    def start(self, line: str, stdin: str = "", **environment: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            ["kubectl", *split(line)], stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
            env={**self.environment, **environment})

    def fails(self, line: str, stdin: str = "", **environment: str) -> str:
        """What a command prints that must fail."""
        code, out = self.both(line, stdin, **environment)
        assert code != 0, f"kubectl {line} succeeds: {out}"
        return out

    def __call__(self, line: str, stdin: str = "", **environment: str) -> str:
        """What a command prints that must succeed."""
        code, out = self.both(line, stdin, **environment)
        assert code == 0, f"kubectl {line}: {out}"
        return out

    def both(self, line: str, stdin: str = "", **environment: str) -> tuple[int, str]:
        """Exit status and output of a command."""
        process = self.start(line, stdin, **environment)
        out, _ = process.communicate(stdin or None, timeout=SECONDS_MAX)
        self.transcript.append(f"$ kubectl {line}\n{out}")
        return process.returncode, out

    def until(self, line: str, wanted: str) -> str:
        """Repeat a command until its output matches; the transcript keeps the last time only."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            kept = len(self.transcript)
            out = self(line)
            if re.search(wanted, out):
                return out
            del self.transcript[kept:]
            assert time.monotonic() < deadline, f"kubectl {line} never shows {wanted}: {out}"
            time.sleep(0.2)


def split(line: str) -> list[str]:
    """A command line as a shell would take it apart."""
    import shlex
    return shlex.split(line)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two machines."""
    with Served(tmp_path_factory.mktemp("served"), "--nodes", "2", secure=True) as found:
        yield found


@pytest.fixture
def kubectl(served: Served, tmp_path: Path) -> Terminal:
    """kubectl with an empty cache, in a folder of its own."""
    return Terminal(served.kubeconfig, tmp_path, tmp_path)


@pytest.fixture
def place(kubectl: Terminal, request: pytest.FixtureRequest) -> str:
    """A namespace for one test, as the current one."""
    name = "t-" + re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_"))[:30].strip("-")
    kubectl(f"create namespace {name}")
    shutil.copy(kubectl.environment["KUBECONFIG"], kubectl.folder / "config")
    kubectl.environment["KUBECONFIG"] = str(kubectl.folder / "config")
    kubectl(f"config set-context --current --namespace={name}")
    return name


def editor(folder: Path, old: str, new: str) -> str:
    """An editor that replaces one text by another."""
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\nsed -i 's|{old}|{new}|' \"$1\"\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# ---- the worked example ------------------------------------------------------------------------


def story(kubectl: Terminal) -> str:
    """Play the worked example; what was typed and printed, what varies replaced."""
    kubectl("get nodes")
    kubectl("create -f mysql-rc.yaml")
    kubectl("get rc")
    kubectl.until("get pods", "1/1 +Running")
    kubectl("create -f mysql-svc.yaml")
    kubectl("get svc")
    kubectl("create -f myweb-rc.yaml")
    kubectl.until("get pods", r"(?s)(1/1 +Running.*){3}")
    kubectl("create -f myweb-svc.yaml")
    kubectl.until("get endpoints", r"8080,.*8080")
    kubectl("scale rc myweb --replicas=3")
    kubectl.until("get rc myweb", "3 +3 +3")
    kubectl("set image rc/mysql mysql=mysql:8")
    kubectl("describe rc mysql")
    kubectl("delete rc mysql myweb")
    kubectl("delete svc mysql myweb")
    kubectl.until("get all", r"(?s)^NAME[^\n]+\nservice/kubernetes[^\n]*\n$")
    return "\n".join(map(plain, kubectl.transcript))


VARIES = (
    (r"\b(mysql|myweb)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"\1-xxxxx"),
    (r"\b10\.96\.\d+\.\d+\b", "10.96.x.x"), (r"\b10\.244\.\d+\.\d+\b", "10.244.x.x"),
    (r"\b\d+[smh](\d+s)?\b", "Ns"), (r"(?<=  Ns) +", "    "), (r"(?m) +$", ""))


def plain(text: str) -> str:
    """A piece of the transcript without what varies."""
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    command, _, shown = text.partition("\n")
    return f"{command}\n{aligned(shown) if shown.startswith('NAME') else shown}"


def aligned(table: str) -> str:
    """A table in columns again, after replacements of another length."""
    rows = [re.split(" {2,}", line) for line in table.splitlines()]
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    return "".join("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                   .rstrip() + "\n" for row in rows)


def page(shown: str) -> str:
    """The page of the transcript."""
    return ("# The worked example, typed at the real kubectl\n\n"
            "Generated by `python tests/conformance/test_real_kubectl.py`, and compared with what "
            "kubectl prints\nby the tests. Suffixes, ages and addresses vary and are replaced.\n\n"
            f"```console\n{shown}```\n")


def test_the_worked_example_prints_its_transcript(kubectl: Terminal) -> None:
    """Command by command what the page shows."""
    kubectl.folder = EXAMPLE
    assert page(story(kubectl)) == PAGE.read_text(encoding="utf-8")


# ---- deployments -------------------------------------------------------------------------------


def test_a_deployment_rolls_out_back_and_again(kubectl: Terminal, place: str) -> None:
    """Status, history, undo, restart, pause and resume."""
    kubectl("create deployment web --image=nginx:1 --replicas=3")
    assert 'deployment "web" successfully rolled out' in kubectl("rollout status deployment/web")
    kubectl("set image deployment/web nginx=nginx:2")
    out = kubectl("rollout status deployment/web")
    assert out.endswith('deployment "web" successfully rolled out\n')
    history = kubectl("rollout history deployment/web")
    assert re.search(r"1 +<none>\n2 +<none>", history)
    assert "Image:\tnginx:1" in kubectl("rollout history deployment/web --revision=1")
    assert kubectl("rollout undo deployment/web") == "deployment.apps/web rolled back\n"
    kubectl("rollout status deployment/web")
    image = "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl(image) == "nginx:1"
    assert re.search(r"2 +<none>\n3 +<none>", kubectl("rollout history deployment/web"))
    assert kubectl("rollout restart deployment/web") == "deployment.apps/web restarted\n"
    kubectl("rollout status deployment/web")
    assert len(kubectl("get rs --no-headers").splitlines()) == 3
    kubectl("rollout pause deployment/web")
    kubectl("set image deployment/web nginx=nginx:3")
    paused = ("get deployment web -o 'jsonpath={.status.conditions[?(@.type==\"Progressing\")]"
              ".reason}'")
    kubectl.until(paused, "DeploymentPaused")
    assert "0 out of 3 new replicas" in kubectl.start(
        "rollout status deployment/web --timeout=1s").communicate(timeout=SECONDS_MAX)[0]
    kubectl("rollout resume deployment/web")
    kubectl("rollout status deployment/web")
    assert kubectl("autoscale deployment web --min=1 --max=5 --cpu-percent=60") == (
        "horizontalpodautoscaler.autoscaling/web autoscaled\n")
    assert re.search(r"web +Deployment/web +cpu: <unknown>/60% +1 +5", kubectl("get hpa"))
    described = kubectl("describe deployment web")
    assert re.search(r"Progressing +True +NewReplicaSetAvailable", described)
    assert "Scaled up replica set web-" in described
    kubectl("delete deployment web")
    kubectl.until("get rs,pods", f"No resources found in {place} namespace")


def test_a_stuck_rollout_is_told(kubectl: Terminal, place: str) -> None:
    """Its progress deadline passes, and kubectl says so."""
    kubectl("create deployment web --image=nginx:1")
    kubectl("rollout status deployment/web")
    kubectl("patch deployment web -p '{\"spec\":{\"progressDeadlineSeconds\":1}}'")
    kubectl("set resources deployment/web --requests=cpu=99")
    out = kubectl.fails("rollout status deployment/web")
    assert 'deployment "web" exceeded its progress deadline' in out


# ---- changes -----------------------------------------------------------------------------------


def test_apply_edit_and_patch(kubectl: Terminal, place: str) -> None:
    """Client-side apply keeps what others set; edit and the patches change what they say."""
    kubectl("apply -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
                          "data: {a: '1', b: '2'}\n")
    kubectl("patch configmap c --type=merge -p '{\"data\":{\"z\":\"26\"}}'")
    assert kubectl("apply -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
                                 "data: {a: '3'}\n") == "configmap/c configured\n"
    values = "get configmap c -o jsonpath={.data}"
    assert kubectl(values) == '{"a":"3","z":"26"}'
    assert kubectl("edit configmap c", EDITOR=editor(kubectl.folder, '"26"', '"27"')) == (
        "configmap/c edited\n")
    assert kubectl(values) == '{"a":"3","z":"27"}'
    kubectl("patch configmap c --type=json -p '[{\"op\":\"remove\",\"path\":\"/data/z\"}]'")
    assert kubectl(values) == '{"a":"3"}'
    assert "unchanged" in kubectl("apply -f -", "apiVersion: v1\nkind: ConfigMap\n"
                                               "metadata: {name: c}\ndata: {a: '3'}\n")
    refused = kubectl.fails("apply -f -", "apiVersion: v1\nkind: ConfigMap\n"
                                          "metadata: {name: c}\ndatta: {a: '3'}\n")
    assert 'unknown field "datta"' in refused


def test_wait_and_watch(kubectl: Terminal, place: str) -> None:
    """`wait` ends when it is so, `get -w` prints each change."""
    watcher = kubectl.start("get pods -w --no-headers --request-timeout=6s")
    kubectl("run web --image=nginx")
    assert kubectl("wait --for=condition=Ready pod/web --timeout=20s") == "pod/web condition met\n"
    assert kubectl("wait --for=jsonpath={.status.phase}=Running pod/web") == (
        "pod/web condition met\n")
    kubectl("delete pod web --grace-period=1")
    assert "pod/web" not in kubectl("wait --for=delete pod/web --timeout=20s")
    lines = watcher.communicate(timeout=SECONDS_MAX)[0].splitlines()
    words = list(dict.fromkeys(line.split()[2] for line in lines if line.startswith("web")))
    assert "Running" in words, lines
    assert words[-1] in ("Terminating", "Completed"), lines


def test_a_drain_respects_a_budget(kubectl: Terminal, place: str) -> None:
    """Pods leave one by one; a budget that allows nothing stops the drain."""
    kubectl("create deployment web --image=nginx --replicas=2")
    kubectl("rollout status deployment/web")
    kubectl("create pdb web --selector=app=web --min-available=2")
    kubectl.until("get pdb web", r"web +2 +N/A +0")
    pods = kubectl("get pods -o jsonpath={.items[*].spec.nodeName}").split()
    out = kubectl.fails(f"drain {pods[0]} --ignore-daemonsets --force --delete-emptydir-data "
                        "--timeout=2s")
    assert "violate the pod's disruption budget" in out
    kubectl("delete pdb web")
    assert f"node/{pods[0]} drained" in kubectl(
        f"drain {pods[0]} --ignore-daemonsets --force --delete-emptydir-data --timeout=20s")
    assert "SchedulingDisabled" in kubectl(f"get node {pods[0]}")
    assert f"node/{pods[0]} uncordoned" in kubectl(f"uncordon {pods[0]}")
    kubectl.until("get deployment web", "2/2")


# ---- questions ---------------------------------------------------------------------------------


def test_logs(kubectl: Terminal, place: str) -> None:
    """What a container wrote, the end of it, both of two; and who may not read it."""
    kubectl("run web --image=nginx")
    kubectl("wait --for=condition=Ready pod/web --timeout=20s")
    assert kubectl("logs web").startswith("web/web: instance 0 begins\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z web/web: [^\n]+\n",
                        kubectl("logs web --tail=1 --timestamps"))
    assert kubectl("logs web --limit-bytes=3") == "web"
    kubectl("create role reader --verb=get --resource=pods")
    kubectl("create rolebinding reader --role=reader --user=bob")
    refused = kubectl.fails("logs web --as=bob")
    assert 'cannot get resource "pods/log"' in refused
    kubectl("create role logs --verb=get --resource=pods/log")
    kubectl("create rolebinding logs --role=logs --user=bob")
    assert "instance 0 begins" in kubectl("logs web --as=bob")
    assert kubectl.fails("logs web --previous").endswith(
        'previous terminated container "web" in pod "web" not found\n')
    assert "container side is not valid for pod web" in kubectl.fails("logs web -c side")
    follower = kubectl.start("logs -f web")
    time.sleep(1)  # what follows is to happen while it reads
    kubectl("delete pod web --grace-period=1")
    told = follower.communicate(timeout=SECONDS_MAX)[0].splitlines()
    assert told[0] == "web/web: instance 0 begins", told
    assert follower.returncode == 0, told
    kubectl("run stuck --image=bad")
    kubectl.until("get pod stuck", "(ErrImagePull|ImagePullBackOff)")
    assert re.search("is waiting to start: (trying and failing to pull image|image can't be "
                     "pulled)", kubectl.fails("logs stuck"))


def test_explain_and_who_may(kubectl: Terminal, place: str) -> None:
    """Fields are explained from OpenAPI; rights come from the roles."""
    out = kubectl("explain deployment.spec.strategy")
    assert re.search(r"GROUP: +apps\nKIND: +Deployment", out)
    assert "rollingUpdate\t<RollingUpdateDeployment>" in out
    assert kubectl("auth can-i create pods") == "yes\n"
    assert kubectl.fails("auth can-i create pods --as=bob") == "no\n"
    kubectl("create role reader --verb=get,list --resource=pods")
    kubectl("create rolebinding reader --role=reader --user=bob")
    assert kubectl("auth can-i list pods --as=bob") == "yes\n"
    assert "Username    admin" in kubectl("auth whoami")
    misspelt = kubectl.fails("apply -f -", "apiVersion: apps/v1\nkind: Deploymant\n"
                                           "metadata: {name: web}\n")
    assert 'no matches for kind "Deploymant" in version "apps/v1"' in misspelt
    kubectl("run web --image=nginx")
    refused = kubectl.fails("delete pod web --as=bob")
    assert f'User "bob" cannot delete resource "pods" in API group "" in the namespace "{place}"' \
        in refused


def main() -> int:
    """Write the transcript anew."""
    import tempfile
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Served(folder, "--nodes", "2", secure=True) as served:
            shown = story(Terminal(served.kubeconfig, folder, EXAMPLE))
    PAGE.write_text(page(shown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
