from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hookline.core.times import parse_rfc3339, rfc3339
from hookline.errors import InputError


def test_instants_are_written_in_utc_with_milliseconds_and_z() -> None:
    """CONTRACT section 2."""
    assert rfc3339(datetime(2024, 1, 15, 10, 30, tzinfo=UTC)) == "2024-01-15T10:30:00.000Z"
    assert rfc3339(datetime(2024, 1, 15, 10, 30, 1, 999_999, tzinfo=UTC)) == "2024-01-15T10:30:01.999Z"
    berlin = timezone(timedelta(hours=1))
    assert rfc3339(datetime(2024, 1, 15, 0, 30, tzinfo=berlin)) == "2024-01-14T23:30:00.000Z"


def test_an_instant_without_zone_is_our_bug() -> None:
    with pytest.raises(ValueError, match="zone"):
        rfc3339(datetime(2024, 1, 15))  # noqa: DTZ001 -- the point of the test


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15t10:30:00z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T10:30:00.1Z", "2024-01-15T10:30:00.100Z"),
        ("2024-01-15T10:30:00.123999999Z", "2024-01-15T10:30:00.123Z"),
        ("2024-01-15T10:30:00+05:30", "2024-01-15T05:00:00.000Z"),
        ("2024-01-15T10:30:00-08:00", "2024-01-15T18:30:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
    ],
)
def test_every_rfc_3339_time_is_read(text: str, written: str) -> None:
    assert rfc3339(parse_rfc3339(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-15",
        "2024-01-15T10:30:00",
        "2024-01-15 10:30:00Z",
        "20240115T103000Z",
        "2024-W03-1T10:30:00Z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-15T24:00:00Z",
        "2024-01-15T10:30:61Z",
        "2024-01-15T10:30:00+24:00",
        "2024-01-15T10:30:00+01:60",
        "2024-01-15T10:30:00.Z",
        "2024-01-15T10:30:00Z\n",
        "٢٠٢٤-01-15T10:30:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
    ],
)
def test_anything_else_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rfc3339(text, field="timestamp")

    assert caught.value.field == "timestamp"
