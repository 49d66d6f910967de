"""`kubeproof prove`: the rules of a spec for all states at once, by Z3."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from model.kernel.errors import InputError

HELP = "prove by Z3 that every action of a spec preserves its rules"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of prove."""
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="as check --list shows it, or "
                        "FILE.py; default: all")
    parser.add_argument("--scope", default="", metavar="pods=3,nodes=2,…",
                        help="sizes for the proof at a bound (default: the scope \"proof\", else "
                        "\"ci\")")
    parser.add_argument("--mutant", default="", metavar="NAME", help="with this seeded mistake in")
    parser.add_argument("--depth", type=int, metavar="N",
                        help="bounded checking instead: no run of N steps breaks a rule")
    parser.add_argument("--k", type=int, metavar="K", help="k-induction instead")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S",
                        help="seconds for one question to Z3 (default 10)")
    parser.add_argument("--draw", metavar="FILE",
                        help="draw the first counterexample to induction (.svg, .png or .dot)")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - is standard "
                        "output")


def run(options: argparse.Namespace) -> int:
    """Prove and report. 0: proved; 1: an action breaks a rule; 3: Z3 could not say."""
    from model.kernel.engines.prove import prove
    from model.kernel.spec.find import all_specs, find_spec
    from model.kernel.spec.scope import read_scope

    if options.spec is None and (options.scope or options.mutant):
        raise InputError("a scope or a mutant belongs to one spec", fix="name the spec")
    chosen = [find_spec(options.spec)] if options.spec is not None else \
        [(path, spec.module()) for path, spec in all_specs().items()]
    documents, worst = [], 0
    for path, module in chosen:
        base = "proof" if "proof" in module.scopes else "ci"
        proof = prove(module, read_scope(module, options.scope, base), mutant=options.mutant,
                      depth=options.depth, k=options.k, timeout_ms=int(options.timeout * 1000))
        if options.json != "-":
            print(proof.text(path))
        if options.draw is not None and proof.counterexample is not None:
            _draw(proof, options.draw)
        documents.append(proof.to_json())
        worst = max(worst, {"proved": 0, "failed": 1, "unknown": 3}[proof.outcome],
                    key=(0, 3, 1).index)
    if options.json == "-":
        import json

        json.dump(documents if options.spec is None else documents[0], sys.stdout, indent=2,
                  ensure_ascii=False)
        print()
    elif options.json is not None:
        from kubeproof.options import write_json

        write_json(options.json, documents if options.spec is None else documents[0])
    return worst


def _draw(proof: Any, target: str) -> None:
    """A counterexample to induction: the state before, the action, the state after."""
    from pathlib import Path

    from traces import draw

    found = proof.counterexample
    text = draw.lasso([("", _text(found["before"])), (found["action"], _text(found["after"]))], [],
                      "breaks " + ", ".join(found["broken"]).replace("_", " "))
    drawn = draw.render(text, Path(target))
    if drawn.remark:
        print(f"note: {drawn.remark}", file=sys.stderr)


def _text(state: dict[str, Any]) -> str:
    lines = []
    for name, value in state.items():
        if isinstance(value, dict):
            lines += [f"{name}[{key}] = {each}" for key, each in value.items()]
        else:
            lines.append(f"{name} = {value}")
    return "\n".join(lines)
