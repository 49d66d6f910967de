"""The checks of `kubeproof verify` about placement: fits, order, survives, spread, drain, scale.

They are judged by `properties.scheduler`; what needs no placement is in `kubeproof.checks`. Pods
that run stay where they are as long as that works; where it does not, it is said.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from kubeproof.checks import (
    ERROR,
    NOTE,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    guards,
    number_of,
    static,
    targets,
)
from kubeproof.inventory import Inventory, Source, snapshot_of, with_replicas
from model.api import objects as api
from properties.scheduler import losses, reasons, size
from properties.scheduler import verdict as verdicts
from properties.scheduler.facts import node_facts, pod_facts
from properties.scheduler.losses import Guard, Survival
from properties.scheduler.problem import Answer, Problem, build, hard_spread, restricted

if TYPE_CHECKING:
    from reference_impl.scheduler.records import PodInfo, Snapshot

ZONE = "topology.kubernetes.io/zone"
ORDERS_BY_CHANCE = 4
ORDERED_PODS_MAX = 1_000
ORDER_TOLD_MAX = 12
NODES_TOLD_MAX = 8


class Loss(NamedTuple):
    """What is to be survived: any `number` nodes, or of all nodes with one value of label `by`."""

    number: int = 1
    by: str = ""

    def __str__(self) -> str:
        what = f"value of {self.by}" if self.by else "node"
        return f"loss of any {self.number} {what}{'s' if self.number > 1 else ''}"


class Options(NamedTuple):
    """`survive`: losses; `priority`: only pods of at least that must survive (None: all), and of
    the others those that budgets hold; `seconds` for each question to a solver; `killing` and
    `cheapest` ask for the smallest set of losses that kills, and for the fewest nodes."""

    survive: tuple[Loss, ...] = (Loss(),)
    priority: int | None = None
    seconds: float = 5.0
    killing: bool = False
    cheapest: bool = False


class Outcome(NamedTuple):
    """All findings, and the placement found, if one was."""

    findings: tuple[Finding, ...]
    answer: Answer | None
    problem: Problem


def verify(inventory: Inventory, options: Options) -> Outcome:
    """Run every check."""
    problem = problem_of(inventory)
    finding, answer = _fits(inventory, problem, options)
    findings = [finding]
    if answer is not None:
        findings += _order(inventory)
        findings += _survival(inventory, problem, answer, options)
        findings += _drains(inventory, problem, answer)
        if options.cheapest:
            findings.append(_cheapest(problem, options))
    findings += _spreads(inventory, problem, options)
    findings += _scaled(inventory, options)
    findings += static(inventory)
    return Outcome(tuple(findings), answer, problem)


def problem_of(inventory: Inventory) -> Problem:
    """The inventory as a problem of placement."""
    namespaces = {each.object.metadata.name or "": dict(each.object.metadata.labels or ())
                  for each in inventory.of_kind("Namespace")}
    for pod in inventory.pods.values():
        name = pod.metadata.namespace or "default"
        namespaces[name] = {"kubernetes.io/metadata.name": name, **namespaces.get(name, {})}
    return build([node_facts(node) for node in inventory.nodes.values()],
                 [pod_facts(_anywhere(pod)) for pod in inventory.pods.values()], namespaces,
                 inventory.owners, inventory.tied)


def _anywhere(pod: api.Pod) -> api.Pod:
    """The pod without its node, so that those of one template are alike."""
    return pod if pod.spec is None or pod.spec.node_name is None else \
        api.with_spec(pod, pod.spec._replace(node_name=None))


def _place(inventory: Inventory, problem: Problem, kinds: Iterable[int]) -> Source:
    """Where the first pod that a reason names is written."""
    for at in kinds:
        source = inventory.sources.get(problem.kinds[at].pods[0])
        if source is not None:
            return source
    return Source()


def _fits(inventory: Inventory, problem: Problem,
          options: Options) -> tuple[Finding, Answer | None]:
    """Whether all pods fit together, those that run where they are if possible."""
    subject = f"{number_of(problem.pod_count, 'pod')} on {number_of(len(problem.nodes), 'node')}"
    bound = inventory.bound
    if bound:
        answer = losses.as_it_stands(problem, bound)
        if answer is not None:
            told = f"{len(bound)} run, {problem.pod_count - len(bound)} more find a node"
            return Finding("fits", OK, subject, told), answer
    verdict = verdicts.decide(problem, options.seconds)
    if verdict.fits is None:
        return Finding("fits", UNKNOWN, subject, verdict.reason), None
    if verdict.fits:
        if bound:
            return Finding("fits", WARNING, subject, "they fit only when pods that run now move "
                           f"({verdict.engine})"), verdict.answer
        return Finding("fits", OK, subject, f"they fit together ({verdict.engine})"), verdict.answer
    text, kinds = reason_of(problem, verdict, options.seconds)
    return Finding("fits", ERROR, subject, text, *_place(inventory, problem, kinds)), None


def reason_of(problem: Problem, verdict: verdicts.Verdict,
              seconds: float) -> tuple[str, tuple[int, ...]]:
    """Why pods do not fit, in words and then in groups; and the kinds of pods that it names."""
    smaller = verdicts.minimised(problem, verdict, seconds)
    reason = reasons.explain(problem, smaller, seconds)
    label = "minimal" if reason.minimal and smaller.minimal else "not proved minimal"
    groups = "; ".join(str(each) for each in reason.groups)
    return f"{smaller.reason} [{label}: {groups}]", smaller.kinds


# -- order ----------------------------------------------------------------------------------------


def _order(inventory: Inventory) -> list[Finding]:
    """Whether the default scheduler strands a pod in some order in which pods may come."""
    from reference_impl.scheduler import read

    waiting = [info for pod in inventory.pods.values() if not (info := read.pod_info(pod)).node]
    if not waiting:
        return []
    start, tried = snapshot_of(inventory), 0
    for name, order in _orders(waiting):
        tried += 1
        found = _stranded(start, order)
        if found is not None:
            pod, message = found
            text = (f"{name} the default scheduler finds no node for {pod.key} although all fit: "
                    f"{message} It places before: {_compressed(inventory, order, pod)}")
            return [Finding("order", WARNING, pod.key, text,
                            *inventory.sources.get(pod.key, Source()))]
    text = f"the default scheduler places all in {tried} order{'s' if tried > 1 else ''} of arrival"
    return [Finding("order", OK, f"{len(waiting)} pods", text)]


def _orders(waiting: list[PodInfo]) -> Iterator[tuple[str, list[PodInfo]]]:
    """Orders to try: of the files, turned round, by size, and some by chance; priority first."""
    def sized(pod: PodInfo) -> tuple[int, int]:
        return pod.needs.request.cpu, pod.needs.request.memory

    def ranked(order: list[PodInfo]) -> list[PodInfo]:
        return sorted(order, key=lambda pod: -pod.needs.priority)

    yield "in the order of the files", ranked(waiting)
    if len(waiting) > ORDERED_PODS_MAX:
        return
    yield "in the order of the files turned round", ranked(waiting[::-1])
    yield "with the small ones first", ranked(sorted(waiting, key=sized))
    yield "with the big ones first", ranked(sorted(waiting, key=sized, reverse=True))
    for seed in range(ORDERS_BY_CHANCE):
        order = list(waiting)
        random.Random(seed).shuffle(order)
        yield f"in an order by chance (seed {seed})", ranked(order)


def _stranded(snapshot: Snapshot, order: list[PodInfo]) -> tuple[PodInfo, str] | None:
    """The first pod of an order that finds no node, and what the scheduler says."""
    from reference_impl.scheduler import cache
    from reference_impl.scheduler.decide import schedule

    for pod in order:
        decision = schedule(pod, snapshot)
        if not decision.best:
            return pod, decision.message
        snapshot = cache.add_pod(snapshot, pod._replace(node=decision.best[0]))
    return None


def _compressed(inventory: Inventory, order: list[PodInfo], last: PodInfo) -> str:
    """The pods of an order up to one, by workload: `3 of web, 1 of db, 2 of web`."""
    runs: list[tuple[str, int]] = []
    for pod in order:
        if pod.key == last.key:
            break
        name = inventory.owners.get(pod.key, pod.key)
        if runs and runs[-1][0] == name:
            runs[-1] = name, runs[-1][1] + 1
        else:
            runs.append((name, 1))
    told = [f"{number} of {name}" for name, number in runs]
    more = f" and {len(told) - ORDER_TOLD_MAX} runs more" if len(told) > ORDER_TOLD_MAX else ""
    return ", ".join(told[:ORDER_TOLD_MAX]) + more + "." if told else "none."


# -- losses ---------------------------------------------------------------------------------------


def _survival(inventory: Inventory, problem: Problem, answer: Answer,
              options: Options) -> list[Finding]:
    who = "all pods"
    if options.priority is not None:
        problem = losses.needed(problem, options.priority, guards(inventory))
        who = f"the {problem.pod_count} pods of priority {options.priority} or held by a budget"
        keys = {pod for kind in problem.kinds for pod in kind.pods}
        answer = {pod: node for pod, node in answer.items() if pod in keys}
    findings = []
    for loss in options.survive:
        found = losses.survives(problem, answer, loss.number, by=loss.by, seconds=options.seconds)
        findings.append(_survived(inventory, problem, loss, found, who))
    if options.killing:
        for by in dict.fromkeys(loss.by for loss in options.survive):
            found = losses.killing_set(problem, by=by, seconds=options.seconds)
            findings.append(_killing(found, by))
    return findings


def _survived(inventory: Inventory, problem: Problem, loss: Loss, found: Survival,
              who: str) -> Finding:
    subject = str(loss)
    if found.survives is False:
        return Finding("survives", ERROR, subject, f"without {', '.join(found.worst)}: "
                       f"{found.reason}")
    if found.survives is None:
        return Finding("survives", UNKNOWN, subject,
                       f"{len(found.unknown)} of {found.tried} losses were not decided")
    if loss.by and not found.tried:
        return Finding("survives", WARNING, subject, f"no node has the label {loss.by}")
    if found.moved:
        return Finding("survives", WARNING, subject,
                       f"{who} fit after each of {found.tried} losses, after {len(found.moved)} of "
                       f"them only when pods that still run move (first: "
                       f"{', '.join(found.moved[0])})")
    return Finding("survives", OK, subject, f"{who} still fit ({found.tried} losses tried)")


def _killing(found: Survival, by: str) -> Finding:
    what = f"values of {by}" if by else "nodes"
    if found.worst:
        subject = f"loss of {number_of(len(found.worst), 'value' if by else 'node')}"
        subject += f" of {by}" if by else ""
        sure = "the smallest set that kills" if found.survives is False else \
            "a set that kills; smaller ones were not all decided"
        return Finding("killing set", NOTE, subject,
                       f"{sure}: {', '.join(found.worst)}: {found.reason}")
    if found.survives:
        return Finding("killing set", OK, f"loss of {what}", "no set of losses leaves a pod out")
    return Finding("killing set", UNKNOWN, f"loss of {what}", found.reason)


def _drains(inventory: Inventory, problem: Problem, answer: Answer) -> list[Finding]:
    """Whether each node can be drained: budgets let its pods go, and they find another place."""
    held: dict[str, list[Guard]] = {}
    for guard in guards(inventory):
        for pod in guard.pods:
            held.setdefault(pod, []).append(guard)
    blocked: list[str] = []
    for at, node in enumerate(problem.nodes):
        leaving = [pod for pod, name in answer.items()
                   if name == node.name and pod not in inventory.tied]
        stuck = next((pod for pod in leaving if len(held.get(pod, ())) > 1 or any(
            len(guard.pods) <= guard.need for guard in held.get(pod, ()))), None)
        if stuck is not None:
            blocked.append(f"{node.name}: budget {held[stuck][0].name} does not let {stuck} go")
        elif losses.stranded(problem, answer, frozenset({at})):
            blocked.append(f"{node.name}: its pods find no room while the others stay")
    subject = f"drain of any of {len(problem.nodes)} nodes"
    if not blocked:
        return [Finding("drain", OK, subject, "each can be drained")]
    return [Finding("drain", WARNING, subject, f"{len(blocked)} cannot: {'; '.join(blocked[:3])}"
                    + ("; ..." if len(blocked) > 3 else ""))]


# -- wishes beside the losses ---------------------------------------------------------------------


def _cheapest(problem: Problem, options: Options) -> Finding:
    found = size.nodes_needed(problem, options.seconds)
    subject = f"{len(problem.nodes)} nodes"
    if found.nodes is None:
        return Finding("cheapest", UNKNOWN, subject, "not decided within the time")
    sure = "no fewer do" if found.proved else f"at least {found.least} are needed"
    listed = ", ".join(found.nodes[:NODES_TOLD_MAX])
    more = ", ..." if len(found.nodes) > NODES_TOLD_MAX else ""
    return Finding("cheapest", NOTE, subject,
                   f"{len(found.nodes)} are enough for all pods ({sure}): {listed}{more}")


def _spreads(inventory: Inventory, problem: Problem, options: Options) -> Iterator[Finding]:
    """Whether the pods with a hard spread could be spread if they were alone."""
    for at, kind in enumerate(problem.kinds):
        if not hard_spread(kind.facts):
            continue
        verdict = verdicts.decide(restricted(problem, [at]), options.seconds)
        source = _place(inventory, problem, [at])
        keys = ", ".join(each.topology_key or "" for each in hard_spread(kind.facts))
        if verdict.fits:
            yield Finding("spread", OK, kind.name,
                          f"{len(kind.pods)} pods can be spread over {keys}", *source)
        elif verdict.fits is None:
            yield Finding("spread", UNKNOWN, kind.name, verdict.reason, *source)
        elif not problem.companies or all(each.kind != at for each in problem.companies):
            yield Finding("spread", ERROR, kind.name, verdict.reason, *source)


def _scaled(inventory: Inventory, options: Options) -> list[Finding]:
    """Whether the pods still fit when every autoscaler is at its maximum."""
    scaled, source = inventory, Source()
    told = []
    for manifest, spec, workload in targets(inventory):
        if workload is not None and spec.get("maxReplicas", 0) > workload.replicas:
            scaled = with_replicas(scaled, workload, spec["maxReplicas"])
            told.append(f"{workload.kind} {workload.key} {spec['maxReplicas']}")
            source = Source(manifest.file, manifest.line)
    if not told:
        return []
    problem = problem_of(scaled)
    subject = f"maximum of {len(told)} autoscaler{'s' if len(told) > 1 else ''}"
    if losses.as_it_stands(problem, scaled.bound) is not None:
        return [Finding("scale", OK, subject, f"all pods fit at {', '.join(told)}")]
    verdict = verdicts.decide(problem, options.seconds)
    if verdict.fits:
        return [Finding("scale", OK if not scaled.bound else WARNING, subject,
                        f"all pods fit at {', '.join(told)}"
                        + (" when pods that run now move" if scaled.bound else ""))]
    if verdict.fits is None:
        return [Finding("scale", UNKNOWN, subject, verdict.reason, *source)]
    text, _ = reason_of(problem, verdict, options.seconds)
    return [Finding("scale", ERROR, subject, text, *source)]
