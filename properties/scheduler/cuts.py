"""Reasons why pods cannot fit, found by counting: cheap, sound, and in words.

Each cut is a necessary condition. A pod no node takes; more needed than a set of nodes has, by a
set of pods that may run nowhere else (Hall's condition, for the sets that the rules name); more
big pods than nodes have room for, each counted on its own; more pods that exclude each other than
there are domains; company that is nowhere near; more pods than a spread allows while one domain
stays poor. When no cut speaks, nothing is said: a solver has to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from properties.scheduler import rules
from properties.scheduler.facts import NodeFacts
from properties.scheduler.problem import NODE, Kind, Problem, amount_text, topology_keys
from properties.scheduler.solver import Family, domains_of, families, most_on


class Reason(NamedTuple):
    """Why pods do not fit: the sentence, the kinds of pods and the nodes that it names."""

    text: str
    kinds: tuple[int, ...]
    nodes: tuple[int, ...]
    rule: str


def find(problem: Problem) -> Reason | None:
    """The first cut that shows that the pods do not fit together."""
    for cut in (nowhere, aggregate, big_pods, pigeonholes, lonely, uneven):
        reason = cut(problem)
        if reason is not None:
            return reason
    return None


def count_of(kinds: Iterable[Kind]) -> str:
    """`30 pods of web` or `30 pods (web, db and 3 more)`."""
    found = list(kinds)
    number = sum(len(kind.pods) for kind in found)
    names = [kind.name for kind in found]
    noun = "pod" if number == 1 else "pods"
    if len(names) == 1:
        return f"{number} {noun} of {names[0]}" if number > 1 else f"pod {names[0]}"
    listed = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return f"{number} {noun} ({listed})"


def nowhere(problem: Problem) -> Reason | None:
    """A pod that no node may take, even empty; the reasons are counted."""
    for at, kind in enumerate(problem.kinds):
        if kind.allowed:
            continue
        if not problem.nodes:
            return Reason(f"there are no nodes for {count_of([kind])}", (at,), (), "nodes")
        why: dict[str, int] = {}
        for node in problem.nodes:
            text = _why_not(kind, node)
            why[text] = why.get(text, 0) + 1
        told = ", ".join(f"{number} {text}" for text, number in
                         sorted(why.items(), key=lambda each: (-each[1], each[0])))
        noun = "node" if len(problem.nodes) == 1 else "nodes"
        return Reason(f"no node takes {count_of([kind])}: of {len(problem.nodes)} {noun} {told}",
                      (at,), tuple(range(len(problem.nodes))), "allowed nodes")
    return None


def _why_not(kind: Kind, node: NodeFacts) -> str:
    if rules.taints(kind.facts, node) is not None:
        taint = next(each for each in (*node.taints, rules.NOT_SCHEDULABLE)
                     if rules.taints(kind.facts, node._replace(taints=(each,), cordoned=False)))
        return "cordoned" if taint == rules.NOT_SCHEDULABLE else f"tainted {taint[0]}={taint[1]}"
    if rules.node_choice(kind.facts, node) is not None:
        return "not selected (node selector or affinity)"
    missing = [key for key in topology_keys(kind.facts) if key not in node.labels]
    return f"without {missing[0]}" if missing else "too small"


def node_sets(problem: Problem) -> list[tuple[tuple[int, ...], str]]:
    """Sets of nodes that confine pods: what each kind may use, unions of two, and all."""
    single = list(dict.fromkeys(kind.allowed for kind in problem.kinds))
    sets = dict.fromkeys(single)
    if len(single) <= 24:
        for at, left in enumerate(single):
            for right in single[at + 1:]:
                sets[tuple(sorted({*left, *right}))] = None
    everything = tuple(range(len(problem.nodes)))
    sets[everything] = None
    return [(each, "all" if each == everything else "some") for each in sets]


def aggregate(problem: Problem) -> Reason | None:
    """More is needed by pods that are confined to some nodes than these nodes have."""
    masks = [frozenset(kind.allowed) for kind in problem.kinds]
    worst: tuple[float, Reason] | None = None
    for nodes, extent in node_sets(problem):
        inside = frozenset(nodes)
        confined = [at for at, mask in enumerate(masks) if mask <= inside]
        if not confined:
            continue
        for column, resource in enumerate(problem.resources):
            need = sum(problem.kinds[at].asks[column] * len(problem.kinds[at].pods)
                       for at in confined)
            have = sum(problem.room[at][column] for at in nodes)
            if need > have:
                who = [at for at in confined if problem.kinds[at].asks[column]]
                text = _excess(problem, who, nodes, extent, resource, need, have)
                share = need / have if have else float("inf")
                if worst is None or share > worst[0]:
                    worst = share, Reason(text, tuple(who), nodes, resource)
    return None if worst is None else worst[1]


def _excess(problem: Problem, who: list[int], nodes: tuple[int, ...], extent: str, resource: str,
            need: int, have: int) -> str:
    kinds = [problem.kinds[at] for at in who]
    noun = "node" if len(nodes) == 1 else "nodes"
    where = f"the {len(nodes)} {noun}" if extent == "all" else \
        f"the {len(nodes)} {noun} that they may use ({_some(problem, nodes)})"
    verb = "needs" if sum(len(kind.pods) for kind in kinds) == 1 else "need"
    return (f"{count_of(kinds)} {verb} {amount_text(resource, need)}, {where} "
            f"{'has' if len(nodes) == 1 else 'have'} {amount_text(resource, have)}")


def _some(problem: Problem, nodes: tuple[int, ...]) -> str:
    names = [problem.nodes[at].name for at in nodes]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def big_pods(problem: Problem) -> Reason | None:
    """More pods of at least some size than fit when each node takes only whole ones."""
    for column, resource in enumerate(problem.resources):
        sizes = sorted({kind.asks[column] for kind in problem.kinds if kind.asks[column] > 1})
        for size in reversed(sizes[-12:]):
            big = [at for at, kind in enumerate(problem.kinds) if kind.asks[column] >= size]
            nodes = tuple(sorted({node for at in big for node in problem.kinds[at].allowed}))
            number = sum(len(problem.kinds[at].pods) for at in big)
            slots = sum(problem.room[at][column] // size for at in nodes)
            if number > slots:
                kinds = [problem.kinds[at] for at in big]
                text = (f"{count_of(kinds)} need {amount_text(resource, size)} or more each, the "
                        f"{len(nodes)} nodes that they may use have room for {slots} such pods")
                return Reason(text, tuple(big), nodes, resource)
    return None


def pigeonholes(problem: Problem) -> Reason | None:
    """More pods that keep each other out of a domain than there are domains."""
    pairs: dict[str, set[tuple[int, int]]] = {}
    for left, right, key, _ in problem.exclusions:
        pairs.setdefault(key, set()).update(((left, right), (right, left)))
    for key, excluded in pairs.items():
        alone = [at for at in range(len(problem.kinds)) if (at, at) in excluded]
        for first in alone:
            clique = [first]
            for at in alone:
                if at != first and all((at, other) in excluded for other in clique):
                    clique.append(at)
            nodes = {node for at in clique for node in problem.kinds[at].allowed}
            places = {problem.domains[key][at] for at in nodes}
            if None in places:
                continue
            number = sum(len(problem.kinds[at].pods) for at in clique)
            if number > len(places):
                what = "nodes" if key == NODE else f"domains of {key}"
                text = (f"{count_of([problem.kinds[at] for at in clique])} keep each other out, "
                        f"there are {len(places)} {what} for them")
                return Reason(text, tuple(clique), tuple(sorted(nodes)), "exclusion")
    return None


def lonely(problem: Problem) -> Reason | None:
    """Pods that want company which is not there, or never in a domain that they may use."""
    for company in problem.companies:
        if company.own:
            continue
        who = count_of([problem.kinds[company.kind]])
        verb = "wants" if len(problem.kinds[company.kind].pods) == 1 else "want"
        mine = problem.kinds[company.kind].allowed
        for key in company.keys:
            where = f"{who} {verb} to be in the {key} of"
            if not company.wanted:
                return Reason(f"{where} pods that are not there", (company.kind,), mine, "affinity")
            theirs = {problem.domains[key][node] for at in company.wanted
                      for node in problem.kinds[at].allowed}
            if not theirs.intersection(problem.domains[key][node] for node in mine):
                others = count_of(problem.kinds[at] for at in company.wanted)
                pronoun = "it" if verb == "wants" else "they"
                text = f"{where} {others}, whose nodes are in none that {pronoun} may use"
                return Reason(text, (company.kind, *company.wanted), mine, "affinity")
    return None


def uneven(problem: Problem) -> Reason | None:
    """More pods than a spread constraint allows beside the domain that takes fewest."""
    for family in families(problem):
        if set(family.counted) != set(family.kinds):
            continue
        takes = _takes(problem, family)
        least = min(takes.values(), default=0)
        if len(takes) < family.min_domains:
            least = 0
        most = sum(min(number, least + family.max_skew) for number in takes.values())
        pods = sum(len(problem.kinds[at].pods) for at in family.kinds)
        if pods > most:
            key = next(each.key for each in problem.spreadings if each.kind in family.kinds
                       and each.places == family.places and each.max_skew == family.max_skew)
            poor = min(takes, key=lambda place: (takes[place], place))
            why = f"{poor} has room for {takes[poor]} of them" \
                if len(takes) >= family.min_domains else f"{family.min_domains} are asked for"
            text = (f"{count_of(problem.kinds[at] for at in family.kinds)} are spread over {key} "
                    f"with maxSkew {family.max_skew}: {why}, so the {len(takes)} domains take "
                    f"{most}")
            nodes = tuple(at for at, place in enumerate(family.places) if place is not None)
            return Reason(text, family.kinds, nodes, "spread")
    return None


def _takes(problem: Problem, family: Family) -> dict[str, int]:
    """For each domain of a spread constraint, no fewer pods than it can take."""
    allowed = {kind: frozenset(problem.kinds[kind].allowed) for kind in family.kinds}
    return {place: sum(most_on(problem, kind, node) for kind in family.kinds for node in nodes
                       if node in allowed[kind])
            for place, nodes in domains_of(family.places).items()}
