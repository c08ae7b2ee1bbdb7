"""What started an execution, as user code sees it: ``ctx.trigger`` and what hangs on it.

Loaded into every child process, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any


class Headers(Mapping[str, str]):
    """Request headers; names are compared without regard to case."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"


class Record:
    """Values shown as attributes, and by ``[name]``; one that is missing is None. They may be set."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._values.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        return self._values.get(name)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of the values by name."""
        return dict(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self._values))})"


class Part(Record):
    """A body, or one part of a multipart body.

    data: parsed JSON or form, or the exact bytes; a path when it is above the memory cap.
    content_type, filename: None when unknown.
    """

    data: Any
    content_type: str | None
    filename: str | None


# The annotations above tell type checkers what __getattr__ answers; they create no attributes.


def _parts(value: Any) -> Any:
    """Return the fields of a multipart body as Parts, where they are described as such."""
    if isinstance(value, list):
        return [_parts(item) for item in value]
    if isinstance(value, dict) and "data" in value and value.keys() <= {"data", "content_type", "filename"}:
        return Part(value)
    return value


class Trigger:
    """What started the execution. What is missing is None, or empty where it is a mapping.

    raw_body.data: the bytes as they came.  body.data: parsed when JSON, form or multipart, else those bytes.
    path_fragment: what follows the trigger's own path, no slash at either end.
    customer, instance, flow: records with ``id``, ``name`` and what else is known of them.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        got = self._values = dict(values or {})
        self.headers = Headers(got.get("headers") or {})
        self.query_parameters: dict[str, Any] = got.get("query_parameters") or {}
        self.path_fragment: str | None = got.get("path_fragment")
        self.raw_body = Part(got.get("raw_body"))
        self.body = Part(got.get("body"))
        self.webhook_urls: dict[str, str] = got.get("webhook_urls") or {}
        self.webhook_api_keys: dict[str, list[str]] = got.get("webhook_api_keys") or {}
        self.invoke_url: str | None = got.get("invoke_url")
        self.execution_id: str | None = got.get("execution_id")
        self.customer, self.instance, self.flow = (
            Record(got.get(name)) for name in ("customer", "instance", "flow")
        )
        at = got.get("started_at")
        self.started_at: datetime | None = datetime.fromisoformat(at) if isinstance(at, str) else at
        if str(self.body.content_type).lower().startswith("multipart/") and isinstance(self.body.data, dict):
            fields = {name: _parts(value) for name, value in self.body.data.items()}
            self.body = Part({**got["body"], "data": fields})

    def __getattr__(self, name: str) -> Any:
        # Only asked for names not set above: what an engine newer than this code also sends.
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"ctx.trigger has no {name!r}")

    def __repr__(self) -> str:
        return f"Trigger({', '.join(sorted(self._values))})"
