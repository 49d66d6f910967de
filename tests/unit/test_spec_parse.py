"""The spec language: what it accepts, and that every mistake is named with file and line."""

from __future__ import annotations

import textwrap

import pytest

from model.benchmark import SPEC
from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.parse import parse_text
from model.kernel.spec.render import render
from model.kernel.spec.scope import make_scope, read_scope

HEAD = '''
from __future__ import annotations
Phase = Literal["absent", "pending", "bound"]
Wish = Annotated[int, Between(0, "ceiling")]
LIVE = ("pending", "bound")

class Pod(Index, symmetric=True, short="r"):
    """A pod."""

class Node(Index):
    """A machine."""

class Slot(Numbered):
    """A place in a row."""

class Toy(Spec):
    """A toy."""
    ceiling = constant(3, short="k", least=1)
    phase: Map[Pod, Phase] = each("absent")
    node: Map[Pod, Node | None] = each(None)
    up: Map[Node, bool] = each(True)
    cell: Map[tuple[Slot, Node], bool] = each(False)
    desired: Wish = 0
    free: int = 0
'''


def parsed(body: str) -> ir.Module:
    """The toy with a body."""
    return parse_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "), "Toy", file="toy.py")


def mistake(body: str) -> str:
    """The message for a body that breaks the language."""
    with pytest.raises(ir.SpecError) as caught:
        parsed(body)
    return str(caught.value)


ACTION = "@action\ndef act(self, p: Pod, n: Node) -> None:\n"


def in_action(statements: str) -> str:
    return mistake(ACTION + textwrap.indent(textwrap.dedent(statements), "    "))


def first_line() -> int:
    """The line of the toy's file on which a body begins."""
    return HEAD.count("\n") + 1


@pytest.mark.parametrize(("statements", "words"), [
    ("self.phase[p] = 'lost'", '"lost" is not one of absent, pending, bound'),
    ("self.phase[n] = 'bound'", "the keys of phase are members of Pod"),
    ("self.desired = self.up[n]", "is a truth value, and desired is an integer"),
    ("self.wish = 1", "unknown name wish"),
    ("require(phase[p] == 'bound')", "no entry of a variable (self.phase[...])"),
    ("require(ceiling > 1)", "unknown name ceiling (self.ceiling)"),
    ("require(p < p)", "orders members of Pod, which is declared symmetric"),
    ("require(p + 1 == p)", "members of an index set cannot be computed with"),
    ("require(self.node[p] < n)", "orders a value that may be None"),
    ("require(self.up[self.node[p]])", "may be None"),
    ("self.up = True", "up is a map"),
    ("self.desired = 1\nself.desired = 2", "desired is assigned twice"),
    ("for q in Pod:\n    self.desired = 1", "is assigned once for each q"),
    ("for q in Pod:\n    self.phase[q] = 'bound'\nself.phase[p] = 'absent'",
     "phase is assigned twice with keys that may be equal"),
    ("while True:\n    pass", "outside the spec language"),
    ("print(p)", "outside the spec language"),
    ("if self.up[n]:\n    require(self.up[n])", "outside the spec language"),
    ("require(self.desired // 2 == 1)", "arithmetic is + - * and %"),
    ("require(self.desired == 1.5)", "numbers are integers"),
    ("require(self.phase[p] in LIVING)", "after `in` stands a tuple of literals"),
    ("require(max(self.desired for q in Pod) == 1)", "needs default="),
    ("require(self.up[n] == 1)", "compares a truth value with an integer"),
    ("require(any(self.up[m] for m in Machine))", "no index set"),
    ("require(self.node[p] == p)", "compares a member of Node or None with a member of Pod"),
])
def test_a_mistake_in_an_action_is_named_with_its_line(statements: str, words: str) -> None:
    """Each mistake is refused, with what is wrong and where."""
    message = in_action(statements)
    assert words in message
    file, line = message.split(":")[:2]
    last = first_line() + 2 + statements.count("\n")
    assert file == "toy.py"
    assert first_line() + 2 <= int(line) <= last


@pytest.mark.parametrize(("body", "words"), [
    ("@action\ndef act(self, p) -> None:\n    pass", "the parameter p has no type"),
    ("@action(fair='often')\ndef act(self) -> None:\n    pass", "fair is"),
    ("@actoin\ndef act(self) -> None:\n    pass", "is no rule of the spec language"),
    ("def act(self) -> None:\n    pass", "needs one decorator"),
    ("@mutant(replaces='bind')\ndef act(self) -> None:\n    pass", "replaces no action"),
    ("@define\ndef f(self) -> int:\n    return self.f()", "calls itself"),
    ("@invariant\ndef f(self) -> bool:\n    x = 1", "must end by returning an expression"),
    ("@invariant\ndef f(self) -> bool:\n    return self.free", "is an integer, not a truth value"),
    ("@leads_to\ndef f(self) -> bool:\n    return True", "returns the pair cause, effect"),
    ("other: Pod | int = None", "no type of the spec language"),
    ("other: int", "has no initial value"),
    ("other: Map[Phase, int] = each(0)", "is no index set"),
    ("other = 3", "neither a constant nor a variable"),
    ("scopes = {'ci': {'Pods': 2}}", "names Pods, which is neither"),
    ("@invariant\ndef f(self) -> bool:\n    return True\n"
     "@invariant\ndef f(self) -> bool:\n    return True", "is written twice"),
])
def test_a_mistake_in_a_declaration_is_named_with_its_line(body: str, words: str) -> None:
    """Declarations are checked like expressions."""
    message = mistake(body)
    assert words in message
    assert message.startswith("toy.py:")


def test_two_entries_may_be_assigned_where_the_keys_are_known_to_differ() -> None:
    """By a guard, by the branches of an if, or by different offsets of a numbered key."""
    module = parsed('''
        @action
        def swap(self, p: Pod, q: Pod) -> None:
            require(p != q)
            self.phase[p] = self.phase[q]
            self.phase[q] = self.phase[p]

        @action
        def either(self, p: Pod) -> None:
            if self.desired > 0:
                self.phase[p] = "bound"
            else:
                self.phase[p] = "absent"

        @action
        def others(self, p: Pod) -> None:
            self.phase[p] = "bound"
            for q in Pod:
                if q != p:
                    self.phase[q] = "absent"

        @action
        def two(self, s: Slot, n: Node) -> None:
            require(s + 1 < len(Slot))
            self.cell[s, n] = True
            self.cell[s + 1, n] = False
        ''')
    assert [len(each.updates) for each in module.actions] == [2, 2, 2, 2]


def test_definitions_are_expanded_without_capturing_names() -> None:
    """The bound name of a definition does not hide an argument of the same name."""
    module = parsed('''
        @define
        def others(self, n: Node) -> int:
            return count(self.node[p] == n for p in Pod)

        @action
        def act(self, p: Pod, n: Node) -> None:
            require(self.others(n) == 0 and all(self.others(m) > 0 or m == n for m in Node))
        ''')
    first, second = module.actions[0].guards
    assert render(first) == "count(node[p_2] == n for p_2 in Pod) == 0"
    assert render(second) == "all(count(node[p_2] == m for p_2 in Pod) > 0 or m == n for m in Node)"


def test_expansions_of_one_definition_with_the_same_arguments_are_equal() -> None:
    """Engines find common parts by equality."""
    occupied = {part for action in SPEC.module().actions for guard in action.guards
                for part in ir.walk(guard)
                if isinstance(part, ir.Quantifier) and "running" in render(part)}
    assert len(occupied) == 1


def test_scopes_are_read_in_every_spelling_and_refused_with_the_names_that_exist() -> None:
    """Plural, short and own names; unknown ones are refused."""
    module = SPEC.module()
    scope = read_scope(module, "pods=5, n=3,C=1,ceiling=4")
    assert (scope.sizes, scope.constants) == ({"Pod": 5, "Node": 3},
                                              {"capacity": 1, "ceiling": 4, "bug": 0})
    assert read_scope(module, "ci,k=1") == make_scope(module, "ci", {"k": 1})
    for text in ("pods=x", "machines=2", "pods=0", "pods"):
        with pytest.raises(InputError, match=r"scope|index set|member"):
            read_scope(module, text)


def test_the_example_of_the_reference_page_is_a_spec_that_holds() -> None:
    """The page cannot rot."""
    from pathlib import Path

    from model.kernel.engines.check import check

    page = Path(__file__).parents[2] / "docs" / "reference" / "spec-language.md"
    example = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    module = parse_text(example, "Packing", file="spec-language.md")
    report = check(module, make_scope(module))
    assert (report.verdict, report.states) == ("holds", 100)  # 25 ways to place, 4 wishes
