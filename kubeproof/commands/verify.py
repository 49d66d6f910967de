"""`kubeproof verify`: does it fit, does it survive, does every Service reach a pod, and why not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.kernel.errors import InputError

if TYPE_CHECKING:
    from kubeproof.checks import Finding
    from kubeproof.verification import Loss, Outcome

HELP = "verdicts about your own manifests or a snapshot: fits, survives losses, and more"
SARIF_LEVELS = {"error": "error", "warning": "warning", "note": "note", "unknown": "note"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of verify."""
    from kubeproof.options import add_json, positive

    parser.add_argument("paths", nargs="+", metavar="PATH",
                        help="manifests, folders, a snapshot (kubectl get ... -o yaml), or -")
    parser.add_argument("--nodes", type=positive, metavar="N",
                        help="judge on N standard machines (4 CPU, 8 GiB) instead of those listed")
    parser.add_argument("--survive", action="append", metavar="WHAT",
                        help="nodes=K: any K nodes; zone or label=KEY: all nodes with one value of "
                        "that label (label=KEY:K any K values); may be repeated (default nodes=1)")
    parser.add_argument("--priority-at-least", type=int, metavar="P",
                        help="only pods of at least this priority must survive, and of the others "
                        "those that a disruption budget holds")
    parser.add_argument("--killing-set", action="store_true",
                        help="find the smallest set of losses after which the pods do not fit")
    parser.add_argument("--cheapest", action="store_true",
                        help="find the fewest nodes that are enough")
    parser.add_argument("--what-if", action="append", default=[], metavar="CHANGE",
                        help="judge the cluster after add=N[:NODE], drain=NODE, "
                        "taint=NODE:KEY=VALUE:EFFECT or resize=NODE:RESOURCE=AMOUNT,...; may be "
                        "repeated")
    parser.add_argument("--scheduler-config", metavar="FILE",
                        help="a KubeSchedulerConfiguration, whose hard default spread counts")
    parser.add_argument("--seconds", type=float, default=5.0,
                        help="for each question to a solver (default 5)")
    parser.add_argument("--explore-seconds", type=float, default=10.0, metavar="S",
                        help="how long to try random histories of the cluster with losses of nodes "
                        "(default 10; 0: not at all)")
    parser.add_argument("--seed", type=int, default=0, help="the first history (default 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR",
                        help="where the trace of a history that fails goes (default out)")
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
    from kubeproof.what_if import changed
    from model.api.manifests import read

    inventory = take(read(options.paths), options.nodes, _configuration(options.scheduler_config))
    inventory = changed(inventory, options.what_if)
    survive = tuple(map(loss_of, options.survive or ["nodes=1"]))
    outcome = verify(inventory, Options(survive, options.priority_at_least, options.seconds,
                                        options.killing_set, options.cheapest))
    quiet = options.json == "-"
    found = outcome.findings
    if options.explore_seconds > 0:
        from kubeproof.cluster_histories import explored
        found = (*found, *explored(inventory, outcome, options.explore_seconds, options.seed,
                                   options.out, quiet))
    findings = waived(found, _waivers(options.waivers))
    if not quiet:
        if inventory.assumed_nodes:
            print(f"judged on {len(inventory.nodes)} standard machines of 4 CPU and 8 GiB")
        for change in options.what_if:
            print(f"what if: {change}")
        print(table(findings))
    write_json(options.json, report(findings, outcome))
    write_json(options.sarif, sarif(findings))
    if options.draw is not None:
        _draw(outcome, options.draw)
    levels = {each.level for each in findings if not each.waived}
    return 1 if "error" in levels else 3 if "unknown" in levels else 0


def loss_of(text: str) -> Loss:
    """The loss that `--survive` names. InputError for another form."""
    from kubeproof.verification import ZONE, Loss

    kind, _, value = text.partition("=")
    if text == "zone":
        return Loss(1, ZONE)
    if kind in ("nodes", "zone") and value.isdigit() and int(value):
        return Loss(int(value), ZONE if kind == "zone" else "")
    label, _, number = value.partition(":")
    if kind == "label" and label and (number or "1").isdigit() and int(number or 1):
        return Loss(int(number or 1), label)
    raise InputError(f"{text!r} is no loss", where="--survive",
                     fix="nodes=2, zone, zone=2, label=rack or label=rack:2")


def _configuration(path: str | None) -> dict[str, Any]:
    """The configuration of the scheduler. InputError when the file is something else."""
    if path is None:
        return {}
    from model.api.manifests import sources
    from model.api.yaml_reader import decode, documents

    ((_, data),) = sources([path])
    for document in documents(decode(data)):
        value = document.value
        if isinstance(value, dict) and value.get("kind") == "KubeSchedulerConfiguration":
            return value
    raise InputError("it holds no KubeSchedulerConfiguration", where=path,
                     fix="kind: KubeSchedulerConfiguration")


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
    from kubeproof.checks import RULES

    told = [each for each in findings if each.level != "ok"]
    used = list(dict.fromkeys(each.rule for each in told))
    rules = [{"id": rule, "shortDescription": {"text": RULES[rule]}} for rule in used]
    results = []
    for each in told:
        result: dict[str, Any] = {"ruleId": each.rule, "ruleIndex": used.index(each.rule),
                                  "level": SARIF_LEVELS[each.level],
                                  "message": {"text": f"{each.subject}: {each.text}"}}
        if each.file and each.line > 0:
            result["locations"] = [{"physicalLocation": {
                "artifactLocation": {"uri": _uri(each.file)},
                "region": {"startLine": each.line}}}]
        if each.waived:
            result["suppressions"] = [{"kind": "external", "justification": each.waived}]
        results.append(result)
    return {"version": "2.1.0",
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "runs": [{"tool": {"driver": {"name": "kubeproof", "rules": rules}},
                      "results": results}]}


def _uri(file: str) -> str:
    """A file as a URI reference."""
    from urllib.parse import quote

    if file == "-":
        return "stdin"
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _draw(outcome: Outcome, target: Path) -> None:
    from kubeproof.placement_picture import picture
    from traces.draw import render

    drawn = render(picture(outcome), target)
    if drawn.remark:
        print(f"note: {drawn.remark}")
    print(drawn.path)
