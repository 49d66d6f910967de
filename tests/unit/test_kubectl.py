"""The client by hand-fed answers: what it asks, what it prints, how it ends.

The expected texts are facts drawn from recordings of kubectl 1.32 and from the transcript of the
worked example (release 1.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.api import objects as api
from model.api import requests as r
from model.api.requests import Reply, Request
from model.api.scenario import Scenario
from model.api.yaml_reader import documents
from model.kernel.component import CUT, Io, Message
from reference_impl import scenarios
from reference_impl.kubectl import output
from reference_impl.kubectl.component import Kubectl, Local, last_output, open_request

Answer = Callable[[Request], Any]
WORKED = scenarios.named("worked-example")


class Shell:
    """A client, a clock, and a function that answers each request."""

    def __init__(self, answer: Answer, release: str = "1.32", **files: str) -> None:
        scenario = Scenario("t", release=release, files=tuple(files.items()) or WORKED.files)
        self.client = Kubectl(scenario)
        self.answer = answer
        self.now = 0
        self.asked: list[Request] = []
        self.local: Local = self.client.init(Io())

    def begin(self, line: str, stdin: str = "") -> Io:
        """Type a line; what left is in the Io."""
        args = (line, stdin) if stdin else (line,)
        assert self.client.accepts(self.local, "run", args)
        io = Io(self.now)
        self.local = self.client.step(self.local, "run", args, io)
        return io

    def run(self, line: str, stdin: str = "") -> str:
        """Type a line, answer everything, return what was printed."""
        io = self.begin(line, stdin)
        for _ in range(100):
            if self.local.session is None:
                return last_output(self.local)
            io = self.serve(io)
        raise AssertionError(f"{line} does not end")

    def serve(self, io: Io) -> Io:
        """Answer the open request, or let the timer fire."""
        later = Io(self.now)
        if io.requests:
            (_, lane, request), = io.requests
            self.asked.append(request)
            body = self.answer(request)
            reply = body if body is CUT or isinstance(body, Reply) else \
                r.refused(body) if isinstance(body, r.Status) else Reply(200, body)
            self.local = self.client.receive(self.local, Message("apiserver", lane, reply), later)
        else:
            (key, due), = io.timers
            assert due is not None
            self.now = later.now = due
            self.local = self.client.timer(self.local, key, later)
        return later


def document(kind: str, name: str, **fields: Any) -> Any:
    """A frozen object of the default namespace with a uid."""
    version = {"Deployment": "apps/v1", "PodMetrics": "metrics.k8s.io/v1beta1",
               "NodeMetrics": "metrics.k8s.io/v1beta1"}.get(kind, "v1")
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}",
                "creationTimestamp": "2016-07-01T00:00:00Z", **fields.pop("metadata", {})}
    return api.freeze({"kind": kind, "apiVersion": version, "metadata": metadata, **fields})


def pod(name: str, phase: str = "Running", **status: Any) -> Any:
    """A pod with one container; ready when it runs."""
    ready = phase == "Running"
    if phase == "Pending" and not status:
        return document("Pod", name, spec={"containers": [{"name": "c"}]},
                        status={"phase": phase})
    state = {"running": {"startedAt": "2016-07-01T00:00:00Z"}} if ready \
        else {"waiting": {"reason": status.pop("waiting")}}
    container = {"name": "c", "ready": ready, "restartCount": 0, "state": state}
    return document("Pod", name, spec={"containers": [{"name": "c"}], "nodeName": "node-1"},
                    status={"phase": phase, "podIP": "10.244.0.11",
                            "containerStatuses": [{**container, **status}]})


def service(name: str, address: str, port: dict[str, Any], kind: str = "ClusterIP") -> Any:
    return document("Service", name, spec={"clusterIP": address, "type": kind, "ports": [port],
                                           "selector": {"app": name}})


def listing(kind: str, *items: Any) -> Answer:
    return lambda request: r.ObjectList(kind, items, "7")


def words(text: str) -> list[str]:
    """The lines of a table with one blank between columns."""
    return [re.sub(r"\s{2,}", " | ", line.strip()) for line in text.splitlines()]


# ---- the worked example, as release 1.3 printed it ----------------------------------------------


def test_release_1_3_prints_the_transcript() -> None:
    """Suffixes, ages and addresses vary; the rest is word for word."""
    made = service("myweb", "169.169.1.2", {"port": 8080, "nodePort": 30001, "protocol": "TCP"},
                   "NodePort")
    shell = Shell(lambda request: made if request.resource == "services"
                  and request.body.metadata.name == "myweb" else request.body, "1.3")
    assert shell.run("create -f mysql-rc.yaml") == 'replicationcontroller "mysql" created\n'
    assert shell.run("create -f mysql-svc.yaml") == 'service "mysql" created\n'
    assert shell.run("create -f myweb-svc.yaml") == (
        "You have exposed your service on an external port on all nodes in your\n"
        "cluster. If you want to expose this service to the external internet, you may\n"
        "need to set up firewall rules for the service port(s) (tcp:30001) to serve traffic.\n"
        "See http://releases.k8s.io/release-1.3/docs/user-guide/services-firewalls.md\n"
        "for more details.\n"
        'service "myweb" created\n')
    shell.now = 48_000
    shell.answer = listing("ServiceList", service("mysql", "169.169.253.143",
                                                  {"port": 3306, "protocol": "TCP"}))
    assert shell.run("get svc") == (
        "NAME    CLUSTER-IP        EXTERNAL-IP   PORT(S)    AGE\n"
        "mysql   169.169.253.143   <none>        3306/TCP   48s\n")
    shell.now = 2 * 3_600_000 + 1
    shell.answer = listing("PodList", pod("mysql-c95jc"), pod("myweb-g9pmm"))
    assert shell.run("get pods") == (
        "NAME          READY   STATUS    RESTARTS   AGE\n"
        "mysql-c95jc   1/1     Running   0          2h\n"
        "myweb-g9pmm   1/1     Running   0          2h\n")


# ---- tables of 1.32 ------------------------------------------------------------------------------

TABLES = [
    ("get pods", (pod("a"), pod("b", "Pending")),
     ["NAME | READY | STATUS | RESTARTS | AGE", "a | 1/1 | Running | 0 | 5s",
      "b | 0/1 | Pending | 0 | 5s"]),
    ("get pods -o wide", (pod("a"),),
     ["NAME | READY | STATUS | RESTARTS | AGE | IP | NODE | NOMINATED NODE | READINESS GATES",
      "a | 1/1 | Running | 0 | 5s | 10.244.0.11 | node-1 | <none> | <none>"]),
    ("get pods", (pod("a", "Pending", waiting="ImagePullBackOff"),),
     ["NAME | READY | STATUS | RESTARTS | AGE", "a | 0/1 | ImagePullBackOff | 0 | 5s"]),
    ("get pods", (document("Pod", "a", metadata={"deletionTimestamp": "2016-07-01T00:00:30Z"},
                           spec={"containers": [{"name": "c"}]}, status={"phase": "Running"}),),
     ["NAME | READY | STATUS | RESTARTS | AGE", "a | 0/1 | Terminating | 0 | 5s"]),
    ("get pods", (pod("a", restartCount=2, lastState={"terminated": {
        "exitCode": 1, "finishedAt": "2016-07-01T00:00:02Z"}}),),
     ["NAME | READY | STATUS | RESTARTS | AGE", "a | 1/1 | Running | 2 (3s ago) | 5s"]),
    ("get rc -o wide", (document(
        "ReplicationController", "myweb", spec={
            "replicas": 2, "selector": {"app": "myweb"}, "template": {"spec": {"containers": [
                {"name": "myweb", "image": "kubeguide/tomcat-app:v1"}]}}},
        status={"replicas": 2, "readyReplicas": 1}),),
     ["NAME | DESIRED | CURRENT | READY | AGE | CONTAINERS | IMAGES | SELECTOR",
      "myweb | 2 | 2 | 1 | 5s | myweb | kubeguide/tomcat-app:v1 | app=myweb"]),
    ("get svc", (service("kubernetes", "10.96.0.1", {"port": 443, "protocol": "TCP"}),
                 service("myweb", "10.96.140.182", {"port": 8080, "nodePort": 30001,
                                                    "protocol": "TCP"}, "NodePort"),
                 service("l", "10.96.1.1", {"port": 5, "nodePort": 30002, "protocol": "TCP"},
                         "LoadBalancer")),
     ["NAME | TYPE | CLUSTER-IP | EXTERNAL-IP | PORT(S) | AGE",
      "kubernetes | ClusterIP | 10.96.0.1 | <none> | 443/TCP | 5s",
      "myweb | NodePort | 10.96.140.182 | <none> | 8080:30001/TCP | 5s",
      "l | LoadBalancer | 10.96.1.1 | <pending> | 5:30002/TCP | 5s"]),
    ("get endpoints", (document("Endpoints", "myweb", subsets=[{
        "addresses": [{"ip": f"10.244.0.1{n}"} for n in range(2, 6)],
        "ports": [{"port": 8080}]}]), document("Endpoints", "none")),
     ["NAME | ENDPOINTS | AGE",
      "myweb | 10.244.0.12:8080,10.244.0.13:8080,10.244.0.14:8080 + 1 more... | 5s",
      "none | <none> | 5s"]),
    ("get nodes", (document("Node", "node-1", spec={"unschedulable": True}, status={
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.32.13"}}),),
     ["NAME | STATUS | ROLES | AGE | VERSION",
      "node-1 | Ready,SchedulingDisabled | <none> | 5s | v1.32.13"]),
    ("get quota", (document("ResourceQuota", "compute", status={
        "hard": {"pods": "3", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "1"}}),),
     ["NAME | AGE | REQUEST | LIMIT",
      "compute | 5s | pods: 1/3, requests.cpu: 0/1 | limits.cpu: 0/2"]),
    ("get deploy", (document("Deployment", "web", spec={"replicas": 4}, status={
        "readyReplicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),),
     ["NAME | READY | UP-TO-DATE | AVAILABLE | AGE", "web | 3/4 | 2 | 3 | 5s"]),
    ("get events", (document(
        "Event", "e", involvedObject={"kind": "Pod", "name": "mysql-jwglq"}, reason="Scheduled",
        message="Successfully assigned default/mysql-jwglq to node-1", type="Normal",
        lastTimestamp="2016-07-01T00:00:01Z"),),
     ["LAST SEEN | TYPE | REASON | OBJECT | MESSAGE", "4s | Normal | Scheduled | "
      "pod/mysql-jwglq | Successfully assigned default/mysql-jwglq to node-1"]),
    ("get pods --show-labels -L app", (document(
        "Pod", "a", metadata={"labels": {"app": "web", "env": "x"}}, spec={}, status={}),),
     ["NAME | READY | STATUS | RESTARTS | AGE | APP | LABELS",
      "a | 0/0 | Unknown | 0 | 5s | web | app=web,env=x"]),
    ("get pods -A", (pod("a"),), ["NAMESPACE | NAME | READY | STATUS | RESTARTS | AGE",
                                  "default | a | 1/1 | Running | 0 | 5s"]),
    ("get pods -o name", (pod("a"), pod("b")), ["pod/a", "pod/b"]),
    ("get deploy -o name", (document("Deployment", "w"),), ["deployment.apps/w"]),
    ("top nodes", (document("NodeMetrics", "node-1", usage={"cpu": "250m", "memory": "128Mi"}),),
     ["NAME | CPU(cores) | MEMORY(bytes)", "node-1 | 250m | 128Mi"]),
    ("top pods", (document("PodMetrics", "a", containers=[
        {"name": "c", "usage": {"cpu": "1500u", "memory": "2Mi"}},
        {"name": "d", "usage": {"cpu": "1", "memory": "1Mi"}}]),),
     ["NAME | CPU(cores) | MEMORY(bytes)", "a | 1002m | 3Mi"]),
]


@pytest.mark.parametrize(("line", "found", "rows"), TABLES, ids=[t[0] for t in TABLES])
def test_a_table_shows_what_kubectl_shows(line: str, found: tuple[Any, ...],
                                          rows: list[str]) -> None:
    shell = Shell(listing("List", *found))
    shell.now = 5_000
    assert words(shell.run(line)) == rows


def test_several_resources_come_as_several_tables_with_qualified_names() -> None:
    shell = Shell(lambda request: r.ObjectList("List", (
        pod("p"),) if request.resource == "pods" else (service("s", "10.96.0.9", {"port": 1}),)))
    assert words(shell.run("get svc,pods")) == [
        "NAME | TYPE | CLUSTER-IP | EXTERNAL-IP | PORT(S) | AGE",
        "service/s | ClusterIP | 10.96.0.9 | <none> | 1/TCP | 0s", "",
        "NAME | READY | STATUS | RESTARTS | AGE", "pod/p | 1/1 | Running | 0 | 0s"]


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (599, "9m59s"), (600, "10m"),
    (10_799, "179m"), (10_800, "3h"), (14_460, "4h1m"), (28_800, "8h"), (172_799, "47h"),
    (172_800, "2d"), (180_000, "2d2h"), (691_200, "8d"), (63_072_000, "2y")])
def test_ages_are_written_as_people_read_them(seconds: int, text: str) -> None:
    shell = Shell(listing("NamespaceList", document("Namespace", "n")))
    shell.now = seconds * 1000
    assert words(shell.run("get ns"))[1].split(" | ")[-1] == text


# ---- refusals ------------------------------------------------------------------------------------

REFUSALS = [
    ("get pod nope", r.not_found("pods", "nope"),
     'Error from server (NotFound): pods "nope" not found\n'),
    ("get foo", None, 'error: the server doesn\'t have a resource type "foo"\n'),
    ("create -f mysql-rc.yaml", r.already_exists("replicationcontrollers", "mysql"),
     'Error from server (AlreadyExists): error when creating "mysql-rc.yaml": '
     'replicationcontrollers "mysql" already exists\n'),
    ("create -f mysql-rc.yaml", r.invalid("ReplicationController", "", "mysql", (
        r.field_required("spec.selector"), r.field_invalid("spec.replicas", -1, "negative"))),
     'The ReplicationController "mysql" is invalid: \n* spec.selector: Required value\n'
     "* spec.replicas: Invalid value: -1: negative\n"),
    ("create -f nosuch.yaml", None, 'error: the path "nosuch.yaml" does not exist\n'),
    ("create", None, "error: must specify one of -f and -k\n"),
    ("scale rc nosuch --replicas=2", r.not_found("replicationcontrollers", "nosuch"),
     'error: no objects passed to scale replicationcontrollers "nosuch" not found\n'),
    ("scale rc myweb --replicas=-1", None, "error: The --replicas=COUNT flag is required, and "
     "COUNT must be greater than or equal to 0\n"),
    ("delete pod", None, "error: resource(s) were provided, but no name was specified\n"),
    ("delete pods --all -l a=b", None,
     "error: setting 'all' parameter but found a non empty selector. \n"),
    ("delete -f mysql-rc.yaml", r.not_found("replicationcontrollers", "mysql"),
     'Error from server (NotFound): error when deleting "mysql-rc.yaml": '
     'replicationcontrollers "mysql" not found\n'),
    ("top pods", r.no_such_path(), "error: Metrics API not available\n"),
    ("get pods --bogus", None, "error: unknown flag: --bogus\n"),
    ("get pods", r.unauthorized(),
     "error: You must be logged in to the server (Unauthorized)\n"),
    ("gte pods", None, 'error: unknown command "gte" for "kubectl"\n'),
    ("get 'pods", None, "error: the line cannot be split into words: No closing quotation\n"),
    ("get pod a/b/c", r.not_found("pods", "a"), None),
]


@pytest.mark.parametrize(("line", "status", "text"), REFUSALS)
def test_a_refusal_reads_as_kubectl_words_it(line: str, status: Any, text: str | None) -> None:
    shell = Shell(lambda request: status)
    printed = shell.run(line)
    assert shell.local.last.code == 1
    assert shell.local.last.out == ""
    assert text is None or printed == text


def test_a_misprinted_file_is_refused_by_create_and_nothing_is_asked() -> None:
    shell = Shell(lambda request: request.body, bad="kind: Pod\nreplicas:1\n",
                  **{"good.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"})
    printed = shell.run("create -f good.yaml -f bad")
    assert 'bad:2: "replicas:1" needs a space after the colon (write: replicas: 1)' in printed
    assert (shell.asked, shell.local.last.code) == ([], 1)


def test_an_empty_collection_says_where_it_looked() -> None:
    shell = Shell(listing("PodList"))
    assert shell.run("get pods") == "No resources found in default namespace.\n"
    assert shell.run("get pods -n x") == "No resources found in x namespace.\n"
    assert shell.run("get pods -A") == "No resources found\n"
    assert shell.run("get nodes") == "No resources found\n"
    assert shell.local.last.code == 0


# ---- writes --------------------------------------------------------------------------------------


def test_create_takes_one_file_several_a_folder_and_standard_input() -> None:
    shell = Shell(lambda request: request.body)
    assert shell.run("create -f mysql-rc.yaml -f mysql-svc.yaml") == (
        "replicationcontroller/mysql created\nservice/mysql created\n")
    assert shell.run("create -f .").count("created") == 4
    assert shell.run("create -f - < myweb-svc.yaml") == "service/myweb created\n"
    assert shell.run("create -f -", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n") == (
        "pod/p created\n")
    assert {(each.verb, each.namespace) for each in shell.asked} == {("create", "default")}


def test_create_goes_on_after_a_refusal_and_ends_with_code_1() -> None:
    shell = Shell(lambda request: request.body if request.resource == "services"
                  else r.already_exists("replicationcontrollers", "mysql"))
    printed = shell.run("create -f mysql-rc.yaml -f mysql-svc.yaml")
    assert printed.startswith("service/mysql created\nError from server (AlreadyExists)")
    assert shell.local.last.code == 1


def rc(name: str = "web", replicas: int = 2, version: str = "5", **status: int) -> Any:
    return document("ReplicationController", name, metadata={"resourceVersion": version,
                                                             "generation": 1},
                    spec={"replicas": replicas, "template": {"spec": {"containers": [
                        {"name": "web", "image": "web:v1"}]}}}, status=status or {"replicas": 2})


def test_scale_writes_the_scale_subresource() -> None:
    shell = Shell(lambda request: rc() if request.verb == "get" else request.body)
    assert shell.run("scale rc web --replicas=4") == "replicationcontroller/web scaled\n"
    assert [r.describe(each) for each in shell.asked] == [
        "get replicationcontrollers default/web",
        "update replicationcontrollers/scale default/web"]
    assert shell.asked[-1].body.spec.replicas == 4
    assert shell.run("scale rc/web --current-replicas=3 --replicas=2") == (
        "error: Expected replicas to be 3, was 2\n")


def test_set_image_starts_over_on_a_conflict_and_loses_no_other_change() -> None:
    versions = iter(("5", "6"))
    answers = {"get": lambda: rc(version=next(versions)),
               "update": lambda: r.conflict("replicationcontrollers", "web")}

    def answer(request: Request) -> Any:
        if request.verb == "update" and request.body.metadata.resource_version == "6":
            return request.body
        return answers[request.verb]()
    shell = Shell(answer)
    assert shell.run("set image rc/web web=web:v2") == "replicationcontroller/web image updated\n"
    assert [each.verb for each in shell.asked] == ["get", "update", "get", "update"]
    assert shell.asked[-1].body.spec.template.spec.containers[0].image == "web:v2"


def test_set_image_gives_up_after_a_bounded_number_of_conflicts() -> None:
    shell = Shell(lambda request: rc() if request.verb == "get"
                  else r.conflict("replicationcontrollers", "web"))
    assert "Error from server (Conflict)" in shell.run("set image rc/web *=web:v2")
    assert len(shell.asked) == 12
    assert shell.run("set image rc/web nosuch=x") == (
        'error: unable to find container named "nosuch"\n')


def test_label_sets_takes_away_and_guards_what_is_there() -> None:
    made = document("Pod", "p", metadata={"labels": {"app": "web", "old": "x"}})
    shell = Shell(lambda request: made if request.verb == "get" else request.body)
    assert shell.run("label pod p env=test old-") == "pod/p labeled\n"
    assert shell.asked[-1].body.metadata.labels == (("app", "web"), ("env", "test"))
    assert shell.run("label pod/p app=web") == "pod/p not labeled\n"
    assert shell.run("label pod p app=db") == (
        "error: 'app' already has a value (web), and --overwrite is false\n")
    assert shell.run("label pod p app=db --overwrite") == "pod/p labeled\n"
    assert "invalid label" in shell.run("label pod p a=b/c")
    assert "at least one label" in shell.run("label pod p")


def test_cordon_and_uncordon_write_only_what_changes() -> None:
    made = {"node": document("Node", "n")}

    def answer(request: Request) -> Any:
        if request.verb == "update":
            made["node"] = request.body
        return made["node"]
    shell = Shell(answer)
    assert shell.run("cordon n") == "node/n cordoned\n"
    assert made["node"].spec.unschedulable is True
    assert shell.run("cordon node/n") == "node/n already cordoned\n"
    assert shell.run("uncordon n") == "node/n uncordoned\n"
    assert made["node"].spec.unschedulable is None
    assert [each.verb for each in shell.asked] == ["get", "update", "get", "get", "update"]


def test_patch_sends_what_was_typed_as_json() -> None:
    shell = Shell(lambda request: service("myweb", "10.96.0.5", {"port": 1}))
    assert shell.run("""patch svc myweb -p '{"spec": {"type": "LoadBalancer"}}'""") == (
        "service/myweb patched\n")
    assert shell.asked[0].body == r.Patch("strategic", b'{"spec":{"type":"LoadBalancer"}}')
    assert "not JSON" in shell.run("patch svc myweb -p '{'")


# ---- deletes -------------------------------------------------------------------------------------


def test_delete_waits_until_the_uid_is_gone_whatever_bears_the_name() -> None:
    """The bug kubectl-delete-wait-by-name: a new object of the same name must end the wait."""
    reads = iter([pod("p"), pod("p"), document("Pod", "p", metadata={"uid": "another"})])
    shell = Shell(lambda request: pod("p") if request.verb == "delete" else next(reads))
    assert shell.run("delete pod p") == 'pod "p" deleted\n'
    assert [each.verb for each in shell.asked] == ["delete", "get", "get", "get"]
    assert shell.now == 3_000
    assert [(each.resource, str(each.key), each.uid) for each in shell.local.gone] == [
        ("pods", "default/p", "uid-p")]


def test_delete_gives_up_waiting_after_its_timeout() -> None:
    shell = Shell(lambda request: pod("p"))
    assert "timed out waiting for the condition on pods/p" in shell.run("delete pod p --timeout=2s")
    assert (shell.now, shell.local.last.code, shell.local.gone) == (2_000, 1, ())
    assert shell.run("delete pod p --wait=false") == 'pod "p" deleted\n'
    assert shell.asked[-1].verb == "delete"


def test_delete_by_label_lists_first_and_says_when_there_is_nothing() -> None:
    shell = Shell(lambda request: r.ObjectList("PodList", (pod("a"), pod("b")))
                  if request.verb == "list" else r.not_found("pods", "x")
                  if request.verb == "get" else pod(request.name))
    assert shell.run("delete pods -l app=web") == 'pod "a" deleted\npod "b" deleted\n'
    assert shell.asked[0].options.label_selector == "app=web"
    shell.answer = listing("PodList")
    assert shell.run("delete rc,svc --all") == "No resources found\n"


@pytest.mark.parametrize(("flags", "grace", "policy"), [
    ("", None, "Background"), ("--cascade=orphan", None, "Orphan"), ("--now", 1, "Background"),
    ("--grace-period=5 --cascade=foreground", 5, "Foreground"), ("--force", 0, "Background")])
def test_flags_of_delete_become_options(flags: str, grace: int | None, policy: str) -> None:
    shell = Shell(lambda request: r.not_found("pods", "p") if request.verb == "get" else pod("p"))
    shell.run(f"delete pod p {flags}")
    options = shell.asked[0].options
    assert (options.grace_period_seconds, options.propagation_policy) == (grace, policy)


def test_release_1_3_empties_a_controller_before_it_deletes_it() -> None:
    reads = iter([rc(), rc(replicas=0, replicas_left=1), rc(replicas=0, observedGeneration=1)])
    shell = Shell(lambda request: next(reads) if request.verb == "get" else
                  r.success("replicationcontrollers", "web", "uid-web")
                  if request.verb == "delete" else request.body, "1.3")
    assert shell.run("delete rc web") == 'replicationcontroller "web" deleted\n'
    assert [each.verb for each in shell.asked] == ["get", "update", "get", "get", "delete"]
    assert shell.asked[1].body.spec.replicas == 0


@pytest.mark.parametrize("trouble", [CUT, r.forbidden("replicationcontrollers", "web", "no")])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_release_1_3_does_not_delete_a_controller_that_it_could_not_empty(
        trouble: Any, at: int) -> None:
    """Its pods would stay, with nobody to count them; the next thing to delete is not affected."""
    answers = [rc(), rc(replicas=0), rc(replicas=0, observedGeneration=1)]

    def answer(request: Request) -> Any:
        step = len(shell.asked) - 1
        if request.name == "other":
            return r.not_found("replicationcontrollers", "other")
        return trouble if step == at else answers[step]
    shell = Shell(answer, "1.3")
    shell.run("delete rc web other")
    assert [each.name for each in shell.asked if each.verb == "delete"] == ["other"]
    assert shell.local.last.code == 1


# ---- interruptions -------------------------------------------------------------------------------


def test_a_cut_leaves_the_outcome_unknown_and_the_client_usable() -> None:
    shell = Shell(lambda request: CUT)
    assert shell.run("create -f mysql-rc.yaml") == "error: unexpected EOF\n"
    assert shell.local.last.code == 1
    shell.answer = listing("PodList")
    assert "No resources" in shell.run("get pods")


def test_a_cut_during_the_wait_of_a_delete_only_delays_it() -> None:
    reads = iter([CUT, r.not_found("pods", "p")])
    shell = Shell(lambda request: pod("p") if request.verb == "delete" else next(reads))
    assert shell.run("delete pod p") == 'pod "p" deleted\n'
    assert shell.local.last.code == 0


def test_an_interrupted_command_ignores_its_late_answer() -> None:
    shell = Shell(listing("PodList"))
    io = shell.begin("create -f mysql-rc.yaml")
    assert not shell.client.accepts(shell.local, "run", ("get pods",))
    assert shell.client.accepts(shell.local, "interrupt", ())
    shell.local = shell.client.step(shell.local, "interrupt", (), Io())
    assert (shell.local.last.code, open_request(shell.local)) == (130, None)
    second = shell.begin("get pods")
    assert second.requests == []
    late = Io()
    shell.local = shell.client.receive(
        shell.local, Message("apiserver", "main", Reply(201, io.requests[0][2].body)), late)
    assert [each[2].verb for each in late.requests] == ["list"]
    shell.serve(late)
    assert last_output(shell.local) == "No resources found in default namespace.\n"


def test_a_restart_forgets_the_command_in_progress() -> None:
    shell = Shell(listing("PodList"))
    shell.begin("get pods")
    shell.local = shell.client.restart(shell.local, "process", Io())
    assert (shell.local.session, shell.local.asked, shell.local.last.code) == (None, False, 137)
    assert "No resources" in shell.run("get pods")


# ---- documents -----------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10**6, 10**6)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
              max_size=12)
    | st.sampled_from(["yes", "1", "1e3", "~", "2016-07-01", "a: b", "a #b", "- x", "-e", "*", "",
                       " x", "x ", "l1\nl2", "l1\n", "\n", "l1\n\n", "x:", "'", '"', "y", "0x1f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["a", "b", "y", "a.b/c", "1", "null"]), inner, max_size=3), max_leaves=10)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1, max_size=3))
def test_yaml_that_is_printed_reads_back_as_the_same_document(value: dict[str, Any]) -> None:
    assert documents(output.to_yaml(value))[0].value == value


def test_yaml_and_json_of_lists_and_single_objects() -> None:
    shell = Shell(lambda request: document("Namespace", "dev", spec={"finalizers": ["kubernetes"]},
                                           metadata={"managedFields": [{}], "namespace": None}))
    assert shell.run("get ns dev -o yaml").splitlines() == [
        "apiVersion: v1", "kind: Namespace", "metadata:",
        '  creationTimestamp: "2016-07-01T00:00:00Z"', "  name: dev", "  namespace: null",
        "  uid: uid-dev", "spec:", "  finalizers:", "  - kubernetes"]
    shell.answer = listing("PodList", pod("a"))
    assert documents(shell.run("get pods -o yaml"))[0].value["kind"] == "List"
    assert shell.run("get pods -o json").startswith('{\n    "apiVersion": "v1",\n    "items": [')


# ---- descriptions --------------------------------------------------------------------------------


def test_describe_reads_what_belongs_to_the_object_and_shows_it() -> None:
    event = document("Event", "e", involvedObject={"kind": "ReplicationController", "name": "web",
                                                   "uid": "uid-web"}, reason="SuccessfulCreate",
                     message="Created pod: web-1", type="Normal",
                     source={"component": "replication-controller"},
                     firstTimestamp="2016-07-01T00:00:00Z")
    owned = document("Pod", "web-1", metadata={"ownerReferences": [
        {"uid": "uid-web", "controller": True}]}, status={"phase": "Running"})
    lists = {"events": (event,), "pods": (owned,)}
    shell = Shell(lambda request: rc() if request.verb == "get"
                  else r.ObjectList("List", lists[request.resource]))
    printed = shell.run("describe rc web")
    assert "Pods Status:  1 Running / 0 Waiting / 0 Succeeded / 0 Failed\n" in printed
    assert "Replicas:     2 current / 2 desired\n" in printed
    assert words(printed)[-1] == (
        "Normal | SuccessfulCreate | 0s | replication-controller | Created pod: web-1")


def test_describe_service_shows_its_ends() -> None:
    lists = {"events": (), "endpoints": (document("Endpoints", "s", subsets=[
        {"addresses": [{"ip": "10.244.0.3"}], "ports": [{"port": 80}]}]),)}
    shell = Shell(lambda request: service("s", "10.96.0.9", {"port": 80, "protocol": "TCP"})
                  if request.verb == "get" else r.ObjectList("List", lists[request.resource]))
    printed = words(shell.run("describe svc s"))
    assert "Endpoints: | 10.244.0.3:80" in printed
    assert "Port: | <unset> | 80/TCP" in printed
    assert "Events: | <none>" in printed


@pytest.mark.parametrize("kind", ["Pod", "Node", "Namespace", "Secret", "ConfigMap", "Endpoints",
                                  "ServiceAccount", "ResourceQuota", "LimitRange", "Service"])
def test_describe_manages_an_object_with_nothing_in_it(kind: str) -> None:
    shell = Shell(lambda request: document(kind, "x") if request.verb == "get"
                  else r.ObjectList("List"))
    assert shell.run(f"describe {kind} x").splitlines()[0].split() == ["Name:", "x"]
