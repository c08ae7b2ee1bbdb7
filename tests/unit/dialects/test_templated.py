"""Bodies that a template words (CONTRACT section 5: templates)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hookline.core.templates import TemplateFailedError
from hookline.dialects import Recipient
from hookline.dialects.templated import READY_MADE, BodyTemplate
from hookline.errors import InputError
from hookline.model.events import Event

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
ONE = Recipient(webhook_id="wh_1")


def event(type_: str = "order.created", data: bytes = b'{"n": 1.50}') -> Event:
    return Event(
        key=b"k" * 16, organization_id=b"o" * 16, type=type_, data=data, occurred_at=NOW, received_at=NOW
    )


def test_a_template_is_a_name_or_a_text() -> None:
    with pytest.raises(InputError) as caught:
        BodyTemplate("slakc", field="template")

    assert (caught.value.field, caught.value.received) == ("template", "slakc")
    assert all(name in str(caught.value.expected) for name in READY_MADE)


@pytest.mark.parametrize(
    ("wanted", "content_type", "kind"),
    [
        ('{"n":{{ data.n }}}', None, "application/json"),
        ("{{ data.n }}", "text/plain", "text/plain"),
        ("ntfy", None, "text/plain; charset=utf-8"),
        ("slack", None, "application/json"),
    ],
)
def test_a_text_is_json_unless_its_webhook_says_otherwise(
    wanted: str, content_type: str | None, kind: str
) -> None:
    made = BodyTemplate(wanted, content_type)

    assert made.content_type == kind
    assert repr(made) == f"BodyTemplate({kind})"


def test_json_goes_out_without_the_spaces_of_its_layout() -> None:
    layout = '\n{\n  "n": {{ data.n | json }}\n}\n'

    assert BodyTemplate(layout).body(event(), ONE) == b'{"n":1.5}'
    assert BodyTemplate(layout, "text/plain").body(event(), ONE) == b'{\n  "n": 1.5\n}'


def test_what_is_to_be_json_and_is_not_fails() -> None:
    """The delivery fails and says why; nothing else is sent in its place."""
    with pytest.raises(TemplateFailedError, match="What the template made is no JSON"):
        BodyTemplate("{{ data.n }} apples").body(event(), ONE)


@pytest.mark.parametrize(
    ("type_", "tag"),
    [
        ("order.created", "bell"),
        ("workflow.execution.failed", "rotating_light"),
        ("delivery.exhausted", "rotating_light"),
        ("webhook.disabled", "rotating_light"),
    ],
)
def test_a_notification_has_a_title_and_shows_failures(type_: str, tag: str) -> None:
    assert BodyTemplate("ntfy").event_headers(event(type_)) == [
        ("Hookline-Event", type_),
        ("Title", type_),
        ("Tags", tag),
    ]
    assert BodyTemplate("slack").event_headers(event(type_)) == [("Hookline-Event", type_)]
