"""`kubeproof schedule`: what the scheduler decides for each pod of some files, and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubeproof.inventory import Inventory
    from reference_impl.scheduler.framework import Decision
    from reference_impl.scheduler.records import PodInfo

HELP = "decide where the pods of some files go, filter by filter and score by score"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of schedule."""
    from kubeproof.options import add_json, positive

    parser.add_argument("paths", nargs="+", metavar="FILE",
                        help="manifests with nodes, pods placed and pods to place; folders, or -")
    parser.add_argument("--nodes", type=positive, metavar="N",
                        help="N standard machines (4 CPU, 8 GiB) instead of those listed")
    parser.add_argument("--explain", action="store_true",
                        help="show why each node won or lost")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Decide and print. 0: every pod has a node; 1: some has none."""
    from kubeproof.inventory import take
    from kubeproof.options import write_json
    from model.api.manifests import read

    inventory = take(read(options.paths), options.nodes)
    decisions = decide_all(inventory)
    if options.json != "-":
        for pod, decision in decisions:
            print(told(pod, decision))
            if options.explain:
                print(explained(decision))
    write_json(options.json, [document(pod, decision) for pod, decision in decisions])
    return 0 if all(decision.best for _, decision in decisions) else 1


def decide_all(inventory: Inventory) -> list[tuple[PodInfo, Decision]]:
    """Place the pods that wait, by priority, then in their order; the first of equal nodes."""
    from kubeproof.inventory import snapshot_of
    from reference_impl.scheduler import cache, read
    from reference_impl.scheduler.decide import schedule

    snapshot = snapshot_of(inventory)
    waiting = [info for pod in inventory.pods.values() if not (info := read.pod_info(pod)).node]
    decisions = []
    for info in sorted(waiting, key=lambda each: -each.needs.priority):
        decision = schedule(info, snapshot)
        decisions.append((info, decision))
        if decision.best:
            snapshot = cache.add_pod(snapshot, info._replace(node=decision.best[0]))
    return decisions


def told(pod: PodInfo, decision: Decision) -> str:
    """One line for a decision."""
    if decision.best:
        others = decision.best[1:]
        equal = f" (as good: {', '.join(others)})" if others else ""
        return f"{pod.key}: {decision.best[0]}{equal}"
    victims = f" It would remove {', '.join(decision.victims)} from {decision.nominated}." \
        if decision.victims else ""
    return f"{pod.key}: no node. {decision.message}{victims}"


def explained(decision: Decision) -> str:
    """Node by node: which filter refused it, or what each plug-in scored."""
    lines = [f"  {node}: refused by {rejection.plugin}: {'; '.join(rejection.reasons)}"
             for node, rejection in decision.rejected]
    if decision.scores:
        names = list(dict.fromkeys(name for _, parts in decision.scores for name, _ in parts))
        width = max(len(node) for node, _ in decision.scores)
        lines.append("  " + " " * width + "  " + "  ".join([*names, "sum"]))
        for node, parts in decision.scores:
            values = dict(parts)
            cells = [str(values.get(name, 0)).rjust(len(name)) for name in names]
            total = str(sum(values.values())).rjust(3)
            mark = "  <- best" if node in decision.best else ""
            lines.append(f"  {node:{width}}  " + "  ".join([*cells, total]) + mark)
    elif decision.feasible:
        lines.append(f"  {decision.feasible[0]}: the only node that passes, so none is scored")
    return "\n".join(lines)


def document(pod: PodInfo, decision: Decision) -> dict[str, Any]:
    """One decision as JSON."""
    return {"pod": pod.key, "node": decision.best[0] if decision.best else None,
            "equally_good": list(decision.best), "message": decision.message,
            "nominated": decision.nominated, "victims": list(decision.victims),
            "plugin_scores": {node: dict(parts) for node, parts in decision.scores},
            "rejected": {node: {"plugin": each.plugin, "reasons": list(each.reasons)}
                         for node, each in decision.rejected}}
