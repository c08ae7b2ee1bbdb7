"""The words of the Prismatic profile, byte for byte (SEEDS PR-2, PR-5, PR-6, PR-7)."""

from __future__ import annotations

import pytest

from hookline.api import prismatic
from hookline.model.ids import new_key

PRINTED = (
    "SW5zdGFuY2VFeGVjdXRpb25SZXN1bHQ6OTdiNWQxYmEtZGUyZi00ZDY4LWIyMTgtMDFlZGMwMTQxNTM5",
    "SW5zdGFuY2VFeGVjdXRpb25SZXN1bHQ6NTM5ZGE0YjItNDViMC00MDQxLTg3MTgtMzFhZDkwMDg1Y2Iw",
)
"""Of the seed's answer and of its 400."""


@pytest.mark.parametrize("printed", PRINTED)
def test_pr2_an_id_has_the_form_that_the_seed_prints(printed: str) -> None:
    key = prismatic.parse_execution_id(printed)

    assert key is not None
    assert prismatic.execution_id(key) == printed
    assert prismatic.executed(key) == b'{"executionId":"%b"}' % printed.encode()


@pytest.mark.parametrize("other", ["", "%%", "AAAA", "T3RoZXI6eA==", "SW5zdGFuY2VFeGVjdXRpb25SZXN1bHQ6eA=="])
def test_what_is_no_such_id_names_nothing(other: str) -> None:
    assert prismatic.parse_execution_id(other) is None


def test_pr5_and_pr6_are_the_bytes_of_the_seed() -> None:
    assert len(prismatic.MALFORMED) == 44
    assert len(prismatic.thrown("The widget requested is not in the database")) == 55


def test_pr7_is_the_text_of_the_seed() -> None:
    assert prismatic.throttled("example==", 50.0) == (
        b'{"error":"Endpoint with id: example== has exceeded maximum allowed throughput of 50 requests/second. '
        b'Please throttle your requests."}'
    )


def test_pr2_the_header_names_the_execution() -> None:
    key = new_key()

    headers = dict(prismatic.headers_of(key, "POST"))

    assert headers[b"prismatic-executionid"].decode() == prismatic.execution_id(key)
    assert headers[b"access-control-allow-methods"] == b"POST"
