"""The ``phantomflow`` dialect: a render job has completed or failed (SEEDS PF-2, PF-3, PF-7, PF-11).

Keys of the other case are absent, not null. ``output_url`` is where the result can be had: the video of a render,
else the URL that the result itself names, else the execution's page of our API. ``duration_seconds`` is the video's
length, for other runs how long they took. Credits are whole: what was used is rounded up. A render's own ``metadata``
is echoed behind the seed's keys, and only when the job had one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from hookline.core.canonical import number, write
from hookline.core.retry import SCHEDULES
from hookline.dialects.base import BaseDialect, HeaderList, Recipient, type_header
from hookline.dialects.ending import Ending, JsonObject, ending_of
from hookline.model.ids import public
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.model.events import Event
    from hookline.model.executions import Execution


class PhantomFlow(BaseDialect):
    name = "phantomflow"
    schedule = SCHEDULES["phantomflow"]
    tells_ends_only = True

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:
        ending = ending_of(event, execution, to.trim)
        told = _completed(ending, to) if ending.is_success else _failed(ending)
        metadata = ending.facts.get("metadata") if ending.is_run and ending.kind == Kind.RENDER else None
        return write(
            {"job_id": ending.run_id, **told, **({} if metadata is None else {"metadata": metadata})}
        )

    def event_headers(self, event: Event) -> HeaderList:
        return [type_header(event)]


def _completed(ending: Ending, to: Recipient) -> JsonObject:
    facts = ending.facts if ending.is_run else _object(ending.result)
    return {
        "status": "completed",
        "output_url": _output_url(ending, to),
        "duration_seconds": _duration(ending, facts),
        "credits_used": _credits(ending, facts),
    }


def _failed(ending: Ending) -> JsonObject:
    error = ending.error or {}
    return {"status": "failed", "error": {"code": error.get("code"), "message": error.get("message")}}


def _output_url(ending: Ending, to: Recipient) -> str | None:
    own = ending.text("output_url") if ending.is_run else None
    url = own or _url_in(ending.result)
    if url is None and ending.execution_id is not None and to.base_url:
        return f"{to.base_url}/api/v1/executions/{public('execution', ending.execution_id)}"
    return url


def _url_in(result: Any) -> str | None:
    """The URL that a result is or names."""
    for value in (result, *(_object(result).get(name) for name in ("output_url", "url"))):
        if isinstance(value, str) and value.startswith(("https://", "http://")):
            return value
    return None


def _duration(ending: Ending, facts: JsonObject) -> msgspec.Raw | int | None:
    if ending.is_run and ending.kind == Kind.RENDER:
        return _number(facts.get("video_seconds"))
    if ending.is_run:
        return None if ending.run_ms is None else _plain(ending.run_ms / 1000)
    return _number(facts.get("duration_seconds"))


def _credits(ending: Ending, facts: JsonObject) -> int | None:
    used: Any = ending.credits_used if ending.is_run else facts.get("credits_used")
    if type(used) is msgspec.Raw:
        used = float(bytes(used))
    return math.ceil(used) if type(used) in (int, float) else None


def _plain(value: float) -> msgspec.Raw:
    return msgspec.Raw(number(value).encode())


def _number(value: Any) -> msgspec.Raw | int | None:
    return value if type(value) in (int, msgspec.Raw) else None


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
