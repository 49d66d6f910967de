"""The scheduler's promises: along histories, against its spec, and by solver (other modules).

`facts`, `rules`, `scores` and `preemption` restate the documents; `histories` judges what a history
stores by them, `decisions` what the scheduler decides; `refinement` maps steps to the spec;
`mutants` are the seeded bugs.
"""

from __future__ import annotations

from properties.scheduler.decisions import DECISION_PROPERTIES
from properties.scheduler.histories import HISTORY_PROPERTIES
from properties.scheduler.mutants import SEEDED_BUGS
from properties.scheduler.refinement import every_step_about_placement_is_one_of_the_spec

PROPERTIES = (*HISTORY_PROPERTIES, *DECISION_PROPERTIES,
              every_step_about_placement_is_one_of_the_spec)
MUTANTS = SEEDED_BUGS
