"""Logs: made from what the runtime knows, chosen by the query, refused in Kubernetes' words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from node_agents import kubelets, put
from tiny_apiserver import pod_json

from kubeproof.http import logs
from model.api.objects import from_json
from model.api.requests import Status
from model.kernel.action import Action
from model.kernel.system import System
from model.kernel.world import World
from reference_impl.kubelet.logs import LINES_MAX


class Machines:
    """Two machines; `read` asks for a log as the front door does."""

    def __init__(self, *inputs: Action) -> None:
        self.system: System = kubelets("crash", ())
        self.world: World = self.system.init()
        self.tell(*inputs)

    def tell(self, *inputs: Action) -> None:
        for action in (None, *inputs):
            after = self.world if action is None else self.system.apply(self.world, action)
            assert after is not None
            self.world = after
            turn = 0
            while self.world.total:
                done = self.system.apply(
                    self.world, self.system.pick(self.world, turn % self.world.total))
                assert done is not None
                self.world, turn = done, turn + 1

    def later(self, seconds: int, step: int = 1) -> None:
        """Let time pass in steps of some seconds."""
        for _ in range(0, seconds, step):
            self.tell(Action("clock", "advance", (self.world.now + 1000 * step,)))

    def read(self, name: str, **query: str) -> Any:
        options = logs.options_of(query, name)
        if isinstance(options, Status):
            return options
        pod = self.world["apiserver"].cache["pods"][f"default/{name}"]
        return logs.answer(self.world, pod, options)


def told(answer: Any) -> tuple[int, str]:
    assert isinstance(answer, Status)
    return answer.code, answer.message


def test_a_container_writes_when_it_begins_and_each_ten_seconds() -> None:
    """The options choose the last lines, the young ones, the first bytes."""
    machines = Machines(put("web"))
    machines.later(25)
    assert machines.read("web") == (b"web/c0: instance 0 begins\nweb/c0: has run for 10 s\n"
                                    b"web/c0: has run for 20 s\n")
    assert machines.read("web", tailLines="1") == b"web/c0: has run for 20 s\n"
    assert machines.read("web", tailLines="0") == b""
    assert machines.read("web", limitBytes="4") == b"web/"
    assert machines.read("web", sinceSeconds="20").startswith(b"web/c0: has run for 10 s\n")
    stamped = machines.read("web", timestamps="true", tailLines="1").split()[0]
    assert stamped.startswith(b"2016-07-01T00:00:")
    assert stamped.endswith(b"000000Z")
    begun = machines.read("web", timestamps="true").split()[0].decode()
    assert machines.read("web", sinceTime=begun) == machines.read("web")
    assert machines.read("web", sinceTime="2017-01-01T00:00:00Z") == b""
    assert isinstance(machines.read("web", follow="true"), logs.Following)


def test_a_long_log_keeps_its_newest_lines() -> None:
    """As after rotation."""
    machines = Machines(put("web"))
    machines.later(10 * LINES_MAX + 100, 100)
    lines = machines.read("web").splitlines()
    assert len(lines) == LINES_MAX
    assert b"begins" not in lines[0]


def test_the_previous_instance_and_the_wait_for_the_next() -> None:
    """Between two instances the log is the last one's; afterwards it is the previous one's."""
    machines = Machines(put("web", exit="c0=3*2@13"))
    assert told(machines.read("web", previous="true")) == (
        400, 'previous terminated container "c0" in pod "web" not found')
    machines.later(14)
    first = (b"web/c0: instance 0 begins\nweb/c0: has run for 10 s\n"
             b"web/c0: ends with exit code 3\n")
    assert machines.read("web", previous="true") == first
    assert machines.read("web") == b"web/c0: instance 1 begins\n"
    machines.later(14)
    assert machines.read("web").endswith(b"web/c0: ends with exit code 3\n")
    assert machines.read("web", follow="1") == machines.read("web")
    machines.tell(put("once", policy="Never", exit="c0=0*1@5"))
    machines.later(6)
    assert machines.read("once") == (b"once/c0: instance 0 begins\n"
                                     b"once/c0: ends with exit code 0\n")
    assert told(machines.read("once", previous="true"))[0] == 400


def test_who_waits_has_no_log() -> None:
    """An image that cannot be pulled; a container that is not the pod's, or not named."""
    machines = Machines(put("stuck", images=("bad",)), put("two", images=("x", "y")))
    code, message = told(machines.read("stuck"))
    assert code == 400
    assert message in ('container "c0" in pod "stuck" is waiting to start: image can\'t be pulled',
                       'container "c0" in pod "stuck" is waiting to start: trying and failing to '
                       "pull image")
    assert told(machines.read("two")) == (400, "a container name must be specified for pod two, "
                                               "choose one of: [c0 c1]")
    assert told(machines.read("two", container="c9")) == (
        400, "container c9 is not valid for pod two")
    assert machines.read("two", container="c1") == b"two/c1: instance 0 begins\n"


@pytest.mark.parametrize(("query", "code", "message"), [
    ({"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ({"sinceTime": "x"}, 400, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" '
                              'as "2006"'),
    ({"tailLines": "-1"}, 422, 'PodLogOptions "web" is invalid: tailLines: Invalid value: -1: must '
                               "be greater than or equal to 0"),
    ({"limitBytes": "0"}, 422, 'PodLogOptions "web" is invalid: limitBytes: Invalid value: 0: must '
                               "be greater than 0"),
    ({"sinceSeconds": "0"}, 422, 'PodLogOptions "web" is invalid: sinceSeconds: Invalid value: 0: '
                                 "must be greater than 0"),
])
def test_options_that_cannot_be(query: dict[str, str], code: int, message: str) -> None:
    assert told(logs.options_of(query, "web")) == (code, message)


def test_where_no_kubelet_can_be_asked() -> None:
    """No node yet; a node that is none; a machine that is down."""
    machines = Machines(put("web"))
    document = json.loads(pod_json("web"))
    for node, expected in (("", (204, "")), ("gone", (404, 'nodes "gone" not found'))):
        document["spec"]["nodeName"] = node
        pod = from_json(json.dumps(document))
        assert told(logs.answer(machines.world, pod, logs.LogOptions())) == expected
    pod = machines.world["apiserver"].cache["pods"]["default/web"]
    crashed = machines.system.apply(machines.world, Action("fault", "crash", ("kubelet/node-1",)))
    assert crashed is not None
    machines.world = crashed
    assert told(machines.read("web", tailLines="2", previous="true")) == (
        500, 'Get "https://192.168.1.1:10250/containerLogs/default/web/c0?previous=true&tailLines=2'
             '": dial tcp 192.168.1.1:10250: connect: connection refused')
    machines = Machines()
    assert told(logs.answer(machines.world, pod, logs.LogOptions())) == (
        404, "the server could not find the requested resource ( pods/log web)")
