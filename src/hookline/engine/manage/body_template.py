"""The field ``template`` of a webhook: a ready-made one by name, or a text with its content type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import type_name
from hookline.dialects.templated import READY_MADE, BodyTemplate
from hookline.errors import InputError

if TYPE_CHECKING:
    from hookline.model.configuration import Webhook

_CONTENT_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}(?:; ?charset=utf-8)?", re.ASCII)
_EXPECTED: Final = f"one of {' '.join(READY_MADE)}, a text, or an object with text and content_type"


def template(value: Any) -> dict[str, Any]:
    """Return the fields of a webhook. None unsets it. Raises InputError."""
    if value is None:
        return {"template": None, "template_content_type": None}
    given = {"text": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise _bad("template", "A template is a name or a text.", _EXPECTED, type_name(value))
    for name in given:
        if name not in {"text", "content_type"}:
            raise InputError(
                f"There is no field 'template.{name[:40]}' here",
                code="UNKNOWN_FIELD",
                field=f"template.{name[:40]}",
                expected="text content_type",
                received=type_name(given[name]),
            )
    text, content_type = given.get("text"), given.get("content_type")
    field = "template" if isinstance(value, str) else "template.text"
    if not isinstance(text, str) or not text:
        raise _bad(field, "A template needs a text.", "string", "empty" if text == "" else type_name(text))
    if content_type is not None and (
        not isinstance(content_type, str) or _CONTENT_TYPE.fullmatch(content_type) is None
    ):
        raise _bad(
            "template.content_type",
            "This is not a content type.",
            "content type such as text/plain",
            type_name(content_type),
        )
    BodyTemplate(text, content_type, field=field)
    return {"template": text, "template_content_type": content_type}


def template_view(webhook: Webhook) -> Any:
    """In the form in which it was given, so that it can be written back."""
    if webhook.template_content_type is None:
        return webhook.template
    return {"text": webhook.template, "content_type": webhook.template_content_type}


def _bad(field: str, message: str, expected: str, received: str) -> InputError:
    return InputError(message, field=field, expected=expected, received=received)
