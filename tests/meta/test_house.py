"""Rules of the house that no tool checks: banned words, long functions, true documentation."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kubeproof", "model", "properties", "reference_impl", "traces")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LINES_MAX = 70

# What would make a run depend on something else than its seed.
BANNED = {
    r"\btime\.time\(|datetime\.now|datetime\.utcnow|\.today\(\)": "the wall clock",
    r"\buuid4\(|\buuid1\(": "a random identity",
    r"(?<![\w.])random\.(random|choice|randint|shuffle|sample|randrange)\(": "module randomness",
    r"(?<![\w.])id\(": "an address in memory",
    r"\bbreakpoint\(|import pdb\b|#\s*(TODO|FIXME|XXX)": "a leftover",
    r"NotImplementedError": "a stub",
}
FRONT_DOOR = "kubeproof/"  # may read clocks and print: it serves people, not worlds


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_but_the_seed_decides(path: Path) -> None:
    """No wall clock, random identity, address or leftover in what runs inside a world."""
    place = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    found = [word for pattern, word in BANNED.items()
             if re.search(pattern, text) and not place.startswith(FRONT_DOOR)]
    assert not found, f"{place}: {', '.join(found)}"


def long_functions(text: str) -> list[str]:
    """The functions that do not fit a screen."""
    return [node.name for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
            and node.end_lineno - node.lineno >= LINES_MAX]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_functions_fit_a_screen(path: Path) -> None:
    """At most 70 lines, 100 columns (the linter counts columns)."""
    assert long_functions(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_module_says_what_it_is(path: Path) -> None:
    """A header of at least a sentence."""
    text = path.read_text()
    header = ast.get_docstring(ast.parse(text))
    assert header is not None or (path.name == "__init__.py" and not text.strip())


def test_the_rules_themselves_can_fail() -> None:
    """Each banned word is recognised; a long function is seen."""
    for sample in ("time.time()", "uuid4()", "random.choice(x)", "id(x)", "# TODO"):
        assert any(re.search(pattern, sample) for pattern in BANNED)
    assert long_functions("def f():\n" + "    x = 1\n" * 80) == ["f"]
    assert not re.search(list(BANNED)[3], "uid(x)")


def test_the_readme_shows_the_two_commands_and_existing_files() -> None:
    """`make explore` and `make test` stand in the first screen; links lead somewhere."""
    text = (ROOT / "README.md").read_text()
    first = "\n".join(text.splitlines()[:60])
    assert "make explore" in first
    assert "make test" in first
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target
