"""Carry bytes through JSON, so that nothing a caller sent can pass for bytes.

Bytes are written ``{"$base64": "…"}``, and those that are kept elsewhere ``{"$blob": "…"}``: an id in what is stored,
the path of a file in what a run is given. An object of a caller's that has exactly such a form is written inside
``{"$plain": …}``, and comes out as the object that it is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES: Final = "$base64"
BLOB: Final = "$blob"
PLAIN: Final = "$plain"
_OURS: Final = frozenset({BYTES, BLOB, PLAIN})


class Kept(NamedTuple):
    """Bytes that are kept elsewhere. id: of the blob.  size: how many they are."""

    id: str
    size: int


def wrapped(value: Any) -> Any:
    """Return a value of JSON's types and bytes as one of JSON's types alone."""
    if isinstance(value, bytes | bytearray):
        return {BYTES: b64encode(value).decode("ascii")}
    if isinstance(value, Kept):
        return {BLOB: value.id}
    if isinstance(value, dict):
        found = {name: wrapped(item) for name, item in value.items()}
        return {PLAIN: found} if len(found) == 1 and not _OURS.isdisjoint(found) else found
    if isinstance(value, list | tuple):
        return [wrapped(item) for item in value]
    return value


def unwrapped(value: Any) -> Any:
    """Return what ``wrapped`` was given, the text of the reference for bytes that are kept elsewhere. Raises ValueError
    for what it never returns.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, item),) = value.items()
            if name == BYTES and isinstance(item, str):
                return b64decode(item, validate=True)
            if name == BLOB and isinstance(item, str):
                return item
            if name == PLAIN and isinstance(item, dict):
                return {key: unwrapped(inner) for key, inner in item.items()}
        return {name: unwrapped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unwrapped(item) for item in value]
    return value


def blob_ids(value: Any) -> set[str]:
    """Return the ids of all blobs that a wrapped value refers to."""
    if isinstance(value, dict):
        if value.keys() == {BLOB} and isinstance(value[BLOB], str):
            return {value[BLOB]}
        if value.keys() == {PLAIN} and isinstance(value[PLAIN], dict):
            value = value[PLAIN]
        return {id_ for item in value.values() for id_ in blob_ids(item)}
    if isinstance(value, list):
        return {id_ for item in value for id_ in blob_ids(item)}
    return set()


def located(value: Any, paths: Mapping[str, str]) -> Any:
    """Return a wrapped value in which each reference to a blob is the path of its file. paths: by id."""
    if isinstance(value, dict):
        if value.keys() == {BLOB} and isinstance(value[BLOB], str):
            return {BLOB: paths[value[BLOB]]}
        if value.keys() == {PLAIN} and isinstance(value[PLAIN], dict):
            return {PLAIN: {name: located(item, paths) for name, item in value[PLAIN].items()}}
        return {name: located(item, paths) for name, item in value.items()}
    if isinstance(value, list):
        return [located(item, paths) for item in value]
    return value


def must_be_wrapped(value: Any) -> bool:
    """Say whether a value of JSON's types holds an object that would be read as something else."""
    if isinstance(value, dict):
        return (len(value) == 1 and not _OURS.isdisjoint(value)) or any(map(must_be_wrapped, value.values()))
    return isinstance(value, list) and any(map(must_be_wrapped, value))
