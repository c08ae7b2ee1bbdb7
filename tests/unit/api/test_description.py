"""``/openapi.json`` is valid, and says of every route enough for a client to be made of it (issue 6, item 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from described import document
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from hookline.api.documented import WORDS, refusals, shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_OTHERS = re.compile(
    r"/metrics|/healthz|/trigger/.*|/results/.*|/payloads/.*|.*/artifacts/.*|.*/(body|output|progress|follow)"
    r"|/api/v1/executions/.*/events|.*/schemas?(/movie)?"
)
"""Paths whose answers are text, a stream, or what somebody else made."""


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def answers(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        if status < "300" and status != "204":
            yield status, answer.get("content", {}).get("application/json", {})


def fits(value: Any, schema: dict[str, Any]) -> bool:
    return bool(
        Draft202012Validator({**schema, "components": document()["components"]}).is_valid(value),
    )


def test_the_description_is_valid() -> None:
    """OpenAPI 3.1, by the validator of its community."""
    OpenAPIV31SpecValidator(document()).validate()


def test_every_operation_has_a_short_name_of_its_own() -> None:
    """Generated clients name their functions so."""
    names = [operation["operationId"] for _, operation in operations()]

    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]{2,40}", name)] == []


def test_every_route_says_how_it_refuses_and_no_other_is_spoken_of() -> None:
    described = dict(operations())

    assert refusals().keys() == described.keys()
    assert shapes()["routes"].keys() <= described.keys()
    for route, by_status in refusals().items():
        responses = described[route]["responses"]
        assert {status for status in responses if status >= "400"} >= by_status.keys() <= WORDS.keys()
        assert not {"4XX", "422"} & responses.keys()


def test_every_answer_in_json_has_a_shape_and_an_example_that_fits_it() -> None:
    for route, operation in operations():
        if OF_OTHERS.fullmatch(route.partition(" ")[2]) is None:
            for status, answer in answers(operation):
                assert "schema" in answer, f"{route} {status}"
                assert "example" in answer, f"{route} {status}"
                assert fits(answer["example"], answer["schema"]), f"{route} {status}"


def test_every_body_has_an_example_that_is_accepted() -> None:
    for route, operation in operations():
        asked = operation.get("requestBody", {})
        body = asked.get("content", {}).get("application/json")
        if asked.get("required") and body is not None:
            assert "example" in body, route
            assert fits(body["example"], body["schema"]), route


@pytest.mark.parametrize("secret", ["whsec_", "whsk_"])
def test_examples_hold_no_secret(secret: str) -> None:
    told = re.findall(rf"{secret}[A-Za-z0-9+/]{{8}}", str(shapes()))

    assert told == []
