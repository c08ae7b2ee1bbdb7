"""The ``maxun`` and ``maxun-src`` dialects: a robot's run has finished, or failed (SEEDS MX-1 to MX-6, MX-11, MX-12).

``maxun`` is exactly what the seed prints: snake_case on success, camelCase on failure, and no times there (MX-5,
MX-X2). ``maxun-src`` is what the product's source sends today: snake_case in both, ``captured_texts`` an object of
arrays, ``crawl_data`` and ``search_data``, and no ``total_rows`` (MX-12). Its ``finished_at`` is ISO 8601 here all
the same: the source's local spelling has no zone.

A test is ``webhook_test`` with status ``test``, and nothing else is (MX-X1). There is never both ``extracted_data``
and ``error`` (MX-X4). Option ``dual_keys`` adds ids, names and times in their other spelling behind the seed's (MX-X2).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hookline.core.canonical import write
from hookline.core.retry import SCHEDULES
from hookline.core.times import rfc3339
from hookline.dialects.base import BaseDialect, HeaderList, Recipient, option, type_header
from hookline.dialects.ending import Ending, JsonObject, ending_of, stable_uuid

if TYPE_CHECKING:
    from datetime import datetime

    from hookline.model.events import Event
    from hookline.model.executions import Execution

_TEST_RUN: Final = "110c4dae-c39b-4b30-a932-eff1022e4bb0"
"""The run of every test (MX-11), by which receivers tell one."""

_TEST_LASTED: Final = timedelta(seconds=45)

_CAPTURES: Final = ("captured_texts", "captured_lists", "crawl_data", "search_data")
"""Where a robot's captures stand in its result."""

_TWINS: Final = frozenset(
    {"robot_id", "run_id", "robot_name", "started_at", "finished_at", "browser_id", "user_id"}
)
"""Keys that Maxun's senders spell both ways; captures and errors have one spelling everywhere."""

_UNDERSCORE: Final = re.compile(r"_([a-z])")


class Maxun(BaseDialect):
    name = "maxun"
    schedule = SCHEDULES["maxun"]
    tells_ends_only = True
    options = {"dual_keys": (False, True)}  # noqa: RUF012 -- never changed

    def body(self, event: Event, to: Recipient, execution: Execution | None = None) -> bytes:
        ending = ending_of(event, execution, to.trim)
        data = self._succeeded(ending) if ending.is_success else self._failed(ending)
        if option(self, to, "dual_keys"):
            data = _both_spellings(data)
        return write(
            {
                "event_type": _event_type(ending),
                "timestamp": rfc3339(event.occurred_at),
                "webhook_id": to.webhook_id,
                "data": data,
            }
        )

    def event_headers(self, event: Event) -> HeaderList:
        return [type_header(event)]

    def _succeeded(self, ending: Ending) -> JsonObject:
        """MX-3."""
        return {
            **_run(ending, "test" if ending.is_test else "success"),
            **_times(ending),
            "extracted_data": self._extracted(ending.result),
            "metadata": _metadata(ending),
        }

    def _failed(self, ending: Ending) -> JsonObject:
        """MX-5."""
        data = {**_run(ending, "failed"), "error": _error(ending), "metadata": _metadata(ending)}
        return {
            _camel(key): _camel_keys(value) if key == "metadata" else value for key, value in data.items()
        }

    def _extracted(self, result: Any) -> JsonObject:
        """MX-4, with the counts as MX-X5 reads them: text fields, rows over all lists, and their sum."""
        captured = captures(result)
        texts = [row for rows in captured.texts.values() for row in rows]
        fields, rows = _fields(texts), _rows(captured.lists)
        return {
            "captured_texts": texts,
            "captured_lists": captured.lists,
            "total_rows": fields + rows,
            "captured_texts_count": fields,
            "captured_lists_count": rows,
            "screenshots_count": captured.screenshots,
        }


class MaxunSource(Maxun):
    name = "maxun-src"
    schedule = SCHEDULES["maxun-src"]

    def _failed(self, ending: Ending) -> JsonObject:
        return {
            **_run(ending, "failed"),
            **_times(ending),
            "error": _error(ending),
            "partial_data_extracted": ending.facts.get("partial_data_extracted") is True,
            "metadata": _metadata(ending),
        }

    def _extracted(self, result: Any) -> JsonObject:
        captured = captures(result)
        return {
            "captured_texts": captured.texts,
            "captured_lists": captured.lists,
            "crawl_data": captured.crawl,
            "search_data": captured.search,
            "captured_texts_count": _fields([row for rows in captured.texts.values() for row in rows]),
            "captured_lists_count": _rows(captured.lists),
            "screenshots_count": captured.screenshots,
        }


# --- captures -----------------------------------------------------------------------------------------------


class Captures(msgspec.Struct, frozen=True):
    """What a run brought home. texts, lists: name to records.  screenshots: how many."""

    texts: dict[str, list[Any]]
    lists: dict[str, list[Any]]
    crawl: Any
    search: Any
    screenshots: int


def captures(result: Any) -> Captures:
    """Read a result of whatever shape.

    A robot's own has ``captured_texts`` (records, or name to records), ``captured_lists`` (name to records) and
    ``screenshots_count``. Any other object is one record of texts, an array is one list, a bare value is one record
    ``{"value": …}``, so that a receiver finds each where it looks for captures.
    """
    if isinstance(result, dict) and any(name in result for name in _CAPTURES):
        texts, lists = result.get("captured_texts"), result.get("captured_lists")
        count = result.get("screenshots_count")
        return Captures(
            texts=_named(texts, "Texts"),
            lists=_named(lists, "list_0"),
            crawl=result.get("crawl_data", {}),
            search=result.get("search_data", {}),
            screenshots=count if type(count) is int and count >= 0 else 0,
        )
    if isinstance(result, list):
        return Captures({}, {"list_0": [_record(row) for row in result]}, {}, {}, 0)
    return Captures({} if result is None else {"Texts": [_record(result)]}, {}, {}, {}, 0)


def _named(value: Any, name: str) -> dict[str, list[Any]]:
    """Records under names; those without one get ``name``."""
    if isinstance(value, dict):
        return {key: rows if isinstance(rows, list) else [rows] for key, rows in value.items()}
    if isinstance(value, list):
        return {name: value} if value else {}
    return {} if value is None else {name: [_record(value)]}


def _record(value: Any) -> Any:
    return value if isinstance(value, dict) else {"value": value}


def _fields(records: list[Any]) -> int:
    return sum(len(record) if isinstance(record, dict) else 1 for record in records)


def _rows(lists: dict[str, list[Any]]) -> int:
    return sum(map(len, lists.values()))


# --- parts --------------------------------------------------------------------------------------------------


def _event_type(ending: Ending) -> str:
    if ending.is_test:
        return "webhook_test"
    return "run_completed" if ending.is_success else "run_failed"


def _run(ending: Ending, status: str) -> JsonObject:
    return {
        "robot_id": stable_uuid(ending),
        "run_id": _TEST_RUN if ending.is_test else ending.run_id,
        "robot_name": ending.name,
        "status": status,
    }


def _times(ending: Ending) -> JsonObject:
    started_at = ending.started_at
    if ending.is_test and ending.ended_at is not None:
        started_at = ending.ended_at - _TEST_LASTED
    return {"started_at": _time(started_at), "finished_at": _time(ending.ended_at)}


def _metadata(ending: Ending) -> JsonObject:
    metadata = {"browser_id": ending.text("browser_id") if ending.is_run else None, "user_id": None}
    return {**metadata, "test_mode": True} if ending.is_test else metadata


def _error(ending: Ending) -> JsonObject:
    """type: the exception's class, else our code."""
    error = ending.error or {}
    return {
        "message": error.get("message"),
        "type": error.get("type") or error.get("code"),
        "stack": error.get("stack"),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def _camel_keys(value: JsonObject) -> JsonObject:
    return {_camel(key): child for key, child in value.items()}


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def _both_spellings(data: JsonObject) -> JsonObject:
    """The data with ids, names and times a second time, spelled the other way."""
    doubled = {key: _with_twins(value) if key == "metadata" else value for key, value in data.items()}
    return _with_twins(doubled)


def _with_twins(value: JsonObject) -> JsonObject:
    twins: JsonObject = {}
    for key, child in value.items():
        snake = _snake(key)
        if snake in _TWINS:
            twins[snake if snake != key else _camel(key)] = child
    return {**value, **twins}
