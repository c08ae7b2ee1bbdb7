"""Bodies by a template: for chats and phones, which read words of their own and no system's events.

A webhook's ``template`` is the name of one below, or its owner's text. It takes the place of the dialect's body and
content type; schedule, signature and headers stay the dialect's. A body that is said to be JSON must be JSON.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from hookline.core.canonical import faithful, parse_numbers
from hookline.core.templates import Template, TemplateFailedError
from hookline.core.times import rfc3339
from hookline.dialects.base import HeaderList, Recipient, type_header
from hookline.errors import InputError
from hookline.model.ids import public

if TYPE_CHECKING:
    from hookline.model.events import Event

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# https://docs.slack.dev/reference/block-kit: a header has 150 characters, a field 2,000, a section ten fields.
_SLACK: Final = """\
{"text": {{ event.type | slack | json }}, "blocks": [
  {"type": "header", "text": {"type": "plain_text", "text": {{ event.type | truncate(150) | json }}, "emoji": false}},
{% if data | items %}
  {"type": "section", "fields": [
{% for name, value in data | items | take(10) %}
    {"type": "mrkdwn", "text":
     "*{{ name | truncate(100) | slack | escaped }}*\\n{{ value | truncate(300) | slack | escaped }}"}
{%- if not loop.last %},{% endif %}

{% endfor %}
  ]},
{% elif data is not none and data | json != "{}" %}
  {"type": "section", "text": {"type": "mrkdwn", "text": {{ data | truncate(500) | slack | json }}}},
{% endif %}
  {"type": "context", "elements": [{"type": "mrkdwn", "text": {{ event.id | slack | json }}}]}
]}
"""

# https://discord.com/developers/docs/resources/message: 25 fields, names of 256 and values of 1,024 characters.
_DISCORD: Final = """\
{"allowed_mentions": {"parse": []}, "embeds": [{
  "title": {{ event.type | truncate(256) | json }},
  "color": {% if event.is_failure %}15158332{% else %}3066993{% endif %},
  "timestamp": {{ event.timestamp | json }},
{% if data | items %}
  "fields": [
{% for name, value in data | items | take(25) %}
    {"name": {{ name | default("-") | truncate(200) | json }},
     "value": {{ value | default("-") | truncate(200) | json }}, "inline": true}
{%- if not loop.last %},{% endif %}

{% endfor %}
  ],
{% elif data | json != "{}" %}
  "description": {{ data | truncate(2000) | json }},
{% endif %}
  "footer": {"text": {{ event.id | json }}}
}]}
"""

# The trigger "When a Teams webhook request is received" of Workflows takes a message with an adaptive card.
_TEAMS: Final = """\
{"type": "message", "attachments": [{
  "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": {
    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
    "body": [
      {"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true,
       "color": "{% if event.is_failure %}Attention{% else %}Default{% endif %}",
       "text": {{ event.type | truncate(200) | json }}},
{% if data | items %}
      {"type": "FactSet", "facts": [
{% for name, value in data | items | take(20) %}
        {"title": {{ name | truncate(100) | json }}, "value": {{ value | truncate(500) | json }}}
{%- if not loop.last %},{% endif %}

{% endfor %}
      ]},
{% elif data | json != "{}" %}
      {"type": "TextBlock", "wrap": true, "text": {{ data | truncate(2000) | json }}},
{% endif %}
      {"type": "TextBlock", "size": "Small", "isSubtle": true, "wrap": true,
       "text": {{ event.id | json }}}
    ]
  }
}]}
"""

# https://docs.ntfy.sh/publish: a message has 4,096 bytes; its title goes in a header.
_NTFY: Final = """\
{% if data | items %}
{% for name, value in data | items | take(15) %}
{{ name | truncate(60) }}: {{ value | truncate(150) }}
{% endfor %}
{% elif data | json != "{}" %}
{{ data | truncate(800) | default("-") }}
{% else %}
-
{% endif %}
"""

READY_MADE: Final[dict[str, tuple[str, str]]] = {
    "slack": (_SLACK, JSON),
    "discord": (_DISCORD, JSON),
    "teams": (_TEAMS, JSON),
    "ntfy": (_NTFY, TEXT),
}
"""Name to text and content type."""

_FAILURES: Final = (".failed", ".exhausted", ".disabled")


class BodyTemplate:
    """What a webhook with a template sends. Raises InputError for what is none.

    wanted: a name of those above, or a text.  content_type: of a text; None for JSON.
    """

    __slots__ = ("_has_title", "_template", "content_type")

    def __init__(self, wanted: str, content_type: str | None = None, *, field: str = "template") -> None:
        text, own = READY_MADE.get(wanted, (wanted, JSON))
        if wanted not in READY_MADE and "{" not in wanted:
            raise InputError(
                "There is no such template.",
                field=field,
                expected=f"one of {' '.join(READY_MADE)}, or a text with {{{{ values }}}}",
                received=wanted[:40],
            )
        self.content_type = content_type or own
        self._template = _compiled(text, field)
        self._has_title = wanted == "ntfy"

    def __repr__(self) -> str:
        return f"BodyTemplate({self.content_type})"

    def body(self, event: Event, to: Recipient) -> bytes:
        """The exact bytes to send: a pure function like any dialect's. Raises TemplateFailedError."""
        data = parse_numbers(event.data)
        text = self._template.render(
            event=_facts(event),
            data=data if to.trim is None else to.trim(data),
            webhook={"id": to.webhook_id},
        )
        body = text.strip().encode()
        return _as_json(body) if self.content_type.partition(";")[0].endswith("json") else body

    def event_headers(self, event: Event) -> HeaderList:
        """The event's type, which the body need not tell; what shows as a title where there are titles."""
        name, value = type_header(event)
        if not self._has_title:
            return [(name, value)]
        return [(name, value), ("Title", value), ("Tags", "rotating_light" if _is_failure(event) else "bell")]


@lru_cache(maxsize=256)
def _compiled(text: str, field: str) -> Template:
    return Template(text, field=field)


def _facts(event: Event) -> dict[str, Any]:
    return {
        "id": event.public_id,
        "type": event.type,
        "timestamp": rfc3339(event.occurred_at),
        "execution_id": None if event.execution_id is None else public("execution", event.execution_id),
        "sequence": event.sequence or None,
        "is_failure": _is_failure(event),
    }


def _is_failure(event: Event) -> bool:
    return event.type.endswith(_FAILURES)


def _as_json(body: bytes) -> bytes:
    """The same JSON without the spaces that a template is laid out with."""
    try:
        return faithful(body)
    except InputError as exc:
        raise TemplateFailedError(f"What the template made is no JSON. {exc.message}") from exc
