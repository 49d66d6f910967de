"""Leads-to on finite graphs: fairness decides, loops and dead ends count."""

from __future__ import annotations

import pytest
from spec_toys import lock, toy

from model.kernel.engines.check import check
from model.kernel.engines.liveness import build_graph, check_leads_to
from model.kernel.spec.ground import Grounded, ground
from model.kernel.spec.scope import make_scope


def names(grounded: Grounded, path: tuple[int, ...]) -> list[str]:
    return [grounded.instances[each].action for each in path]


@pytest.mark.parametrize(("fair", "holds"), [("none", False), ("weak", False), ("strong", True)])
def test_a_lock_that_is_free_again_and_again_needs_strong_fairness(fair: str, holds: bool) -> None:
    """Weak fairness is not enough: the user may come whenever the job could take it."""
    report = check(lock(fair), make_scope(lock(fair)))
    assert report.verdict == ("holds" if holds else "violated")
    assert report.liveness == {"who_waits_gets_the_lock": "holds" if holds else "violated"}


def test_a_lasso_is_a_path_and_a_fair_loop_without_the_effect() -> None:
    """The stem leads to the loop, the loop returns, and nobody gets the lock in it."""
    module = lock("weak")
    grounded = ground(module, make_scope(module))
    graph = build_graph(grounded)
    assert graph is not None
    lasso = check_leads_to(graph)[0].lasso
    assert lasso is not None
    assert lasso.loop_states[-1] == lasso.stem_states[-1]
    assert len(lasso.stem_states) == len(lasso.stem) + 1
    edges = {(graph.states[a], int(k), graph.states[b]) for a, k, b in zip(
        graph.source.tolist(), graph.instance.tolist(), graph.target.tolist(), strict=True)}
    run = [*lasso.stem_states, *lasso.loop_states]
    assert all(step in edges for step in zip(run, lasso.stem + lasso.loop, run[1:], strict=False))
    waits = grounded.instances[lasso.stem[lasso.pending_at - 1]].arguments[0]
    assert isinstance(waits, int)
    assert all(state[waits] == "waits" for state in lasso.loop_states)
    assert {"come", "go"} <= set(names(grounded, lasso.loop))


def test_an_unfair_run_may_simply_stay_where_it_is() -> None:
    """Without fairness the shortest counterexample has no loop at all."""
    report = check(lock("none"), make_scope(lock("none")))
    assert report.trace is not None
    assert report.trace.loop_from == len(report.trace.steps) == 1


DEAD_END = '''
    at: Small = 0

    @action(fair="weak")
    def step(self) -> None:
        require(self.at < self.top - 1)
        self.at += 1

    @action(fair="weak")
    def spin(self) -> None:
        require(self.at == self.top - 1)
        self.at = self.at

    @leads_to
    def it_gets_to_the_top(self) -> tuple[bool, bool]:
        return self.at == 0, self.at == self.top
'''


def test_a_dead_end_is_a_counterexample_although_a_step_without_effect_is_enabled() -> None:
    """A step that changes nothing is no progress."""
    report = check(toy(DEAD_END), make_scope(toy(DEAD_END)))
    assert report.failure is not None
    assert (report.failure.kind, report.failure.name) == ("leads-to", "it_gets_to_the_top")
    assert report.trace is not None
    assert [step.action for step in report.trace.steps] == ["step", "step"]
    assert report.trace.loop_from == 2


STREETT = '''
    room: Annotated[int, Between(0, 2)] = 0
    done: bool = False

    @action(fair="weak")
    def turn(self) -> None:
        require(not self.done)
        self.room = 0 if self.room == 2 else self.room + 1

    @action(fair="strong")
    def leave(self) -> None:
        require(self.room == 1 and not self.done)
        self.done = True

    @action(fair="weak")
    def rest(self) -> None:
        require(self.room == 2 and not self.done)
        self.room = 2 if self.top == 3 else 0

    @action
    def back(self) -> None:
        require(self.room == 2 and not self.done)
        self.room = 0

    @action
    def forth(self) -> None:
        require(self.room == 0 and not self.done)
        self.room = 2

    @leads_to
    def it_ends(self) -> tuple[bool, bool]:
        return not self.done, self.done
'''


def test_a_component_is_searched_again_without_the_states_that_strong_fairness_forbids() -> None:
    """The whole component is unfair (leave is neglected in room 1), the part without room 1 is not:
    there `turn` is taken from room 2 to room 0, and `leave` never enabled."""
    report = check(toy(STREETT), make_scope(toy(STREETT)))
    assert report.failure is not None
    assert report.failure.name == "it_ends"
    assert report.trace is not None
    loop = report.trace.steps[report.trace.loop_from:]
    assert {step.state["room"] for step in loop} == {0, 2}


def test_liveness_is_refused_under_symmetry_with_a_reason() -> None:
    """The verdict of safety stands; leads-to are said to be not judged."""
    report = check(lock(), make_scope(lock()), engine="numba", symmetry=True)
    assert report.verdict == "holds"
    assert "symmetry" in report.liveness["who_waits_gets_the_lock"]
