"""Trim an event's data to the fields that a webhook wants (SEEDS AF-18).

``include_fields`` keeps the named dotted paths and nothing else, ``exclude_fields`` takes the named ones away;
with both, exclusion comes second. Keys keep their order. A path goes through every element of an array, so that
excluding ``items.card`` leaves no card behind. What does not exist is not invented: a path that leads nowhere adds
nothing, not even its parents. The data itself is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.core.conditions import split_path
from hookline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FIELDS: Final = 256

# A path's tree: key to subtree; an empty subtree means the whole value.
_Tree = dict[str, "_Tree"]
# What is left of a value of which nothing was kept.
_NOTHING: Final[Any] = object()


def compile_filter(include: Any = None, exclude: Any = None, field: str = "filters") -> Callable[[Any], Any]:
    """Return a function from an event's decoded data to what the webhook gets of it.

    include, exclude: lists of dotted paths, None or empty for no such rule.  Raises InputError below ``field``.
    Data that is neither object nor array has no fields: an inclusion leaves ``{}`` of it.
    """
    kept = _tree(include, f"{field}.include_fields")
    dropped = _tree(exclude, f"{field}.exclude_fields")

    def trim(data: Any) -> Any:
        if kept:
            data = _keep(data, kept)
            if data is _NOTHING:
                data = {}
        return _drop(data, dropped) if dropped else data

    return trim


def _tree(paths: Any, field: str) -> _Tree:
    if paths is None:
        return {}
    if not isinstance(paths, list | tuple):
        raise InputError(
            "Fields are a list of dotted paths.", field=field, expected="array", received=type_name(paths)
        )
    if len(paths) > MOST_FIELDS:
        raise InputError(
            "There are too many fields.",
            field=field,
            expected=f"at most {MOST_FIELDS}",
            received=str(len(paths)),
        )
    root: _Tree = {}
    for index, path in enumerate(paths):
        node, keys = root, split_path(path, f"{field}.{index}")
        for position, key in enumerate(keys):
            is_last = position == len(keys) - 1
            child = node.get(key)
            if child == {}:
                break  # a shorter path takes the whole value already
            if is_last or child is None:
                child = node[key] = {}
            node = child
    return root


def _keep(value: Any, tree: _Tree) -> Any:
    kind = type(value)
    if kind is dict:
        result = {}
        for key, child in value.items():
            subtree = tree.get(key)
            if subtree is None:
                continue
            left = _keep(child, subtree) if subtree else child
            if left is not _NOTHING:
                result[key] = left
        return result or _NOTHING
    if kind is list:
        return [left for left in [_keep(child, tree) for child in value] if left is not _NOTHING]
    return _NOTHING


def _drop(value: Any, tree: _Tree) -> Any:
    kind = type(value)
    if kind is dict:
        return {
            key: _drop(child, tree[key]) if tree.get(key) else child
            for key, child in value.items()
            if tree.get(key) != {}
        }
    if kind is list:
        return [_drop(child, tree) for child in value]
    return value
