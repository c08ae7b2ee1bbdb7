"""Movies with blanks on a real node, over both stores: stored once, filled and rendered for each job (PF-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from render_bed import HELLO, ended, new_uuid, small, submit
from world import Answer, World, database_of, world

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("renders")
    with world(database_of(request, folder), folder, TMPDIR=str(folder)) as found:
        yield found


def template(one: World, *, is_public: bool = False, **more: Any) -> dict[str, Any]:
    element = HELLO | {"text": "{{greeting}}", "font_size": 12}
    script = small(scenes=[{"duration": "{{seconds}}", "elements": [element]}])
    answer = one(
        "POST", "/api/templates", {"name": "Hello", "script": script, "is_public": is_public}, **more
    )
    assert answer.status == 201, answer
    return dict(answer.json)


def test_a_template_is_filled_and_rendered(one: World) -> None:
    """PF-10: stored once; each job names it with its variables, and is a job like any other."""
    stored = template(one)
    job_id = submit(
        one,
        {
            "template_id": stored["template_id"],
            "variables": {"greeting": "Hi", "seconds": 1},
            "metadata": {"order": 9},
        },
        "/api/render/template",
    )
    job = ended(one, job_id)
    shown = one("GET", f"/api/templates/{stored['template_id']}").json

    assert stored["variables"] == ["greeting", "seconds"] or stored["variables"] == ["seconds", "greeting"]
    assert (job["status"], job["duration_seconds"], job["metadata"]) == ("completed", 1.0, {"order": 9})
    assert shown["script"]["scenes"][0]["duration"] == "{{seconds}}"
    assert stored["template_id"] in {
        each["template_id"] for each in one("GET", "/api/templates").json["templates"]
    }


def test_a_template_that_cannot_be_filled_says_where(one: World) -> None:
    """PF-9, PF-10: nothing is rendered; the path names the variable, or the field that it made wrong."""
    id_ = template(one)["template_id"]
    asked = [
        ({"template_id": id_}, 400, "VALIDATION_ERROR", "variables.greeting"),
        (
            {"template_id": id_, "variables": {"greeting": "a", "seconds": 1, "more": 1}},
            400,
            "VALIDATION_ERROR",
            "variables.more",
        ),
        (
            {"template_id": id_, "variables": {"greeting": "a", "seconds": "long"}},
            400,
            "SCHEMA_VALIDATION_ERROR",
            "scenes.0.duration",
        ),
        ({"template_id": f"tpl_{new_uuid()}"}, 404, "TEMPLATE_NOT_FOUND", "template_id"),
        ({"template_id": "tpl_1"}, 404, "TEMPLATE_NOT_FOUND", "template_id"),
    ]
    for body, status, code, path in asked:
        answer = one("POST", "/api/render/template", body)
        assert (answer.status, answer.json["error"]["code"], answer.json["error"]["path"]) == (
            status,
            code,
            path,
        )
    refused = one("POST", "/api/templates", {"name": "x", "script": "{{a}}"})
    assert (refused.status, refused.json["error"]["path"]) == (400, "script")


def test_a_template_of_another_organization_is_missing_unless_it_is_public(one: World) -> None:
    """P14, PF-10: a public one may be rendered by all, and deleted by its own organization alone."""
    made = one("POST", "/api/v1/organizations", {"name": "Other", "external_id": f"other-{new_uuid()}"})
    other = {"Hookline-Organization": made.json["id"]}
    hidden, shared = template(one), template(one, is_public=True)
    values = {"variables": {"greeting": "Hi", "seconds": 1}}

    def render(stored: dict[str, Any]) -> Answer:
        body = values | {"template_id": stored["template_id"]}
        return one("POST", "/api/render/template", body, **other)

    assert render(hidden).status == 404
    assert render(shared).status == 202
    assert one("GET", f"/api/templates/{hidden['template_id']}", **other).status == 404
    assert one("DELETE", f"/api/templates/{shared['template_id']}", **other).status == 404
    assert one("DELETE", f"/api/templates/{shared['template_id']}").status == 204
    assert render(shared).status == 404
