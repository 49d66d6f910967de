"""Prove a spec: for its scope action by action, and for any number of members where that goes.

The two are different claims and are reported apart. "At the scope": every state of so many pods
and nodes that satisfies the rules leads only to such states, so the rules hold in all reachable
ones. "Any size": the same for every number of members, with counts as ghost counters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from model.kernel.engines.check import with_mutant
from model.kernel.engines.smt import (
    ActionProof,
    BoundedResult,
    Outcome,
    check_bounded,
    prove_by_k_induction,
    prove_inductive,
)
from model.kernel.engines.smt_open import OpenProof, prove_any_size
from model.kernel.spec import ir
from model.kernel.spec.ground import Grounded, ground


@dataclass
class Proof:
    """The outcome of a proof. `outcome` is that at the scope; `any_size` stands beside it.

    `counterexample` is the first step that leads from good to bad, as plain values for people.
    """

    spec: str
    scope: str
    method: str
    outcome: Outcome
    actions: tuple[ActionProof, ...]
    counterexample: dict[str, Any] | None
    any_size: OpenProof | None
    bounded: BoundedResult | None
    rules: tuple[str, ...]
    mutant: str
    cpu_seconds: float

    def to_json(self) -> dict[str, Any]:
        """The proof as plain JSON values."""
        return {
            "spec": self.spec, "scope": self.scope, "mutant": self.mutant, "method": self.method,
            "outcome": self.outcome, "rules": list(self.rules),
            "cpu_seconds": round(self.cpu_seconds, 4),
            "actions": {each.action: each.outcome for each in self.actions},
            "counterexample": self.counterexample,
            "any_size": None if self.any_size is None else {
                **self.any_size._asdict(),
                "unproved": [list(pair) for pair in self.any_size.unproved]},
            "bounded": None if self.bounded is None else {
                "outcome": self.bounded.outcome, "depth": self.bounded.depth,
                "rule": self.bounded.rule, "labels": list(self.bounded.labels)}}

    def text(self, path: str) -> str:
        """The proof for people; what is proved for which sizes is said plainly."""
        mutant = f", mutant {self.mutant}" if self.mutant else ""
        lines = [f"{path}: {self.outcome} by {self.method} at {self.scope}{mutant} "
                 f"({self.cpu_seconds:.2f} s CPU)"]
        lines += [f"  {each.action}: {each.outcome}" for each in self.actions
                  if each.outcome != "proved"]
        if self.counterexample is not None:
            found = self.counterexample
            lines.append(f"  {found['action']} breaks {', '.join(found['broken'])}")
            lines.append(f"    before {found['before']}")
            lines.append(f"    after  {found['after']}")
        if self.bounded is not None and self.bounded.outcome != "proved":
            lines.append(f"  {self.bounded.rule or 'no rule'} at depth {self.bounded.depth}: "
                         + ", ".join(self.bounded.labels))
        if self.any_size is not None:
            lines.append("  " + _any_size_text(self.any_size))
        return "\n".join(lines)


def _any_size_text(proof: OpenProof) -> str:
    fixed = f" (with {', '.join(proof.fixed)})" if proof.fixed else ""
    claim = f"for {', '.join(proof.sizes)}{fixed}"
    if proof.refused:
        return f"not tried {claim}: {proof.refused}"
    if proof.outcome == "proved":
        return f"proved {claim}"
    pairs = ", ".join(f"{action} / {rule}" for action, rule in proof.unproved)
    return f"not proved {claim}: {pairs}"


def prove(module: ir.Module, scope: ir.Scope, *, mutant: str = "", depth: int | None = None,
          k: int | None = None, timeout_ms: int = 10_000, any_size: bool = True) -> Proof:
    """Prove the rules of a spec: inductively, or to a `depth`, or by `k`-induction."""
    began = time.process_time()
    if mutant:
        module = with_mutant(module, mutant)
    grounded = ground(module, scope)
    rules = (*(each.name for each in module.invariants),
             *(each.name for each in module.step_rules))
    if depth is not None or k is not None:
        bounded = check_bounded(grounded, depth, timeout_ms=timeout_ms) if depth is not None \
            else prove_by_k_induction(grounded, k or 1, timeout_ms=timeout_ms)
        method = f"bounded checking to depth {depth}" if depth is not None else f"{k}-induction"
        return Proof(module.name, str(scope), method, bounded.outcome, (), None, None, bounded,
                     rules, mutant, time.process_time() - began)
    actions = prove_inductive(grounded, timeout_ms=timeout_ms)
    outcomes = {each.outcome for each in actions}
    outcome: Outcome = "failed" if "failed" in outcomes else \
        "unknown" if "unknown" in outcomes else "proved"
    open_proof = prove_any_size(module, scope) if any_size and outcome != "failed" else None
    return Proof(module.name, str(scope), "induction", outcome, actions,
                 _shown(grounded, actions), open_proof, None, rules, mutant,
                 time.process_time() - began)


def _shown(grounded: Grounded, actions: tuple[ActionProof, ...]) -> dict[str, Any] | None:
    for each in actions:
        found = each.counterexample
        if found is not None:
            arguments = ", ".join(map(str, found.arguments))
            return {"action": f"{found.action}({arguments})",
                    "before": grounded.show(found.before), "after": grounded.show(found.after),
                    "broken": list(found.broken)}
    return None
