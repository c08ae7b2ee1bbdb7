"""Integrations, and the customers' instances of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.model.states import Scope
from hookline.web.desk import path_of
from hookline.web.pages.base import Page, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.web.visit import Visit


async def instances(visit: Visit) -> View:
    found = await listed(visit, "/api/v1/instances", "instances")
    integrations = await visit.desk.get("/api/v1/integrations")
    return View(template="instances.html", context=found | {"integrations": integrations["integrations"]})


async def instance(visit: Visit) -> View:
    shown = await visit.desk.get(path_of("instances", visit.part("id")))
    return View(template="instance.html", context={"instance": shown})


def _act(verb: str) -> Callable[[Visit], Coroutine[Any, Any, Away]]:
    async def act(visit: Visit) -> Away:
        visit.need(Scope.WRITE)
        await visit.desk.post(f"{path_of('instances', visit.part('id'))}/{verb}")
        return Away(to=f"/ui/instances/{visit.part('id')}", word="saved")

    return act


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("instances", visit.part("id")))
    return Away(to="/ui/instances", word="deleted")


PAGES: Final = (
    Page("/ui/instances", instances),
    Page("/ui/instances/{id}", instance),
    *(
        Page(f"/ui/instances/{{id}}/{verb}", _act(verb), ("POST",))
        for verb in ("deploy", "enable", "disable")
    ),
    Page("/ui/instances/{id}/delete", delete, ("POST",)),
)
