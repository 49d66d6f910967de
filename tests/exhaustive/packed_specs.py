"""Small specs, each made for one corner of the packed engines."""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Numbered,
    Spec,
    action,
    constant,
    count,
    each,
    invariant,
    lemma,
    limit,
    require,
    step_rule,
    witness,
)

Colour = Literal["red", "green", "blue"]
Metal = Literal["red", "gold"]
Small = Annotated[int, Between(0, 3)]
Wide = Annotated[int, Between(-500, 1500)]


class Pod(Index, symmetric=True):
    """A pod."""


class Node(Index, symmetric=True):
    """A node."""


class Slot(Numbered):
    """A place in a ring."""


class Aliases(Spec):
    """Two arguments of one set that may be the same member, and bulk updates beside them."""

    scopes = {"ci": {"Pod": 3}}
    colour: Map[Pod, Colour] = each("red")
    weight: Map[Pod, Small] = each(0)
    marked: Map[Pod, bool] = each(False)

    @action
    def paint(self, p: Pod, q: Pod) -> None:
        require(self.colour[p] == "red" and not self.marked[q])
        self.colour[p] = "green" if p == q else "blue"
        self.weight[q] = (self.weight[q] + 1) % 4

    @action
    def mark_all(self) -> None:
        require(any(self.colour[p] == "blue" for p in Pod))
        for p in Pod:
            if self.weight[p] > 0:
                self.marked[p] = True

    @action
    def swap(self, p: Pod, q: Pod) -> None:
        require(p != q and self.colour[p] == "blue")
        self.colour[p] = self.colour[q]
        self.colour[q] = self.colour[p]

    @action
    def clear(self, p: Pod) -> None:
        require(self.marked[p])
        self.marked[p] = False
        for q in Pod:
            if self.colour[q] == "green":
                self.weight[q] = 0

    @step_rule
    def a_weight_falls_to_nothing_or_to_one(self, after: Aliases) -> bool:
        return all(after.weight[q] >= self.weight[q] or after.weight[q] < 2
                   for p in Pod for q in Pod if after.colour[p] != self.colour[q])

    @invariant
    def weights_are_small(self) -> bool:
        return all(self.weight[p] <= 3 for p in Pod)

    @witness
    def all_are_marked(self) -> bool:
        return all(self.marked[p] for p in Pod)


class Crowns(Spec):
    """Records that come up only by two updates at once, and only where an update is left out."""

    wild = constant(0)
    scopes = {"ci": {"Pod": 3}}
    colour: Map[Pod, Metal] = each("red")
    weight: Map[Pod, Small] = each(0)
    marked: Map[Pod, bool] = each(False)

    @action
    def crown(self, p: Pod, q: Pod) -> None:
        require(self.colour[p] == "red" and self.colour[q] == "red")
        require(self.weight[p] == 0 and self.weight[q] == 0)
        self.colour[p] = "gold"
        self.weight[q] = 3 + self.wild

    @action
    def dip(self, p: Pod) -> None:
        require(self.colour[p] == "gold" and not self.marked[p])
        self.marked[p] = True
        if all(self.weight[q] > 0 for q in Pod):
            self.weight[p] = 1

    @invariant
    def the_marked_are_golden(self) -> bool:
        return all(self.colour[p] == "gold" for p in Pod if self.marked[p])


class Ring(Spec):
    """A bounded log on numbered slots, read and written at computed places."""

    guarded = constant(1)
    scopes = {"ci": {"Slot": 4}}
    entry: Map[Slot, Colour] = each("red")
    head: Annotated[int, Between(0, "len(Slot)")] = 0
    total: Annotated[int, Between(0, "3 * len(Slot)")] = 0

    @action
    def push(self, colour: Colour) -> None:
        require(self.head < len(Slot))
        self.entry[self.head] = colour
        self.head += 1

    @action
    def drop_last(self) -> None:
        require(self.head > 0 or self.guarded == 0)
        require(self.entry[self.head - 1] == "blue")
        self.head -= 1

    @action
    def repaint(self, i: Slot) -> None:
        require(self.head > i)
        require(self.entry[self.head - 1] == "green")
        self.entry[i] = "red"

    @action
    def look_beyond(self) -> None:
        require(self.guarded == 2 and self.head == len(Slot))
        self.total = 1 if self.entry[self.head] == "blue" else 0

    @action
    def measure(self) -> None:
        require(self.head > 1)
        self.total = sum(2 if self.entry[i] == "blue" else 1 for i in Slot if i < self.head)

    @invariant
    def the_total_is_no_larger_than_it_can_be(self) -> bool:
        return self.total <= max((2 * i + 2 for i in Slot), default=0)

    @witness
    def the_last_is_blue(self) -> bool:
        return self.head == len(Slot) and self.entry[self.head - 1] == "blue"


class Election(Spec):
    """Votes between symmetric sets: two maps point at nodes, a variable points at a pod, one map
    has two keys. Equal signatures do not mean that members can be exchanged here."""

    scopes = {"ci": {"Pod": 3, "Node": 3}}
    home: Map[Pod, Node | None] = each(None)
    wish: Map[Pod, Node | None] = each(None)
    seen: Map[tuple[Pod, Node], bool] = each(False)
    leader: Pod | None = None

    @action
    def settle(self, p: Pod, n: Node) -> None:
        require(self.home[p] is None)
        self.home[p] = n

    @action
    def want(self, p: Pod, n: Node) -> None:
        require(self.wish[p] is None and self.home[p] is not None and self.home[p] != n)
        limit(count(self.wish[q] is not None for q in Pod) < 2)
        self.wish[p] = n

    @action
    def look(self, p: Pod, n: Node) -> None:
        require(self.wish[p] == n and not self.seen[p, n])
        self.seen[p, n] = True

    @action
    def lead(self, p: Pod) -> None:
        require(self.leader is None and any(self.seen[p, n] for n in Node))
        self.leader = p

    @invariant
    def a_leader_has_a_home(self) -> bool:
        return all(self.home[p] is not None for p in Pod if self.leader == p)


class Peers(Spec):
    """Members of one symmetric set that point at one another: no set can simply be sorted."""

    scopes = {"ci": {"Node": 4}}
    follows: Map[Node, Node | None] = each(None)
    heard: Map[tuple[Node, Node], bool] = each(False)

    @action
    def follow(self, a: Node, b: Node) -> None:
        require(self.follows[a] is None and a != b)
        limit(count(self.follows[n] is not None for n in Node) < 3)
        self.follows[a] = b

    @action
    def hear(self, a: Node, b: Node) -> None:
        require(self.follows[a] == b)
        limit(count(self.heard[n, m] for n in Node for m in Node) < 2)
        self.heard[b, a] = True

    @invariant
    def nobody_hears_itself(self) -> bool:
        return all(not self.heard[n, n] for n in Node)


class Broad(Spec):
    """More bits than a word: few states, far apart."""

    scopes = {"ci": {"Pod": 8}}
    place: Map[Pod, Wide] = each(0)
    moves: Annotated[int, Between(0, 4)] = 0

    @action
    def jump(self, p: Pod) -> None:
        require(self.moves < 4)
        require(self.place[p] < 1500)
        self.place[p] += 1
        self.moves += 1

    @action
    def sink(self, p: Pod) -> None:
        require(self.moves < 4 and self.place[p] > 1)
        self.place[p] = 0 - self.place[p]
        self.moves += 1

    @invariant
    def nobody_is_very_low(self) -> bool:
        return all(self.place[p] > -400 for p in Pod)


class Faulty(Spec):
    """Goes wrong in the way that `how` says: 1 leaves a domain, 2 breaks a step rule, 3 an
    invariant, 5 breaks a step rule at a member that is no argument of the action."""

    how = constant(0)
    scopes = {"ci": {"Pod": 2, "Node": 2}}
    level: Small = 0
    node: Map[Pod, Node | None] = each(None)
    shaken: Map[Pod, bool] = each(False)
    up: Map[Node, bool] = each(True)

    @action
    def rise(self) -> None:
        require(self.level < 3 or self.how == 1)
        self.level += 1

    @action
    def fall(self) -> None:
        require(self.level == 3 and self.how == 2)
        self.level = 0

    @action
    def place(self, p: Pod, n: Node) -> None:
        require(self.level > 1 and self.node[p] is None)
        self.node[p] = n

    @action
    def move(self, p: Pod, n: Node) -> None:
        require(self.how == 2 and self.level == 2 and self.node[p] is not None)
        self.node[p] = n

    @action
    def shake(self, p: Pod, n: Node) -> None:
        require(self.how == 5 and self.level == 2 and self.node[p] is None)
        self.node[p] = n
        for q in Pod:
            if q != p:
                self.shaken[q] = True

    @action
    def stop(self, p: Pod) -> None:
        require(self.level == 3 and self.node[p] is not None)
        for n in Node:
            if self.node[p] == n:
                self.up[n] = False

    @invariant
    def some_node_is_up(self) -> bool:
        return self.how != 3 or any(self.up[n] for n in Node)

    @lemma
    def levels_are_small(self) -> bool:
        return self.level <= 3

    @step_rule
    def nobody_moves(self, after: Faulty) -> bool:
        return all(self.node[p] is None or self.node[p] == after.node[p] for p in Pod)

    @step_rule
    def only_who_settles_is_shaken(self, after: Faulty) -> bool:
        return all(self.shaken[p] == after.shaken[p] or self.node[p] != after.node[p]
                   for p in Pod)

    @step_rule
    def the_level_never_sinks(self, after: Faulty) -> bool:
        return after.level >= self.level
