"""Integrations, and the customers' instances of them: made, configured, deployed and removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hookline.errors import MissingError
from hookline.model.states import Scope
from hookline.web.desk import Refusal, path_of
from hookline.web.forms import number_of, read_json
from hookline.web.pages.base import Page, found_or_none, listed
from hookline.web.visit import Away, View

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hookline.web.visit import Visit

_OF_CUSTOMER: Final = ("name", "customer_id", "customer_name")
_FLAGS: Final = {"true": True, "false": False}


async def instances(visit: Visit) -> View:
    found = await listed(visit, "/api/v1/instances", "instances")
    integrations = await visit.desk.get("/api/v1/integrations")
    return View(template="instances.html", context=found | {"integrations": integrations["integrations"]})


async def instance(visit: Visit) -> View:
    return await _shown(visit)


async def _shown(visit: Visit, **more: Any) -> View:
    shown = await visit.desk.get(path_of("instances", visit.part("id")))
    integration = await found_or_none(visit, path_of("integrations", shown["integration"]["id"]))
    context = {"instance": shown, "integration": integration, "made": None}
    return View(template="instance.html", context=context | more)


# --- making and configuring ---------------------------------------------------------------------------------


async def new(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    integration = await _integration(visit, visit.query("integration"))
    return _form(integration, {})


async def create(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    integration = await _integration(visit, visit.fields.get("integration", ""))
    given = visit.fields
    try:
        customer = {
            "external_id": given.get("customer_id", "").strip(),
            "name": _text(given, "customer_name"),
        }
        body = {
            "integration": integration["id"],
            "customer": customer,
            "name": _text(given, "name"),
            "config": _config(integration, given),
        }
        made = await visit.desk.post("/api/v1/instances", body)
    except Refusal as refusal:
        return _form(integration, given, refusal)
    if not made["api_keys"]:
        return Away(to=f"/ui/instances/{made['id']}", word="saved")
    return View(template="instance_made.html", context={"instance": made}, status=201)


async def edit(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    shown = await visit.desk.get(path_of("instances", visit.part("id")))
    integration = await _integration(visit, shown["integration"]["id"])
    config = {name: _written(value) for name, value in shown["config"].items()}
    return _form(integration, {"name": shown["name"], **_prefixed(config)}, instance=shown)


async def change(visit: Visit) -> View | Away:
    visit.need(Scope.WRITE)
    path = path_of("instances", visit.part("id"))
    shown = await visit.desk.get(path)
    integration = await _integration(visit, shown["integration"]["id"])
    try:
        config = _config(integration, visit.fields, present=shown)
        await visit.desk.send("PATCH", path, {"name": _text(visit.fields, "name"), "config": config})
    except Refusal as refusal:
        return _form(integration, visit.fields, refusal, shown)
    return Away(to=f"/ui/instances/{visit.part('id')}", word="saved")


async def _integration(visit: Visit, id_: str) -> dict[str, Any]:
    found = await found_or_none(visit, path_of("integrations", id_)) if id_ else None
    if found is None:
        raise MissingError("The app declares no such integration.")
    return found


def _config(
    integration: dict[str, Any], given: dict[str, str], present: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a form says of the variables. present: the instance as it is; None for a new one. Raises Refusal.

    Only what differs, since every value that is sent deploys once more. What was emptied is unset; a secret is not
    shown, so there an empty field leaves it as it is, and a box unsets it.
    """
    shown = {} if present is None else present["config"]
    config: dict[str, Any] = {}
    for variable in integration["config"]:
        name = variable["name"]
        text = given.get(f"config.{name}", "")
        if not text.strip():
            if given.get(f"unset.{name}") == "on" if variable["secret"] else name in shown:
                config[name] = None
        elif text.replace("\r\n", "\n") != _written(shown.get(name)):
            config[name] = _value(variable, text)
    return config


def _value(variable: dict[str, Any], text: str) -> Any:
    """As the API takes it; what is none of its kind goes on as text, and the API words the fault. Raises Refusal."""
    if variable["type"] == "number":
        return number_of(text)
    if variable["type"] == "boolean":
        return _FLAGS.get(text, text)
    if variable["type"] == "json":
        return read_json(f"config.{variable['name']}", text)
    return text.replace("\r\n", "\n")  # as it was typed: a form sends line ends as HTTP has them


def _written(value: Any) -> str:
    """A value as a form shows it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _prefixed(config: dict[str, str]) -> dict[str, str]:
    return {f"config.{name}": text for name, text in config.items()}


def _text(given: dict[str, str], name: str) -> str | None:
    return given.get(name, "").strip() or None


def _form(
    integration: dict[str, Any],
    given: dict[str, str],
    refusal: Refusal | None = None,
    instance: dict[str, Any] | None = None,
) -> View:
    """The form. instance: the one that is there; None for a new one."""
    if refusal is not None:
        field = refusal.details["field"] or ""
        refusal.details["field"] = {
            "customer.external_id": "customer_id",
            "customer": "customer_id",
            "customer.name": "customer_name",
        }.get(field, field)
    names = [f"config.{variable['name']}" for variable in integration["config"]]
    context = {
        "integration": integration,
        "given": dict.fromkeys((*_OF_CUSTOMER, *names), "") | given,
        "refusal": refusal,
        "instance": instance,
        "written": _written,
    }
    return View(template="instance_form.html", context=context, status=400 if refusal else 200)


# --- what may be done to one --------------------------------------------------------------------------------


def _act(verb: str) -> Callable[[Visit], Coroutine[Any, Any, Away]]:
    async def act(visit: Visit) -> Away:
        visit.need(Scope.WRITE)
        await visit.desk.post(f"{path_of('instances', visit.part('id'))}/{verb}")
        return Away(to=f"/ui/instances/{visit.part('id')}", word="saved")

    return act


async def add_key(visit: Visit) -> View:
    visit.need(Scope.WRITE)
    path = f"{path_of('instances', visit.part('id'))}/keys"
    made = await visit.desk.post(path, {"flow": visit.fields.get("flow", "")})
    return await _shown(visit, made=made)


async def revoke_keys(visit: Visit) -> Away:
    """All of a flow but the newest."""
    visit.need(Scope.WRITE)
    path = f"{path_of('instances', visit.part('id'))}/keys/revoke"
    await visit.desk.post(path, {"flow": visit.fields.get("flow", ""), "keep": 1})
    return Away(to=f"/ui/instances/{visit.part('id')}", word="saved")


async def delete(visit: Visit) -> Away:
    visit.need(Scope.WRITE)
    await visit.desk.send("DELETE", path_of("instances", visit.part("id")))
    return Away(to="/ui/instances", word="deleted")


PAGES: Final = (
    Page("/ui/instances", instances),
    Page("/ui/instances/new", new),
    Page("/ui/instances/new", create, ("POST",)),
    Page("/ui/instances/{id}", instance),
    Page("/ui/instances/{id}/edit", edit),
    Page("/ui/instances/{id}/edit", change, ("POST",)),
    Page("/ui/instances/{id}/keys", add_key, ("POST",)),
    Page("/ui/instances/{id}/keys/revoke", revoke_keys, ("POST",)),
    *(
        Page(f"/ui/instances/{{id}}/{verb}", _act(verb), ("POST",))
        for verb in ("deploy", "enable", "disable")
    ),
    Page("/ui/instances/{id}/delete", delete, ("POST",)),
)
