"""What a run made, as pages show it: pictures, films and sounds in place, all else as a link to fetch it.

A file is read by its signed link, on this very server whatever the link's host says: the policy of pages allows no
other. What a run made up is never a page of ours: the file's own answer says so, and nothing but these kinds is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN: Final = {
    **dict.fromkeys(("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"), "picture"),
    **dict.fromkeys(("video/mp4", "video/webm"), "film"),
    **dict.fromkeys(("audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm"), "sound"),
}
_MOST_ROWS: Final = 50


def shown_files(artifacts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each file with how it is shown, ``look``: picture, film, sound or None; and ``path``, its link without a host."""
    return [
        artifact
        | {
            "look": _SHOWN.get(artifact["content_type"].partition(";")[0].strip().lower()),
            "path": urlsplit(artifact["url"])._replace(scheme="", netloc="").geturl(),
        }
        for artifact in artifacts
    ]


def captured(output: Any) -> list[dict[str, Any]]:
    """What a robot captured, as tables: ``name``, ``columns``, ``rows`` of texts and ``more``, those not shown."""
    if not isinstance(output, dict):
        return []
    groups = [output.get(name) for name in ("captured_texts", "captured_lists")]
    return [
        table
        for group in groups
        if isinstance(group, dict)
        for name, rows in group.items()
        if (table := _table(name, rows)) is not None
    ]


def _table(name: str, rows: Any) -> dict[str, Any] | None:
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    columns = list(dict.fromkeys(column for row in rows[:_MOST_ROWS] for column in row))
    return {
        "name": name,
        "columns": columns,
        "rows": [[row.get(column) for column in columns] for row in rows[:_MOST_ROWS]],
        "more": max(0, len(rows) - _MOST_ROWS),
    }
