"""kubectl, the client that the users of the cluster drive.

Modelled: create, replace and delete from files; get as table, wide, YAML, JSON or names; describe;
scale; set image; label; cordon; patch; apply --server-side; delete by name, label or all, with its
wait; rollout status; top. The files of a command are those of the scenario. A cluster of release
1.3 gets the client of that time: its lines and tables, and deletes that empty a controller first.

Not modelled, and why that is sound:
- the watch behind the wait of a delete: this client asks again, each time after twice as long;
  what it waits for, the end of one uid, is the same, and a watch could only end the wait sooner;
- patches behind `set image`, `label` and `cordon`: this client reads, changes and writes with the
  version it read, and starts over on a conflict, so that it loses no update of others either;
- client-side apply, edit, run, expose, the other words of rollout: other ways to make the same
  requests. They come with real clients over HTTP.
"""

from __future__ import annotations

from typing import Any

from model.api.scenario import Scenario
from model.kernel.component import Component
from reference_impl.kubectl.component import Kubectl


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The administrator's client, and one for each user that the setting `users` names."""
    users = scenario.setting("users", "").split()
    return (Kubectl(scenario), *(Kubectl(scenario, user) for user in users))
