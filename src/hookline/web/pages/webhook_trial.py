"""What a webhook would do, tried while its form is filled in: which past events it would get, and in which words.

Nothing is stored or sent. A field that cannot be read yet, such as JSON half typed, is told and left out meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.dialects import NAMES
from hookline.web.desk import Refusal, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookline.web.visit import Visit

_LAST: Final = 500
_SHOWN: Final = 8
_TRIES: Final = 6
_SOUND: Final = {"url": "https://example.com/webhooks", "events": "*"}
"""What stands for a field that is needed and cannot be read yet; the others are left out."""

_SAMPLE: Final = {
    "event": "workflow.execution.completed",
    "data": {
        "execution_id": "exec_01890a5d-ac96-774b-bcce-b302099a8057",
        "status": "completed",
        "output": {"total": 12},
        "credits_used": 4.5,
    },
}
"""An event that has not happened, for an organization in which nothing fits."""


async def trial(
    visit: Visit, given: dict[str, str], read: Callable[[dict[str, str]], dict[str, Any]], id_: str | None
) -> dict[str, Any]:
    """Try what a form says. read: makes fields of the API of it; raises Refusal.  id_: of the webhook that is changed.

    Returns the dry ``run``, the ``bodies`` by dialect, and the first ``refusal``, None where all can be read.
    """
    base = "/api/v1/webhooks" if id_ is None else path_of("webhooks", id_)
    given = dict(given)
    given |= {name: text for name, text in _SOUND.items() if not given.get(name, "").strip()}
    first: Refusal | None = None
    for _ in range(_TRIES):
        try:
            fields = read(given)
            run = await visit.desk.post(f"{base}/dry-run", {"last": _LAST, "bodies": 0, "changes": fields})
        except Refusal as refusal:
            if refusal.status != 400:
                raise
            first = first or _inside(refusal)
            field = (_inside(refusal).details.get("field") or "").split(".")[0]
            held = [name for name in given if name.split(".")[0] == field and given[name]]
            if not held:
                break
            given |= dict.fromkeys(held, _SOUND.get(field, ""))
        else:
            chosen = given.get("dialect") or NAMES[0]
            run["shown"] = sorted(run["events"], key=_nearness)[:_SHOWN]
            return {"run": run, "refusal": first} | await _worded(visit, base, fields, run, chosen)
    return {"run": None, "bodies": [], "refusal": first}


def _nearness(judged: dict[str, Any]) -> int:
    """What people want to see first: what fits, then what only the conditions keep away."""
    if judged["matches"]:
        return 0
    return 1 if judged["rule"] == "condition" else 2


def _inside(refusal: Refusal) -> Refusal:
    """The refusal as it would be of the webhook itself: here its fields stand below ``changes``."""
    field = refusal.details.get("field") or ""
    if field.startswith("changes."):
        refusal.details["field"] = field.removeprefix("changes.")
    return refusal


async def _worded(
    visit: Visit, base: str, fields: dict[str, Any], run: dict[str, Any], chosen: str
) -> dict[str, Any]:
    """The newest event that fits, or one that has not happened, in the words of each dialect."""
    fitting = next((one for one in run["events"] if one["matches"]), None)
    what = _SAMPLE if fitting is None else {"event_id": fitting["id"]}
    bodies = []
    for dialect in NAMES:
        try:
            told = await visit.desk.post(f"{base}/preview", what | {"changes": fields | {"dialect": dialect}})
        except Refusal as refusal:
            told = {"body": None, "error": refusal.message}
        bodies.append(told | {"dialect": dialect, "is_chosen": dialect == chosen})
    type_ = _SAMPLE["event"] if fitting is None else fitting["type"]
    return {"bodies": bodies, "is_real": fitting is not None, "type": type_}
