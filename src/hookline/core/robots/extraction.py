"""What ``scrapeSchema`` and ``scrapeList`` take out of a page, and how it is put together (MX-16).

Reading elements is the browser's work (runners/robot); here is decided what is read and what becomes of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from hookline.core.robots.actions import bad, is_parameter, selector, text
from hookline.errors import InputError

_MOST_FIELDS: Final = 100
_MOST_ROWS: Final = 10_000
_DEFAULT_LIMIT: Final = 10

Record = dict[str, Any]


class Pagination(StrEnum):
    """How a list goes on."""

    NONE = ""
    SCROLL_DOWN = "scrollDown"
    SCROLL_UP = "scrollUp"
    CLICK_NEXT = "clickNext"
    CLICK_LOAD_MORE = "clickLoadMore"

    @property
    def has_button(self) -> bool:
        return self in (Pagination.CLICK_NEXT, Pagination.CLICK_LOAD_MORE)


class FieldRule(msgspec.Struct, frozen=True, kw_only=True):
    """One value. selector: CSS, or XPath when it begins with ``/`` or ``(``; in a list relative to its element.

    attribute: ``innerText``, ``innerHTML`` or an attribute's name; links come as whole URLs.
    """

    selector: str
    attribute: str = "innerText"


class ListRule(msgspec.Struct, frozen=True, kw_only=True):
    """limit: most records.  next: selector of the button, empty for paginations without one."""

    selector: str
    fields: dict[str, FieldRule]
    limit: int = _DEFAULT_LIMIT
    pagination: Pagination = Pagination.NONE
    next: str = ""


def parse_schema(value: Any, field: str) -> dict[str, FieldRule]:
    """Return the fields of a ``scrapeSchema``. Raises InputError with the path."""
    if not isinstance(value, dict) or not 1 <= len(value) <= _MOST_FIELDS:
        raise bad(f"A schema is an object of 1 to {_MOST_FIELDS} fields.", field, "object", value)
    return {name: _field(rule, f"{field}.{name}") for name, rule in value.items()}


def parse_list(value: Any, field: str) -> ListRule:
    """Return the rule of a ``scrapeList``. Raises InputError with the path."""
    if not isinstance(value, dict):
        raise bad("A list is described by an object.", field, "object", value)
    _no_others(value, {"listSelector", "fields", "limit", "pagination"}, field)
    _require(value, "listSelector", field)
    selector(value["listSelector"], f"{field}.listSelector")
    limit = value.get("limit", _DEFAULT_LIMIT)
    if type(limit) is not int or not 1 <= limit <= _MOST_ROWS:
        raise bad(f"A limit is 1 to {_MOST_ROWS} records.", f"{field}.limit", "integer", limit)
    pagination, button = _pagination(value.get("pagination"), f"{field}.pagination")
    _require(value, "fields", field)
    return ListRule(
        selector=value["listSelector"],
        fields=parse_schema(value["fields"], f"{field}.fields"),
        limit=limit,
        pagination=pagination,
        next=button,
    )


def _pagination(value: Any, field: str) -> tuple[Pagination, str]:
    if value is None:
        return Pagination.NONE, ""
    if not isinstance(value, dict):
        raise bad("A pagination has a type and a selector.", field, "object", value)
    _no_others(value, {"type", "selector"}, field)
    kind = value.get("type") or ""
    if kind == "none":
        kind = ""
    if kind not in list(Pagination):
        known = ", ".join(each for each in Pagination if each)
        raise bad(f"There is no such pagination; there are {known}.", f"{field}.type", "string", kind)
    pagination = Pagination(kind)
    if pagination.has_button:
        _require(value, "selector", field)
        selector(value["selector"], f"{field}.selector")
        return pagination, value["selector"]
    return pagination, ""


def _field(value: Any, field: str) -> FieldRule:
    if isinstance(value, str):
        selector(value, field)
        return FieldRule(selector=value)
    if is_parameter(value):
        raise InputError(
            "A field cannot be a parameter.", field=field, expected="selector", received="$param"
        )
    if not isinstance(value, dict):
        raise bad("A field is a selector, or an object with one.", field, "object", value)
    # ``tag`` says what the recorder saw; ``shadow`` needs no telling: selectors reach into open shadow trees.
    _no_others(value, {"selector", "tag", "attribute", "shadow", "isShadow"}, field)
    _require(value, "selector", field)
    selector(value["selector"], f"{field}.selector")
    attribute = value.get("attribute") or "innerText"
    text(attribute, f"{field}.attribute")
    return FieldRule(selector=value["selector"], attribute=attribute)


def _no_others(value: dict[str, Any], known: set[str], field: str) -> None:
    for name in value:
        if name not in known:
            raise InputError(
                f"There is nothing called {name!r} here.",
                field=f"{field}.{name}",
                expected=", ".join(sorted(known)),
                received=name,
            )


def _require(value: dict[str, Any], name: str, field: str) -> None:
    if name not in value:
        raise InputError(f"{name} is missing.", field=f"{field}.{name}", expected=name, received="nothing")


# --- what was found ---


class Captured:
    """What one run has taken out of its pages so far."""

    def __init__(self) -> None:
        self._texts: dict[str, list[Record]] = {}
        self._lists: dict[str, list[Record]] = {}
        self.screenshots = 0

    def __repr__(self) -> str:
        return f"Captured({len(self._texts)} texts, {len(self._lists)} lists, {self.screenshots} screenshots)"

    @property
    def is_empty(self) -> bool:
        return not (self._texts or self._lists or self.screenshots)

    def copy(self) -> Captured:
        """Return another with the same in it, to go back to when what follows has to be repeated."""
        copied = Captured()
        copied._texts = {name: [dict(record) for record in records] for name, records in self._texts.items()}
        copied._lists = {name: list(rows) for name, rows in self._lists.items()}
        copied.screenshots = self.screenshots
        return copied

    def add_texts(self, name: str | None, record: Record) -> None:
        """Add the fields of one ``scrapeSchema``; those that the record has already begin a new one (MX-16)."""
        records = self._texts.setdefault(name or "Texts", [])
        if records and not records[-1].keys() & record.keys():
            records[-1].update(record)
        else:
            records.append(dict(record))

    def add_list(self, name: str | None, rows: list[Record]) -> None:
        """Add the records of one ``scrapeList``. Lists without a name are ``list_0``, ``list_1``, … (MX-4)."""
        self._lists.setdefault(name or f"list_{len(self._lists)}", []).extend(rows)

    def next_screenshot(self, name: str | None) -> str:
        """Count one more and return its name: the recording's, or ``Screenshot N`` (MX-16)."""
        self.screenshots += 1
        return name or f"Screenshot {self.screenshots}"

    def output(self) -> Record:
        """The result of the run, as ``model.executions.RobotFacts`` describes it."""
        return {
            "captured_texts": self._texts,
            "captured_lists": self._lists,
            "screenshots_count": self.screenshots,
        }


class Rows:
    """The records of one list while its pages are walked: each once, in the order in which they were seen.

    A page that scrolls or loads more shows earlier records again; one that goes to the next page may show the same
    record twice on purpose. is_growing: True for the former.
    """

    def __init__(self, limit: int, *, is_growing: bool) -> None:
        self._limit = limit
        self._is_growing = is_growing
        self._seen: set[bytes] = set()
        self._last_page: list[Record] | None = None
        self.rows: list[Record] = []

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= self._limit

    def add(self, page: list[Record]) -> int:
        """Take what a page shows now; return how many records were new. 0: there is nothing more to come."""
        before = len(self.rows)
        if self._is_growing:
            # Position tells equal records apart as long as the list only grows; lists that drop what scrolled
            # away show other records in the same places.
            fresh = page[before:] if page[:before] == self.rows else self._unseen(page)
        else:
            fresh = [] if page == self._last_page else page
            self._last_page = page
        self.rows += fresh[: self._limit - before]
        self._seen.update(_mark(row) for row in self.rows[before:])
        return len(self.rows) - before

    def _unseen(self, page: list[Record]) -> list[Record]:
        return [row for row in page if _mark(row) not in self._seen]


def _mark(row: Record) -> bytes:
    return msgspec.json.encode(row)
