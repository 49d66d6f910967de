"""Two candidates for one job: each acts only while it holds a lease. Present in scenarios whose
setting `leader-candidates` names them: `a=15/10/2,b=60/40/20` (lease, renewal deadline, retry, in
seconds). Each stands on a machine of its own, `control-plane-NAME`.

Source: client-go, tools/leaderelection; Kubernetes documentation, "Leases". A candidate reads the
Lease every retry period and writes itself into it when it holds it or it has run out. Its work is a
stream of writes, one every retry period while it may act. A process that lost its lease would exit
and start anew; here it forgets that it led, and competes on.

Not modelled: random delays between tries, handing the lease over on shutdown, and refusal of late
writes by the server (Kubernetes has none): a write that was sent in time may arrive late.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.records import canonical_json
from model.api.requests import Patch, Reply, create, get, patch, update
from model.api.scenario import Scenario
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.errors import InputError
from reference_impl.lib.leader_lease import Terms, View, claimed, may_take, seen

LEASE, SPACE = "the-job", "kube-system"
LEASES = "leases"
ELECTION, WORK = "election", "work"
TRY, ACT = "idle:try", "idle:act"
READING, WRITING = "reading", "writing"


class State(NamedTuple):
    """`terms`: how it competes, which never changes; `at`: what is asked about the lease; `sent`:
    since when, for a write; `led_from`: when the write was sent by which it leads, -1 while it
    does not; `acting`: its work is in flight."""

    terms: Terms
    incarnation: int = 0
    view: View = View()
    at: str = ""
    sent: int = 0
    led_from: int = -1
    acting: bool = False


class Candidate(Component[State]):
    """See the head of this file."""

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = f"candidate/{name}"
        self.host = f"control-plane-{name}"
        self.terms = terms

    def identity(self, local: State) -> str:
        """Under which name it stands in the lease: a new one for each life."""
        return f"{self.name.rpartition('/')[2]}_{local.incarnation}"

    def may_act(self, local: State, now: int) -> bool:
        """Whether it leads, and its renewal deadline has not passed."""
        return local.led_from >= 0 and now < local.led_from + self.terms.deadline_s * 1000

    # -- life -----------------------------------------------------------------------------------

    def init(self, io: Io) -> State:
        return self._begun(0, io)

    def restart(self, local: State, cause: Cause, io: Io) -> State:
        return self._begun(local.incarnation + 1, io)

    def _begun(self, incarnation: int, io: Io) -> State:
        io.after(0, TRY)
        io.after(self.terms.retry_s * 1000, ACT)
        return State(self.terms, incarnation)

    def timer(self, local: State, key: str, io: Io) -> State:
        io.after(self.terms.retry_s * 1000, key)
        if key == ACT:
            if local.acting or not self.may_act(local, io.now):
                return local
            io.request("apiserver", WORK, self.work(local))
            return local._replace(acting=True)
        if local.led_from >= 0 and not self.may_act(local, io.now):
            local = local._replace(led_from=-1)
        if local.at:
            return local
        io.request("apiserver", ELECTION, get(LEASES, SPACE, LEASE))
        return local._replace(at=READING)

    def work(self, local: State) -> Any:
        """One write of the job."""
        document = {"metadata": {"annotations": {"kubeproof.io/done-by": self.identity(local)}}}
        return patch("namespaces", "", SPACE, Patch("merge", canonical_json(document)))

    # -- answers --------------------------------------------------------------------------------

    def receive(self, local: State, message: Message, io: Io) -> State:
        body = message.body
        if message.lane == WORK:
            return local._replace(acting=False)
        if body == CUT or type(body) is not Reply:
            return local._replace(at="")
        return self._read(local, body, io) if local.at == READING else self._wrote(local, body, io)

    def _read(self, local: State, reply: Reply, io: Io) -> State:
        if reply.code == 404:
            local = local._replace(view=View())
        elif reply.code >= 400:
            return local._replace(at="")
        else:
            local = local._replace(view=seen(local.view, reply.body, io.now))
        identity = self.identity(local)
        if not may_take(local.view, identity, self.terms, io.now):
            return local._replace(at="")
        record = claimed(local.view, LEASE, identity, self.terms, io.now)
        io.request("apiserver", ELECTION,
                   create(record) if local.view.record is None else update(record))
        return local._replace(at=WRITING, sent=io.now)

    def _wrote(self, local: State, reply: Reply, io: Io) -> State:
        if reply.code >= 400:
            return local._replace(at="")
        return local._replace(at="", view=View(reply.body, io.now), led_from=local.sent)

    def describe(self, verb: str, args: Any) -> str:
        return "looks at the lease" if args == (TRY,) else "does a piece of its job"


def terms_from(text: str) -> tuple[str, Terms]:
    """A candidate of the setting. InputError when it is not NAME=LEASE/DEADLINE/RETRY with a lease
    that is longer than the deadline."""
    name, _, numbers = text.partition("=")
    parts = numbers.split("/")
    if not name or len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise InputError(f"{text!r} is no candidate", where="settings.leader-candidates",
                         fix="for example a=15/10/2")
    lease, deadline, retry = map(int, parts)
    if not lease > deadline > retry > 0:
        raise InputError(f"{text!r}: the lease must be longer than the renewal deadline, and that "
                         "longer than the retry period", where="settings.leader-candidates",
                         fix="for example a=15/10/2")
    return name, Terms(lease, deadline, retry)


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The candidates that a scenario names; none by default."""
    text = scenario.setting("leader-candidates", "")
    return tuple(Candidate(*terms_from(each.strip())) for each in text.split(",") if each.strip())
