"""Where a request names its flow and its customer."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.core.routing import parse_field, resolve

PAYLOAD: dict[str, Any] = {
    "headers": {"x-flow": "orders", "x.dotted": "dot"},
    "query_parameters": {"tenant": "t-1", "twice": ["a", "b"]},
    "path_fragment": "my/custom/path",
    "body": {
        "data": {"tenant": {"id": 17}, "flags": [True, {"name": "n"}], "ratio": 1.5, "none": None, "": "e"}
    },
}


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("headers.x-flow", "orders"),
        ("headers.X-Flow", "orders"),
        ("headers.x.dotted", "dot"),
        ("payload.headers.x-flow", "orders"),
        ("results.headers.x-flow", "orders"),
        ("payload.results.body.data.tenant.id", "17"),
        ("body.data.flags.1.name", "n"),
        ("queryParameters.tenant", "t-1"),
        ("query_parameters.twice.1", "b"),
        ("path_fragment", "my/custom/path"),
        ("body.data.flags.0", None),
        ("body.data.flags.2", None),
        ("body.data.flags.-1", None),
        ("body.data.ratio", None),
        ("body.data.none", None),
        ("body.data.tenant", None),
        ("body.data.tenant.id.more", None),
        ("headers.absent", None),
        ("body.content_type", None),
    ],
)
def test_a_field_leads_to_a_name_or_to_none(field: str, name: str | None) -> None:
    """PR-16: ``headers.x-flow``, ``body.data.tenant``; what is no text or whole number names nothing."""
    assert resolve(field, PAYLOAD) == name


def test_a_name_has_a_bound() -> None:
    """A megabyte of customer id is nobody's."""
    assert resolve("headers.x", {"headers": {"x": "n" * 256}}) == "n" * 256
    assert resolve("headers.x", {"headers": {"x": "n" * 257}}) is None


@pytest.mark.parametrize("body", [b"bytes", [1, 2], "text", None, 7, {"data": b"\x00"}])
def test_a_body_of_any_shape_names_nothing_and_raises_nothing(body: Any) -> None:
    """PR-X8: what cannot be routed is unroutable, never an error."""
    assert resolve("body.data.tenant", {"body": body}) is None


@pytest.mark.parametrize(
    "field", ["", "headers", "headers.", "cookies.x", "body..x", "payload", "path_fragment.x"]
)
def test_a_field_that_leads_nowhere_is_refused_when_declared(field: str) -> None:
    with pytest.raises(ValueError, match=r"must|has no fields"):
        parse_field(field)
