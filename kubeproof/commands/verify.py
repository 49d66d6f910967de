"""`kubeproof verify`: does it fit, does it survive, does every Service reach a pod, and why not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.kernel.errors import InputError

if TYPE_CHECKING:
    from kubeproof.verification import Finding, Outcome

HELP = "verdicts about your own manifests or a snapshot: fits, survives losses, and more"
SARIF_LEVELS = {"error": "error", "warning": "warning", "note": "note", "unknown": "note"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of verify."""
    from kubeproof.options import add_json, positive

    parser.add_argument("paths", nargs="+", metavar="PATH",
                        help="manifests, folders, a snapshot (kubectl get ... -o yaml), or -")
    parser.add_argument("--nodes", type=positive, metavar="N",
                        help="judge on N standard machines (4 CPU, 8 GiB) instead of those listed")
    parser.add_argument("--losses", type=positive, default=1, metavar="K",
                        help="how many nodes may be lost (default 1)")
    parser.add_argument("--zone", default="", metavar="LABEL",
                        help="lose all nodes with one value of this label instead of single ones")
    parser.add_argument("--seconds", type=float, default=5.0,
                        help="for each question to a solver")
    parser.add_argument("--waivers", metavar="FILE", help="accepted findings: a YAML list of "
                        "{rule, subject, reason}")
    parser.add_argument("--sarif", metavar="FILE", help="write the findings as SARIF")
    parser.add_argument("--draw", type=Path, metavar="FILE",
                        help="draw the placement (.svg, .png or .dot)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Judge and report. 0: nothing wrong; 1: an error stands; 3: something was not decided."""
    from kubeproof.inventory import take
    from kubeproof.options import write_json
    from kubeproof.verification import Options, verify
    from model.api.manifests import read

    inventory = take(read(options.paths), options.nodes)
    outcome = verify(inventory, Options(options.losses, options.zone, options.seconds))
    findings = waived(outcome.findings, _waivers(options.waivers))
    if options.json != "-":
        if inventory.assumed_nodes:
            print(f"judged on {len(inventory.nodes)} standard machines of 4 CPU and 8 GiB")
        print(table(findings))
    write_json(options.json, report(findings, outcome))
    write_json(options.sarif, sarif(findings))
    if options.draw is not None:
        _draw(outcome, options.draw)
    levels = {each.level for each in findings if not each.waived}
    return 1 if "error" in levels else 3 if "unknown" in levels else 0


def _waivers(path: str | None) -> dict[tuple[str, str], str]:
    """Accepted findings by rule and subject. InputError when the file is something else."""
    if path is None:
        return {}
    from model.api.manifests import sources
    from model.api.yaml_reader import decode, documents

    ((_, data),) = sources([path])
    found: dict[tuple[str, str], str] = {}
    for document in documents(decode(data)):
        for entry in document.value if isinstance(document.value, list) else [document.value]:
            fields = ("rule", "subject", "reason")
            if not isinstance(entry, dict) or set(entry) != set(fields):
                raise InputError("a waiver has exactly rule, subject and reason", where=path,
                                 fix="- {rule: survives, subject: ..., reason: accepted until May}")
            rule, subject, reason = (str(entry[field]) for field in fields)
            found[rule, subject] = reason
    return found


def waived(findings: Iterable[Finding],
           waivers: dict[tuple[str, str], str]) -> tuple[Finding, ...]:
    """The findings, those that were accepted marked with the reason."""
    return tuple(each._replace(waived=waivers.get((each.rule, each.subject), ""))
                 for each in findings)


def table(findings: Iterable[Finding]) -> str:
    """The findings as lines of text, errors first."""
    order = ("error", "unknown", "warning", "note", "ok")
    rows = sorted(findings, key=lambda each: order.index(each.level))
    width = max((len(each.rule) for each in rows), default=0)
    lines = []
    for each in rows:
        level = "waived" if each.waived else each.level
        place = f"  ({each.file}:{each.line})" if each.file else ""
        why = f"  [waived: {each.waived}]" if each.waived else ""
        lines.append(f"{level:8} {each.rule:{width}}  {each.subject}: {each.text}{place}{why}")
    return "\n".join(lines)


def report(findings: Iterable[Finding], outcome: Outcome) -> dict[str, Any]:
    """The result as JSON: `findings` with all their fields, and the `placement` if there is one."""
    return {"findings": [each._asdict() for each in findings], "placement": outcome.answer}


def sarif(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings in the Static Analysis Results Interchange Format 2.1.0 (OASIS)."""
    results = []
    rules: dict[str, None] = {}
    for each in findings:
        if each.level == "ok":
            continue
        rules[each.rule] = None
        result: dict[str, Any] = {"ruleId": each.rule, "level": SARIF_LEVELS[each.level],
                                  "message": {"text": f"{each.subject}: {each.text}"}}
        if each.file and each.line > 0:
            result["locations"] = [{"physicalLocation": {
                "artifactLocation": {"uri": each.file}, "region": {"startLine": each.line}}}]
        if each.waived:
            result["suppressions"] = [{"kind": "external", "justification": each.waived}]
        results.append(result)
    return {"version": "2.1.0",
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "runs": [{"tool": {"driver": {"name": "kubeproof",
                                          "rules": [{"id": rule} for rule in rules]}},
                      "results": results}]}


def _draw(outcome: Outcome, target: Path) -> None:
    from traces.draw import render

    drawn = render(picture(outcome), target)
    if drawn.remark:
        print(f"note: {drawn.remark}")
    print(drawn.path)


def picture(outcome: Outcome) -> str:
    """The placement as DOT: a box for each node with its pods by kind and its fill."""
    import graphviz

    from properties.scheduler.problem import amount_text

    problem, answer = outcome.problem, outcome.answer or {}
    kinds = {pod: kind for kind in problem.kinds for pod in kind.pods}
    graph = graphviz.Digraph("placement", node_attr={
        "shape": "record", "fontname": "Helvetica", "fontsize": "10"})
    for at, node in enumerate(problem.nodes):
        here = [pod for pod, name in answer.items() if name == node.name]
        counts: dict[str, int] = {}
        for pod in here:
            counts[kinds[pod].name] = counts.get(kinds[pod].name, 0) + 1
        fill = [f"{amount_text(resource, sum(kinds[pod].asks[column] for pod in here))} of "
                f"{amount_text(resource, problem.room[at][column])}"
                for column, resource in enumerate(problem.resources)]
        rows = [node.name, "\n".join(fill),
                *(f"{name} x{number}" for name, number in sorted(counts.items()))]
        graph.node(node.name, label="{" + "|".join(_plain(row) for row in rows) + "}")
    missing = [pod for pod in kinds if pod not in answer]
    if missing:
        graph.node("missing", label=f"not placed: {len(missing)} pods", color="red")
    return str(graph.source)


def _plain(text: str) -> str:
    """Text without the characters that have a meaning in a record label."""
    return "".join("/" if each in "{}|<>" else each for each in text).replace("\n", r"\n")
