"""Histories inside tests: on a failure, the story and the line that replays it."""

from __future__ import annotations

from pathlib import Path

from kubeproof.explorer import Explorer, Plan
from kubeproof.failures import Kept, keep
from model.kernel.action import Action
from model.kernel.driver import BytesDriver, converge, run
from model.kernel.property import Violation
from traces.history import History, load

STORY_LINES = 40


class HistoryError(AssertionError):
    """A property was violated; the text is what a person needs: sentence, story, command."""


def fail(explorer: Explorer, violation: Violation, seed: int, actions: tuple[Action, ...],
         out: Path) -> None:
    """Save, shrink and draw the history, and raise HistoryError."""
    from model.api.scenario_file import to_document
    history = History(to_document(explorer.scenario), actions, seed, violation.property,
                      violation.message)
    kept = keep(history, explorer.properties, out)
    raise HistoryError(told(kept))


def told(kept: Kept) -> str:
    """The failure message: the story of the smaller trace, cut to a screen, and the command."""
    story = (kept.folder / "story.txt").read_text().splitlines()
    if len(story) > STORY_LINES:
        story = [*story[:STORY_LINES], f"… see {kept.folder / 'story.txt'}"]
    return "\n".join(["", *story, "", f"replay it:  {kept.command}"])


def explore(explorer: Explorer, plan: Plan, out: Path) -> None:
    """The fairly served run, then random histories of a plan. HistoryError at a violation."""
    fair = explorer.fair_failure()
    if fair is not None:
        fail(explorer, fair.violation, fair.seed, fair.actions, out)
    tally = explorer.explore(plan)
    for failure in tally.failures:
        fail(explorer, failure.violation, failure.seed, failure.actions, out)


def schedule(explorer: Explorer, data: bytes, out: Path, *, goals: bool = False) -> None:
    """One history whose choices are `data`: the first byte picks the checkpoint, the others the
    steps. `goals`: heal and converge afterwards. HistoryError at a violation."""
    prefix, world = explorer.checkpoints[data[0] % len(explorer.checkpoints)]
    outcome = run(explorer.system, BytesDriver(data[1:]), world, steps=len(data),
                  checker=explorer.checker)
    violations = outcome.violations
    if goals and not violations:
        violations = converge(explorer.system, outcome.world, explorer.checker,
                              steps=30_000).violations
    if violations:
        fail(explorer, violations[0], 0, (*prefix, *outcome.actions), out)


def replay_trace(path: Path) -> None:
    """Replay a trace. HistoryError while it still fails."""
    from kubeproof.mutation import still_fails
    with_bug, without = still_fails(path)
    if with_bug or without:
        history = load(path)
        raise HistoryError(f"{history.property.replace('_', ' ')}\n  {history.message}\n"
                             f"replay it:  kubeproof replay {path}")
