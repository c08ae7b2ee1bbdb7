"""What an event that somebody publishes must be (CONTRACT section 2: events)."""

from __future__ import annotations

import pytest

from hookline.core.own_events import check_own_event
from hookline.errors import InputError


@pytest.mark.parametrize(
    ("type_", "id_", "key"),
    [
        ("t", None, None),
        ("~" * 200, "i" * 128, "k" * 200),
        ("order.created", "evt_1.a:b-c", "größe 7"),
    ],
)
def test_what_fits_passes(type_: str, id_: str | None, key: str | None) -> None:
    check_own_event(type_, id=id_, ordering_key=key)


@pytest.mark.parametrize(
    ("type_", "id_", "key", "field"),
    [
        ("", None, None, "type"),
        ("t" * 201, None, None, "type"),
        ("a b", None, None, "type"),
        ("order.*", None, None, "type"),
        ("größe", "no id", None, "type"),
        ("t", "", None, "id"),
        ("t", "i" * 129, None, "id"),
        ("t", "a/b", "\n", "id"),
        ("t", "i", "", "ordering_key"),
        ("t", None, "k" * 201, "ordering_key"),
        ("t", None, "a\x00b", "ordering_key"),
        ("t", None, "a\x7fb", "ordering_key"),
    ],
)
def test_the_first_text_that_does_not_fit_is_named(
    type_: str, id_: str | None, key: str | None, field: str
) -> None:
    """AF-5."""
    with pytest.raises(InputError) as alone:
        check_own_event(type_, id=id_, ordering_key=key)
    with pytest.raises(InputError) as listed:
        check_own_event(type_, id=id_, ordering_key=key, at="events.3")

    assert (alone.value.field, listed.value.field) == (field, f"events.3.{field}")
    assert (alone.value.received, alone.value.message) == (
        "string",
        f"Field '{field}' must be {alone.value.expected}",
    )
