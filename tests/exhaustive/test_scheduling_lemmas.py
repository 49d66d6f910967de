"""Z3 proves the lemmas on placement, and that the checker says what the documents say."""

from __future__ import annotations

import pytest

from properties.scheduler.lemmas import AGREEMENTS, LEMMAS, Agreement, Lemma, agree, prove


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.sentence)
def test_each_lemma_is_proved(lemma: Lemma) -> None:
    assert prove(lemma).holds is True


@pytest.mark.parametrize("agreement", AGREEMENTS, ids=lambda agreement: agreement.name)
def test_the_checker_agrees_with_the_documents(agreement: Agreement) -> None:
    assert agree(agreement).holds is True


def _other(answer: bool | int) -> bool | int:
    """Another answer than this one."""
    return not answer if isinstance(answer, bool) else answer + 1


@pytest.mark.parametrize("agreement", AGREEMENTS, ids=lambda agreement: agreement.name)
def test_one_wrong_answer_of_the_checker_would_be_found(agreement: Agreement) -> None:
    last = tuple(size - 1 for size in agreement.domains)
    wrong = agreement._replace(
        rule=lambda values: _other(agreement.rule(values)) if values == last
        else agreement.rule(values))
    found = agree(wrong)
    assert found.holds is False
    assert found.counterexample


def test_a_false_lemma_is_refuted_with_an_example() -> None:
    lemma = Lemma("every bind fits", "all integers", lambda z3: z3.Int("a") > z3.Int("b"))
    found = prove(lemma)
    assert found.holds is False
    assert "a =" in found.counterexample


@pytest.mark.parametrize("lemma", LEMMAS, ids=lambda lemma: lemma.sentence)
def test_the_premises_of_a_lemma_do_not_contradict_each_other(lemma: Lemma) -> None:
    """Without what it denies last, its conclusion, the negation has a model."""
    import z3

    premises = lemma.negation(z3).children()[:-1]
    solver = z3.Solver()
    solver.set("timeout", 2_000)
    solver.add(premises)
    assert premises
    assert solver.check() != z3.unsat
