"""What the client promises, how its steps map to its spec, an oracle for its tables, seeded bugs.

Table printing is a pure function and has no spec; `wrong_cells` below reads a printed table back
and judges each cell by the meaning of its column, written from the documents and not from the
printer: an age must be an interval that holds the true age, a ready count is a count over the
containers, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from model.api.objects import milliseconds
from model.api.requests import ObjectList, Reply, Request
from model.kernel.action import Action
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, leads_to, sometimes, step_rule
from model.kernel.spec.oracle import Label, Oracle
from model.kernel.system import Transition
from model.kernel.values import FrozenMap
from model.kernel.world import UP, World
from model.kubectl import SPEC
from properties.reading import KV, stored
from reference_impl.kubectl.component import LANE, Local
from reference_impl.kubectl.plans import Op
from reference_impl.lib.tables import PodCells, pod_cells

LAST = Part("kubectl", "last")
GONE = Part("kubectl", "gone")
SESSION = Part("kubectl", "session")
ASKED = Part("kubectl", "asked")


# ---- the oracle of tables ------------------------------------------------------------------------

UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "y": 31_536_000_000}


def age_interval(text: str) -> tuple[int, int] | None:
    """The ages in milliseconds that a text may stand for; None when it is no age."""
    parts = re.findall(r"(\d+)([smhdy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    least = sum(int(number) * UNITS_MS[unit] for number, unit in parts)
    finest = UNITS_MS[parts[-1][1]]
    # A text of one large unit may have dropped a smaller one that was zero or was left out.
    return least, least + finest


def _age(cell: str, stamp: str | None, now: int) -> str | None:
    if stamp is None:
        return None if cell == "<unknown>" else "has no birthday"
    true = now - milliseconds(stamp)
    if true <= -2_000:
        return None if cell == "<invalid>" else "was born later than now"
    true = max(0, true)
    interval = age_interval(cell)
    if interval is None or not interval[0] <= true < interval[1]:
        return f"is {true} ms old"
    return None


def _statuses(pod: Any) -> tuple[Any, ...]:
    return (pod.status.container_statuses or ()) if pod.status else ()


def _ready(cell: str, pod: Any, now: int) -> str | None:
    done = [each for each in _statuses(pod) if each.ready and each.state and each.state.running]
    wish = len((pod.spec.containers or ()) if pod.spec else ())
    right = f"{len(done)}/{wish}"
    waits = (pod.status.init_container_statuses or ()) if pod.status else ()
    return None if cell == right or waits else f"has {right} containers ready"


def _pod_status(cell: str, pod: Any, now: int) -> str | None:
    if pod.metadata.deletion_timestamp is not None:
        return None if cell in ("Terminating", "Unknown") else "was asked to go"
    phase = pod.status.phase if pod.status else None
    if cell == "Running" and phase != "Running":
        return f"is {phase}"
    if cell == "Completed" and not any(each.state and each.state.terminated and
                                       not each.state.terminated.exit_code
                                       for each in _statuses(pod)):
        return "has no container that ended well"
    return None


def _restarts(cell: str, pod: Any, now: int) -> str | None:
    inits = (pod.status.init_container_statuses or ()) if pod.status else ()
    total = sum(each.restart_count or 0 for each in (*_statuses(pod), *inits))
    return None if int(cell.split()[0]) == total or inits else f"restarted {total} times"


def _ports(cell: str, service: Any, now: int) -> str | None:
    shown = set(re.findall(r"(\d+)(?::\d+)?/", cell))
    right = {str(port.port) for port in service.spec.ports or ()}
    return None if shown == right else f"has the ports {sorted(right)}"


def _ends(cell: str, endpoints: Any, now: int) -> str | None:
    ready = {f"{address.ip}:{port.port}" for subset in endpoints.subsets or ()
             for address in subset.addresses or () for port in subset.ports or ()}
    shown = set(re.findall(r"[\d.]+:\d+", cell))
    more = re.search(r"\+ (\d+) more", cell)
    if not shown <= ready or len(shown) + int(more[1] if more else 0) != len(ready):
        return f"has the ends {sorted(ready)}"
    return None


def _field(read: Callable[[Any], Any], missing: str) -> Callable[[str, Any, int], str | None]:
    def judge(cell: str, obj: Any, now: int) -> str | None:
        right = read(obj)
        text = missing if right is None or right == "" else str(right)
        return None if cell == text else f"has {text}"
    return judge


JUDGES: dict[tuple[str, str], Callable[[str, Any, int], str | None]] = {
    ("Pod", "READY"): _ready,
    ("Pod", "STATUS"): _pod_status,
    ("Pod", "RESTARTS"): _restarts,
    ("Pod", "IP"): _field(lambda pod: pod.status and pod.status.pod_ip, "<none>"),
    ("Pod", "NODE"): _field(lambda pod: pod.spec and pod.spec.node_name, "<none>"),
    ("ReplicationController", "DESIRED"): _field(lambda rc: rc.spec and rc.spec.replicas, "0"),
    ("ReplicationController", "CURRENT"): _field(lambda rc: rc.status and rc.status.replicas, "0"),
    ("ReplicationController", "READY"): _field(
        lambda rc: rc.status and rc.status.ready_replicas, "0"),
    ("Service", "CLUSTER-IP"): _field(lambda s: s.spec and s.spec.cluster_ip, "<none>"),
    ("Service", "PORT(S)"): _ports,
    ("Endpoints", "ENDPOINTS"): _ends,
    ("Namespace", "STATUS"): _field(lambda ns: ns.status and ns.status.phase, ""),
}


def split_row(line: str, starts: list[int]) -> list[str]:
    """The cells of a line whose columns start where those of the header do."""
    return [line[start:end].strip() for start, end in
            zip(starts, [*starts[1:], None], strict=True)]


def wrong_cells(text: str, objects: tuple[Any, ...], now: int) -> str | None:
    """The first cell of one printed table that does not say what its object says."""
    header, *lines = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", header)]
    names = split_row(header, starts)
    if len(lines) != len(objects):
        return f"{len(lines)} rows are printed for {len(objects)} objects"
    for line, obj in zip(lines, objects, strict=True):
        for name, cell in zip(names, split_row(line, starts), strict=True):
            wrong: str | None = None
            if name == "NAME" and cell.rpartition("/")[2] != obj.metadata.name:
                wrong = f"is called {obj.metadata.name}"
            elif name == "AGE":
                wrong = _age(cell, obj.metadata.creation_timestamp, now)
            elif (obj.kind, name) in JUDGES:
                wrong = JUDGES[obj.kind, name](cell, obj, now)
            if wrong is not None:
                return (f"column {name} of {obj.kind} {obj.metadata.name} reads {cell!r}, but it "
                        f"{wrong}")
    return None


def _printed_as_it_is(step: Transition) -> str | None:
    before: Local = step.before.slots[step.mover].local
    after: Local = step.after.slots[step.mover].local
    session = before.session
    if session is None or session.command.verb != "get" or after.last.code or not after.last.out \
            or session.command.output not in ("", "wide") or session.command.no_headers:
        return None
    found = [obj for _, obj in session.found]
    if step.message is not None and isinstance(step.message.body, Reply):
        body = step.message.body.body
        found.extend(body.items if isinstance(body, ObjectList) else (body,))
    now = step.before.now + step.before.slots[step.mover].skew
    for text in after.last.out.split("\n\n"):
        rows = len(text.splitlines()) - 1
        wrong = wrong_cells(text, tuple(found[:rows]), now)
        if wrong is not None:
            return f"kubectl {before.session.line if before.session else ''}: {wrong}"
        found = found[rows:]
    return f"{len(found)} objects are not printed" if found else None


every_table_says_what_its_objects_say = Property(
    "every_table_says_what_its_objects_say", "refines", _printed_as_it_is, (LAST,),
    "people decide by what they read")


# ---- deletes -------------------------------------------------------------------------------------


def _waits_for(local: Local) -> Op | None:
    if local.session is None or not local.session.plan or local.session.plan[0].then != "gone":
        return None
    return local.session.plan[0]


def _bears(world: World, resource: str, namespace: str, name: str, uid: str) -> bool:
    found = stored(world, resource, namespace, name)
    return found is not None and found.metadata.uid == uid


@always(reads=(GONE,), why="a script goes on in the belief that the name is free of the old object")
def a_delete_that_waited_has_seen_the_end_of_its_object(world: World) -> str | None:
    for gone in world["kubectl"].gone if "kubectl" in world else ():
        if _bears(world, gone.resource, gone.key.namespace, gone.key.name, gone.uid):
            return f"{gone.resource} {gone.key} (uid {gone.uid}) is still there"
    return None


@leads_to(within_ms=120_000, reads=(SESSION, ASKED, KV),
          why="a script must not hang because something else took the name")
def a_delete_ends_once_its_object_is_gone(world: World) -> str | None:
    if "kubectl" not in world or world.status("kubectl") != UP:
        return None
    op = _waits_for(world["kubectl"])
    if op is None:
        return None
    request = op.request
    if _bears(world, request.resource, request.namespace, request.name, op.note):
        return None
    return (f"kubectl waits for {request.resource} {request.name} (uid {op.note}), which has "
            "long gone")


# ---- refinement ----------------------------------------------------------------------------------


def waits_of(local: Local) -> dict[str, Request]:
    """The uids that the command in progress waits for, with the read that looks for each."""
    plan = local.session.plan if local.session is not None else ()
    return {op.note: op.request for op in plan if op.then == "gone"}


def state_of(world: World) -> dict[str, Any]:
    """The state of the spec, as far as the client's own things go."""
    local: Local = world["kubectl"]
    waits = waits_of(local)
    life = {uid: _bears(world, request.resource, request.namespace, request.name, uid)
            for uid, request in waits.items()}
    for gone in local.gone:
        life[gone.uid] = _bears(world, gone.resource, gone.key.namespace, gone.key.name, gone.uid)
    return {"life": FrozenMap((uid, "there" if alive else "gone") for uid, alive in life.items()),
            "waits": FrozenMap((uid, True) for uid in waits),
            "told": FrozenMap((gone.uid, True) for gone in local.gone),
            "busy": local.session is not None}


def _refines(step: Transition) -> str | None:
    before: Local = step.before.slots[step.mover].local
    after: Local = step.after.slots[step.mover].local
    old, new = state_of(step.before), state_of(step.after)
    # Both states speak of the same things: what only one of them knows was there before.
    for uid in {**dict(old["life"].items()), **dict(new["life"].items())}:
        life = new["life"].get(uid, old["life"].get(uid, ""))
        old["life"], new["life"] = old["life"].set(uid, life), new["life"].set(uid, life)
        for name in ("waits", "told"):
            old[name] = old[name].set(uid, old[name].get(uid, False))
            new[name] = new[name].set(uid, new[name].get(uid, False))
    if not _ORACLES:
        _ORACLES.append(Oracle(SPEC.module()))
    return _ORACLES[0].check(old, labels_of(step.action.verb, before, after), new)


_ORACLES: list[Oracle] = []


def labels_of(verb: str, before: Local, after: Local) -> tuple[Label, ...]:
    """What the client did, in the words of the spec."""
    labels = [] if before.session is not None or (after.runs == before.runs and \
        after.session is None) else [Label("begin", ())]
    was, now = waits_of(before), waits_of(after)
    ended = after.runs > before.runs
    labels.extend(Label("delete", (uid,)) for uid in now if uid not in was)
    if ended and verb in ("interrupt", "restart"):
        return (*labels, Label("break_off", ()))
    told = {gone.uid for gone in after.gone}
    labels.extend(Label("see_it_gone" if uid in told else "give_up", (uid,))
                  for uid in was if uid not in now)
    if ended:
        labels.append(Label("finish", ()))
    return tuple(labels)


every_step_of_the_client_is_one_of_its_spec = Property(
    "every_step_of_the_client_is_one_of_its_spec", "refines", _refines, (SESSION, GONE),
    "what is proved of the spec then holds of the client")


@step_rule(reads=(LAST,), why="a script goes on in the belief that the new version serves")
def a_rollout_is_told_complete_only_by_what_was_observed(before: World, action: Action,
                                                         after: World) -> str | None:
    """`rollout status` succeeds on a status of the present generation, with all pods new."""
    last = after["kubectl"].last
    if last is before["kubectl"].last or not last.line.startswith("rollout status") or last.code:
        return None
    found = before.slots[before.names["kubectl"]].inbox[("apiserver", LANE)][0].body
    status, wish = found.status, found.spec.replicas
    seen, wanted = status.observed_generation or 0, found.metadata.generation
    counts = (status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0)
    if seen >= wanted and counts == (wish, wish, wish):
        return None
    return (f"the rollout of {found.metadata.name} is told complete, while its status is that of "
            f"generation {seen} of {wanted} and counts {counts} of {wish} pods")


@sometimes(reads=(LAST,), why="a success that never comes is not doubted")
def a_rollout_was_waited_for(world: World) -> bool:
    """`rollout status` had to wait, and then told success."""
    last = world["kubectl"].last if "kubectl" in world else None
    return last is not None and "Waiting for deployment" in last.out and last.code == 0


@sometimes(reads=(LAST,), why="without a table nothing above was tested")
def a_table_has_been_printed(world: World) -> bool:
    if "kubectl" not in world:
        return False
    last = world["kubectl"].last
    return bool(last.line.startswith("get") and "\n" in last.out)


MUTANTS = (
    Mutant("kubectl-delete-wait-by-name", "kubectl-delete-wait-by-name",
           "a_delete_ends_once_its_object_is_gone",
           (("reference_impl.kubectl.plans:still_there",
             lambda reply, op: reply.code < 400),), "recreated-at-once"),
    Mutant("kubectl-ends-its-wait-at-the-first-look",
           "a delete takes the first answer for the end of its object",
           "a_delete_that_waited_has_seen_the_end_of_its_object",
           (("reference_impl.kubectl.plans:still_there", lambda reply, op: False),),
           "delete-and-wait"),
    Mutant("kubectl-rollout-status-stale", "kubectl-rollout-status-stale",
           "a_rollout_is_told_complete_only_by_what_was_observed",
           (("reference_impl.kubectl.plans:was_observed",
             lambda deployment: deployment.status is not None),), "rollout-status"),
    Mutant("kubectl-counts-containers-as-ready", "the ready count is the count of containers",
           "every_table_says_what_its_objects_say",
           (("reference_impl.lib.tables:pod_cells",
             lambda pod: _all_ready(pod)),)),
)


def _all_ready(pod: Any) -> PodCells:
    cells = pod_cells(pod)
    return cells._replace(ready=cells.total)


PROPERTIES = (every_step_of_the_client_is_one_of_its_spec, every_table_says_what_its_objects_say,
              a_delete_that_waited_has_seen_the_end_of_its_object,
              a_delete_ends_once_its_object_is_gone, a_table_has_been_printed,
              a_rollout_is_told_complete_only_by_what_was_observed, a_rollout_was_waited_for)
