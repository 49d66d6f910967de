"""The worked example, typed at the whole cluster, prints the transcript of release 1.3.

Suffixes, ages and addresses vary and are patterns here; every other character is as printed then.
"""

from __future__ import annotations

import re
from dataclasses import replace

from model.kernel.action import Action
from model.kernel.driver import FairDriver, run
from model.kernel.system import System
from model.kernel.world import World
from reference_impl import scenarios
from reference_impl.cluster import build, start

SUFFIX, AGE, ADDRESS = "[a-z0-9]{5}", r"\d+[smhd]", r"169\.169\.\d{1,3}\.\d{1,3}"
WARNING = """You have exposed your service on an external port on all nodes in your
cluster. If you want to expose this service to the external internet, you may
need to set up firewall rules for the service port(s) (tcp:30001) to serve traffic.
See http://releases.k8s.io/release-1.3/docs/user-guide/services-firewalls.md
for more details.
service "myweb" created
"""


class Terminal:
    """One user in front of the booted cluster of the worked example."""

    def __init__(self) -> None:
        scenario = replace(scenarios.named("worked-example"), script=())
        self.system: System = build(scenario)
        self.world: World = start(self.system, scenario)

    def type(self, line: str) -> str:
        """Type a command and serve the cluster fairly until it has ended."""
        world = self.system.apply(self.world, Action("kubectl", "run", (line,)))
        assert world is not None, f"{line} is not accepted"
        self.world = world
        self.until(lambda: self.world["kubectl"].session is None)
        last = self.world["kubectl"].last
        return str(last.out + last.err)

    def until(self, reached: object) -> None:
        """Serve fairly, step by step, until something is so."""
        driver = FairDriver(until_ms=self.world.now + 60_000)
        for _ in range(5_000):
            if reached():  # type: ignore[operator]  # a function without arguments
                return
            done = run(self.system, driver, self.world, steps=1)
            assert done.actions, "the cluster is at rest and it is not so"
            self.world = done.world
        raise AssertionError("it does not come to that")

    def running(self, prefix: str) -> int:
        """How many pods whose name begins so are told to run."""
        kv = self.world["etcd"].kv
        return sum(kv[key].value.status.phase == "Running" for key in kv
                   if key.startswith(f"/registry/pods/default/{prefix}-"))


def test_the_worked_example_prints_what_release_1_3_printed() -> None:
    terminal = Terminal()
    assert terminal.type("create -f mysql-rc.yaml") == 'replicationcontroller "mysql" created\n'
    assert terminal.type("create -f mysql-svc.yaml") == 'service "mysql" created\n'
    header, *rows = terminal.type("get svc").splitlines()
    assert re.fullmatch(r"NAME +CLUSTER-IP +EXTERNAL-IP   PORT\(S\)    AGE", header)
    assert any(re.fullmatch(f"mysql +{ADDRESS} +<none>        3306/TCP   {AGE}", row)
               for row in rows), rows
    terminal.until(lambda: terminal.running("mysql") == 1)
    assert terminal.type("create -f myweb-rc.yaml") == 'replicationcontroller "myweb" created\n'
    terminal.until(lambda: terminal.running("myweb") == 1)
    listing = terminal.type("get pods").splitlines()
    assert re.fullmatch(r"NAME          READY   STATUS +RESTARTS   AGE", listing[0])
    for name in ("mysql", "myweb"):
        assert any(re.fullmatch(f"{name}-{SUFFIX}   1/1     Running +0          {AGE}", row)
                   for row in listing), listing
    assert terminal.type("create -f myweb-svc.yaml") == WARNING


def test_after_the_example_is_deleted_nothing_of_it_is_left() -> None:
    """No pod, no controller, no service but the server's own."""
    terminal = Terminal()
    for name in ("mysql-rc", "mysql-svc", "myweb-rc", "myweb-svc"):
        terminal.type(f"create -f {name}.yaml")
    terminal.until(lambda: terminal.running("myweb") == 2 and terminal.running("mysql") == 1)
    assert terminal.type("delete rc mysql myweb") == (
        'replicationcontroller "mysql" deleted\nreplicationcontroller "myweb" deleted\n')
    assert terminal.type("delete svc mysql myweb") == (
        'service "mysql" deleted\nservice "myweb" deleted\n')

    def gone() -> bool:
        return not [key for key in terminal.world["etcd"].kv
                    if re.search("/default/(mysql|myweb)", key) and "/events/" not in key]
    terminal.until(gone)
    rows = [row.split()[0] for row in terminal.type("get rc,pods,svc").splitlines()[1:]]
    assert rows == ["service/kubernetes"]
