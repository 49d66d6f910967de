"""Two controllers that fight over one field, and a third that never finds it at rest.

An autoscaler raises `replicas` to its minimum; a pipeline applies a manifest that says one. A
reporter writes the status once it sees two. Each of them is weakly fair: it acts if it could act
all the time. The reporter never can: the field is lowered again before it acts, for ever.

    kubeproof check docs/examples/fighting_controllers.py --draw lasso.svg

shows the lasso. With `fair="strong"` for the reporter the rule holds: who serves what is possible
again and again would save it, who only serves what stays possible does not.

Not modelled: the API server between them; every write here is one step, which can only hide races,
and the fight needs none.
"""

from __future__ import annotations

from typing import Annotated

from model.kernel.spec.language import Between, Spec, action, leads_to, require

Count = Annotated[int, Between(1, 2)]


class FightingControllers(Spec):
    """A field, two who write it, one who waits for it."""

    replicas: Count = 1
    reported: bool = False

    @action(fair="weak")
    def autoscaler_raises(self) -> None:
        require(self.replicas < 2)
        self.replicas = 2

    @action(fair="weak")
    def pipeline_applies(self) -> None:
        require(self.replicas > 1)
        self.replicas = 1

    @action(fair="weak")
    def reporter_writes_status(self) -> None:
        require(self.replicas == 2 and not self.reported)
        self.reported = True

    @leads_to
    def the_status_is_written(self) -> tuple[bool, bool]:
        return not self.reported, self.reported


SPEC = FightingControllers
