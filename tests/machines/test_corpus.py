"""Every failure ever found, minimal, replayed: it fails with its seeded bug and not without."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubeproof.mutation import all_mutants, corpus_file, still_fails
from model.kernel.errors import InputError
from traces.history import load

CORPUS = Path(__file__).parents[2] / "traces" / "corpus"
TRACES = sorted(CORPUS.glob("*.trace"))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_trace_fails_with_its_bug_and_not_without(path: Path) -> None:
    """The bug, and nothing else, is what the property catches."""
    with_bug, without = still_fails(path)
    assert with_bug, "the seeded bug is not caught any more"
    assert not without, "the property fails without the seeded bug"


def test_every_seeded_bug_has_its_trace() -> None:
    """`kubeproof mutants --save traces/corpus` makes what is missing here."""
    missing = [mutant.name for mutant in all_mutants() if not corpus_file(CORPUS, mutant).exists()]
    assert not missing
    known = {mutant.name for mutant in all_mutants()}
    assert not [path.stem for path in TRACES if load(path).mutant not in known]


def test_a_trace_of_an_unknown_bug_is_refused(tmp_path: Path) -> None:
    """Bad input, not a pass."""
    path = tmp_path / "x.trace"
    path.write_text('kubeproof trace 1\nscenario {"name":"x"}\nseed 0\nmutant nobody\n---\n')
    with pytest.raises(InputError, match="no mutant 'nobody'"):
        still_fails(path)
