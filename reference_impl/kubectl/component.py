"""The client as a component: one command at a time, each an explicit plan of requests.

A command becomes a tuple of operations. The first one is sent at once; each answer may add lines
to the output and operations to the plan; when the plan is empty, the command ends and its output
and exit code stay in the local state until the next one begins.
"""

from __future__ import annotations

from typing import NamedTuple

from model.api import requests
from model.api.objects import Key, rest_fields
from model.api.requests import Reply, Request, Status
from model.api.scenario import Scenario
from model.kernel.action import Scalar
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.errors import InputError
from reference_impl.kubectl import commands, plans, show
from reference_impl.kubectl.commands import RECEIVED
from reference_impl.kubectl.plans import Op, Session

LANE = "main"
WAIT = "wait"
BACKOFF_MS_MAX = 32_000
CONFLICTS_MAX = 5


class Finished(NamedTuple):
    """What the last command printed, and its exit code."""

    line: str = ""
    out: str = ""
    err: str = ""
    code: int = 0


class Gone(NamedTuple):
    """An object that a delete waited for until it was gone."""

    resource: str
    key: Key
    uid: str


class Local(NamedTuple):
    """`session` is the command that runs, None between two; `asked` tells that a request is open.

    `last` is what the previous command left; `gone` what it deleted and saw disappear; `runs`
    counts the commands that ended; `token` is the last token of an account that it was given.
    """

    session: Session | None = None
    asked: bool = False
    last: Finished = Finished()
    gone: tuple[Gone, ...] = ()
    runs: int = 0
    token: str = ""


class Kubectl(Component[Local]):
    """The client that users of the cluster drive: `run` with a command line, `interrupt`. Without
    a user it is an administrator's."""

    def __init__(self, scenario: Scenario, user: str = "") -> None:
        self.name = f"kubectl/{user}" if user else "kubectl"
        self.files = dict(scenario.files)
        self.release = scenario.version

    def init(self, io: Io) -> Local:
        """Nothing was typed yet."""
        return Local()

    def accepts(self, local: Local, verb: str, args: tuple[Scalar, ...]) -> bool:
        """A command line (and its standard input) while none runs; an interrupt while one does."""
        if verb == "run":
            return local.session is None and 1 <= len(args) <= 2 and \
                all(isinstance(arg, str) for arg in args)
        return verb == "interrupt" and local.session is not None and not args

    def step(self, local: Local, verb: str, args: tuple[Scalar, ...], io: Io) -> Local:
        """Begin a command, or break it off as Ctrl-C does."""
        if verb == "interrupt":
            assert local.session is not None
            io.cancel(WAIT)
            return self._ended(local, local.session, 130)._replace(asked=local.asked)
        line = str(args[0])
        stdin = str(args[1]) if len(args) > 1 else ""
        try:
            session = plans.begin(line, commands.parse(*plans.redirected(line, stdin, self.files)),
                                  self.files, self.release)
        except InputError as error:
            return local._replace(last=Finished(line, "", plans.complaint(error), 1), gone=(),
                                  runs=local.runs + 1)
        return self._go_on(local._replace(gone=()), session, io)

    def receive(self, local: Local, message: Message, io: Io) -> Local:
        """An answer of the API server, or CUT: the outcome is unknown."""
        if not local.asked:
            return local
        local = local._replace(asked=False)
        session = local.session
        if session is None:
            return local
        if session.stale:
            return self._go_on(local, session._replace(stale=False), io)
        op = session.plan[0]
        if message.body == CUT:
            if op.then == "gone":
                return self._wait(local, session, io)
            session = plans.given_up(session.failed("error: unexpected EOF\n"), op)
            return self._go_on(local, session, io)
        reply = message.body
        assert isinstance(reply, Reply)
        if getattr(reply.body, "kind", "") == "TokenRequest":
            given = (rest_fields(reply.body).get("status") or {}).get("token") or ""
            local = local._replace(token=given)
        return self._answered(local, session, op, reply, io)

    def _answered(self, local: Local, session: Session, op: Op, reply: Reply, io: Io) -> Local:
        if op.then == "gone" and (reply.code < 400 or reply.code == 404 or reply.code >= 500):
            if plans.still_there(reply, op):
                return self._wait(local, session, io)
            local = local._replace(gone=(*local.gone, Gone(
                op.request.resource, Key(op.request.namespace, op.request.name), op.note)))
            return self._go_on(local, session.after(), io)
        if op.then == "drained" and not requests.failed(reply) and not plans.drained(reply.body):
            return self._wait(local, session, io)
        if op.then == "rolled" and not requests.failed(reply):
            waits = plans.rolls(reply.body)
            if waits:
                said = session if session.out.endswith(waits) else session.said(waits)
                return self._wait(local, said, io)
        if op.retry and session.tries < CONFLICTS_MAX and isinstance(reply.body, Status) \
                and reply.body.reason == "Conflict":
            return self._go_on(local, session.again(), io)
        return self._go_on(local, plans.answered(session, op, reply), io)

    def _wait(self, local: Local, session: Session, io: Io) -> Local:
        """Ask again later, each time after twice as long; give up after the timeout, if any."""
        delay = min(1000 << min(session.tries, 5), BACKOFF_MS_MAX)
        limit = session.command.timeout_ms
        if limit and session.waited_ms >= limit:
            op = session.plan[0]
            what = f"{op.request.resource}/{op.request.name}"
            ended = session.failed(f"error: timed out waiting for the condition on {what}\n")
            return self._go_on(local, ended.after(), io)
        if limit:
            delay = min(delay, limit - session.waited_ms)
        io.after(delay, WAIT)
        return local._replace(session=session._replace(
            tries=session.tries + 1, waited_ms=session.waited_ms + delay))

    def timer(self, local: Local, key: str, io: Io) -> Local:
        """The time to look again has come."""
        if local.session is None or not local.session.plan:
            return local
        return self._send(local, local.session, io)

    def _go_on(self, local: Local, session: Session, io: Io) -> Local:
        if not session.plan:
            session = show.rendered(session, io.now, self.release)
            return self._ended(local, session, session.code)
        return self._send(local, session, io)

    def _send(self, local: Local, session: Session, io: Io) -> Local:
        if local.asked:
            return local._replace(session=session._replace(stale=True))
        request = session.plan[0].request
        if session.command.token == RECEIVED:
            request = request._replace(token=local.token or RECEIVED)
        io.request("apiserver", LANE, request)
        return local._replace(session=session, asked=True)

    def _ended(self, local: Local, session: Session, code: int) -> Local:
        finished = Finished(session.line, session.out, session.err, code)
        return Local(None, False, finished, local.gone, local.runs + 1, local.token)

    def restart(self, local: Local, cause: Cause, io: Io) -> Local:
        """The terminal was closed: the command in progress is lost, what it did stays done."""
        if local.session is None:
            return local._replace(asked=False)
        return self._ended(local, local.session, 137)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        """The command as it was typed."""
        return f"kubectl {args[0]}" if verb == "run" and args else verb


def last_output(local: Local) -> str:
    """What the user saw last: standard output, then standard error."""
    return local.last.out + local.last.err


def open_request(local: Local) -> Request | None:
    """The request whose answer the client waits for."""
    return local.session.plan[0].request if local.session and local.asked else None
