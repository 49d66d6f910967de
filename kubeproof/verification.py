"""The checks of `kubeproof verify`: each gives findings about an inventory, with reason and place.

Placement is judged by `properties.scheduler`; the other checks are short restatements of the
documents they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kubeproof.inventory import Inventory, Source, Workload
from model.api import objects as api
from model.api import quantities, selectors
from model.kernel.values import FrozenMap
from properties.scheduler import verdict as verdicts
from properties.scheduler.facts import asks_of, node_facts, pod_facts
from properties.scheduler.problem import Answer, Problem, build

ERROR, WARNING, NOTE, OK, UNKNOWN = "error", "warning", "note", "ok", "unknown"


class Finding(NamedTuple):
    """One line of the table. `rule` names the check, `subject` what it is about."""

    rule: str
    level: str
    subject: str
    text: str
    file: str = ""
    line: int = 0
    waived: str = ""


class Options(NamedTuple):
    """`losses` of nodes to survive; `zone`: a label whose values are lost as a whole; `seconds`
    for each question to a solver."""

    losses: int = 1
    zone: str = ""
    seconds: float = 5.0


class Outcome(NamedTuple):
    """All findings, and the placement found, if one was."""

    findings: tuple[Finding, ...]
    answer: Answer | None
    problem: Problem


def verify(inventory: Inventory, options: Options) -> Outcome:
    """Run every check."""
    namespaces = {each.object.metadata.name or "": dict(each.object.metadata.labels or ())
                  for each in inventory.of_kind("Namespace")}
    problem = build([node_facts(node) for node in inventory.nodes.values()],
                    [pod_facts(pod) for pod in inventory.pods.values()], namespaces,
                    inventory.owners)
    verdict = verdicts.decide(problem, options.seconds)
    if verdict.fits is False:
        verdict = verdicts.minimised(problem, verdict, options.seconds)
    findings = [_fits(inventory, problem, verdict)]
    if verdict.answer is not None:
        findings += _order(inventory)
        findings.append(_survival(problem, verdict.answer, options))
    for check in (_services, _overlaps, _quotas, _budgets, _requests):
        findings += check(inventory)
    findings += [Finding("kinds", NOTE, kind, f"{number} of a kind that is not checked")
                 for kind, number in inventory.unknown]
    return Outcome(tuple(findings), verdict.answer, problem)


def _place(inventory: Inventory, problem: Problem, kinds: tuple[int, ...]) -> Source:
    """Where the first pod that a reason names is written."""
    for at in kinds:
        source = inventory.sources.get(problem.kinds[at].pods[0])
        if source is not None:
            return source
    return Source()


def _fits(inventory: Inventory, problem: Problem, verdict: verdicts.Verdict) -> Finding:
    number, nodes = problem.pod_count, len(problem.nodes)
    subject = f"{number} pods on {nodes} nodes"
    if verdict.fits:
        return Finding("fits", OK, subject, f"they fit together ({verdict.engine})")
    source = _place(inventory, problem, verdict.kinds)
    if verdict.fits is None:
        return Finding("fits", UNKNOWN, subject, verdict.reason)
    label = "minimal" if verdict.minimal else "not proved minimal"
    return Finding("fits", ERROR, subject, f"{verdict.reason} [{label}]", *source)


def _order(inventory: Inventory) -> list[Finding]:
    """Whether the default scheduler, taking the pods in their order, strands one."""
    from reference_impl.scheduler import cache, read
    from reference_impl.scheduler.decide import schedule
    from reference_impl.scheduler.records import Catalog, Snapshot

    labels = FrozenMap((name, FrozenMap([("kubernetes.io/metadata.name", name)])) for name in
                       {pod.metadata.namespace or "default" for pod in inventory.pods.values()})
    snapshot = Snapshot(catalog=Catalog(namespaces=labels))
    for node in inventory.nodes.values():
        snapshot = cache.set_node(snapshot, read.node_info(node))
    waiting = []
    for key, pod in inventory.pods.items():
        info = read.pod_info(pod)
        if info.node:
            snapshot = cache.add_pod(snapshot, info)
        else:
            waiting.append((-info.needs.priority, key, info))
    for _, key, info in sorted(waiting, key=lambda each: each[0]):
        decision = schedule(info, snapshot)
        if not decision.best:
            text = f"in the order of the files {key} finds no node although all fit: " \
                   f"{decision.message}"
            return [Finding("order", WARNING, key, text, *inventory.sources.get(key, Source()))]
        snapshot = cache.add_pod(snapshot, info._replace(node=decision.best[0]))
    return [Finding("order", OK, f"{len(waiting)} pods", "the default scheduler places all")]


def _survival(problem: Problem, answer: Answer, options: Options) -> Finding:
    what = f"label {options.zone}" if options.zone else "node"
    subject = f"loss of any {options.losses} {what}{'s' if options.losses > 1 else ''}"
    found = verdicts.survives(problem, answer, options.losses, by=options.zone,
                              seconds=options.seconds)
    if found.survives:
        return Finding("survives", OK, subject, f"all pods still fit ({found.tried} losses tried)")
    if found.survives is None:
        return Finding("survives", UNKNOWN, subject,
                       f"{len(found.unknown)} of {found.tried} losses were not decided")
    return Finding("survives", ERROR, subject, f"without {', '.join(found.worst)}: {found.reason}")


def _services(inventory: Inventory) -> Iterator[Finding]:
    """Every Service with a selector reaches a pod, at a port that the pod has."""
    for each in inventory.of_kind("Service"):
        service = each.object
        spec = service.spec
        namespace = service.metadata.namespace or "default"
        subject = f"{namespace}/{service.metadata.name}"
        if spec is None or not spec.selector or spec.type == "ExternalName":
            continue
        chosen = [pod for pod in inventory.pods.values()
                  if (pod.metadata.namespace or "default") == namespace
                  and selectors.selects(spec.selector, pod.metadata.labels)]
        line = each.lines.get("spec.selector", each.line)
        if not chosen:
            wanted = ", ".join(f"{key}={value}" for key, value in spec.selector)
            yield Finding("service selects", ERROR, subject, f"no pod has {wanted}",
                          each.file, line)
            continue
        for port in spec.ports or ():
            target = port.target_port if port.target_port is not None else port.port
            missing = [pod for pod in chosen if not _has_port(pod, target)]
            if missing:
                level = ERROR if isinstance(target, str) else WARNING
                yield Finding("service port", level, subject,
                              f"pod {missing[0].metadata.name} declares no port {target}",
                              each.file, each.lines.get("spec.ports", each.line))
                break
        else:
            yield Finding("service selects", OK, subject, f"it selects {len(chosen)} pods")


def _has_port(pod: api.Pod, target: int | str | None) -> bool:
    declared = [port for container in (pod.spec.containers or () if pod.spec else ())
                for port in container.ports or ()]
    return any(target in (port.name, port.container_port) for port in declared)


def _overlaps(inventory: Inventory) -> Iterator[Finding]:
    """Two workloads of a namespace whose selectors select each other's pods fight over them."""
    counted = [each for each in inventory.workloads if each.selector is not None]
    for at, left in enumerate(counted):
        for right in counted[at + 1:]:
            if left.namespace == right.namespace and (_claims(left, right)
                                                      or _claims(right, left)):
                yield Finding("selectors", WARNING, f"{left.kind} {left.key}",
                              f"its pods and those of {right.kind} {right.key} match one selector",
                              *left.source)


def _claims(left: Workload, right: Workload) -> bool:
    labels = right.template.metadata.labels if right.template.metadata is not None else None
    return selectors.matches(left.selector, labels)


def _quotas(inventory: Inventory) -> Iterator[Finding]:
    """The pods wished for stay below each quota of their namespace (without scopes)."""
    for each in inventory.of_kind("ResourceQuota"):
        quota = each.object
        namespace = quota.metadata.namespace or "default"
        if quota.spec is None or quota.spec.scopes or quota.spec.scope_selector:
            continue
        pods = [pod for pod in inventory.pods.values()
                if (pod.metadata.namespace or "default") == namespace]
        for name, text in quota.spec.hard or ():
            resource = name.removeprefix("requests.")
            if resource == "pods" or name in ("cpu", "memory") or name.startswith("requests."):
                need = sum(asks_of(pod.spec or api.PodSpec()).get(resource, 0) for pod in pods)
                if need > quantities.parse(text).nano:
                    told = f"{len(pods)} pods ask for {need / 10 ** 9:g} {name}, {text} is allowed"
                    yield Finding("quota", ERROR, f"{namespace}/{quota.metadata.name}", told,
                                  each.file, each.lines.get(f"spec.hard.{name}", each.line))


def _budgets(inventory: Inventory) -> Iterator[Finding]:
    """A disruption budget that never lets a pod go blocks every drain."""
    for each in inventory.of_kind("PodDisruptionBudget"):
        budget = each.object
        spec = budget.spec
        namespace = budget.metadata.namespace or "default"
        selector = selectors.from_object(spec.selector) if spec is not None else None
        number = sum((pod.metadata.namespace or "default") == namespace
                     and selectors.matches(selector, pod.metadata.labels)
                     for pod in inventory.pods.values())
        if spec is None or not number:
            continue
        allowed = _allowed(number, spec.min_available, spec.max_unavailable)
        subject = f"{namespace}/{budget.metadata.name}"
        if allowed <= 0:
            yield Finding("budget", WARNING, subject,
                          f"of {number} pods none may go: a drain never ends",
                          each.file, each.line)
        else:
            yield Finding("budget", OK, subject, f"{allowed} of {number} pods may go at a time")


def _allowed(number: int, at_least: int | str | None, at_most: int | str | None) -> int:
    """Pods that may be unavailable; percentages are rounded up, as Kubernetes does."""
    if at_most is not None:
        return _share(at_most, number)
    return number - _share(at_least if at_least is not None else 0, number)


def _share(value: int | str, number: int) -> int:
    if isinstance(value, str):
        return -(-int(value.removesuffix("%")) * number // 100)
    return value


def _requests(inventory: Inventory) -> Iterator[Finding]:
    """Without requests a pod counts for nothing when room is judged."""
    told = set()
    for key, pod in inventory.pods.items():
        subject = inventory.owners.get(key, f"Pod {key}")
        asks = asks_of(pod.spec or api.PodSpec())
        missing = [name for name in ("cpu", "memory") if name not in asks]
        if missing and subject not in told:
            told.add(subject)
            yield Finding("requests", NOTE, subject, f"no request for {' and '.join(missing)}",
                          *inventory.sources.get(key, Source()))
