"""Templates of bodies: what they may say, what they may cost, and that nothing of Python is within their reach."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.canonical import parse_numbers
from hookline.core.templates import FILTERS, Template, TemplateFailedError
from hookline.errors import InputError

EVENT = {"id": "evt_1", "type": "order.paid", "timestamp": "2026-01-15T12:00:00.000Z", "is_failure": False}
DATA: dict[str, Any] = {
    "total": 12.0,
    "note": '<b> & "Zoë"\n',
    "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}],
    "customer": {"name": "Ann", "vip": None},
}


def rendered(text: str, data: Any = DATA) -> str:
    read = parse_numbers(json.dumps(data).encode())
    return Template(text).render(event=EVENT, data=read, webhook={"id": "wh_1"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ data.a }} {{ data.b }} {{ data.all }}", '1 1e-7 [1,1e-7,{"c":2.5}]'),
        ("{% if data.a == 1 and data.b < 0.1 and data.b is number %}yes{% endif %}", "yes"),
        ("{% if data.zero %}yes{% else %}no{% endif %}", "no"),
        ("{{ data.big }} {{ data.all | join(' ') }}", '9007199254740992 1 1e-7 {"c":2.5}'),
    ],
)
def test_numbers_are_printed_as_javascript_does_and_compared_as_numbers(text: str, said: str) -> None:
    """AF-X1: what a template prints reads back as what the event said."""
    data = {"a": 1.0, "b": 1e-7, "zero": 0.0, "all": [1.0, 1e-7, {"c": 2.5}], "big": 9007199254740993}

    assert rendered(text, data) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ event.type }} {{ event.id }} {{ webhook.id }}", "order.paid evt_1 wh_1"),
        ("{{ data.total }} {{ data.customer }} {{ true }}", '12 {"name":"Ann","vip":null} true'),
        ("[{{ data.customer.vip }}{{ data.nothing.at.all }}{{ data['no'] }}]", "[]"),
        ("{{ data.items[1].sku }}{{ data.items[9].sku }}", "b"),  # a member, never a method of dict
        ("{{ data.note | json }}", '"<b> & \\"Zoë\\"\\n"'),
        ('"{{ data.note | escaped }}"', '"<b> & \\"Zoë\\"\\n"'),
        ("{{ data.note | slack | trim }}", '&lt;b&gt; &amp; "Zoë"'),
        ("{{ data.nothing | json }} {{ data.items | length }}", "null 2"),
        ("{{ data.customer.name | upper | lower | truncate(2) }}", "a\N{HORIZONTAL ELLIPSIS}"),
        ("{{ data.customer.vip | default('no') }}{{ data.customer.name | default('no') }}", "noAnn"),
        ("{% for a in data.items %}{{ loop.index }}{{ a.sku }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b"),
        ("{% for name, value in data.customer | items %}{{ name }}={{ value }};{% endfor %}", "name=Ann;vip=;"),
        ("{% for one in data.items if one.n > 1 %}{{ one.sku }}{% else %}none{% endfor %}", "b"),
        ("{% for one in data.nothing %}x{% else %}none{% endfor %}", "none"),
        ("{% if data.total >= 12 and event.id == 'evt_1' %}big{% elif 1 == 2 %}{% else %}small{% endif %}", "big"),
        ("{{ 'vip' if data.customer.vip is none else 'no' }}", "vip"),
        ("{{ data.items | take(1) | json }}", '[{"sku":"a","n":1}]'),
        ("{{ data.total | default(0) }}{# a remark #}", "12"),
    ],
)  # fmt: skip
def test_a_template_words_an_event(text: str, said: str) -> None:
    assert rendered(text) == said


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{{ data.note.upper() }}", "call"),
        ("{{ ''.__class__.__mro__ }}{{ cycler }}", "cycler"),
        ("{{ self }}", "self"),
        ("{{ lipsum }}", "lipsum"),
        ("{{ loop.index }}", "loop"),
        ("{% set a = 1 %}", "assign"),
        ("{% set a %}x{% endset %}", "assign block"),
        ("{{ 'a' * 1000000000 }}", "mul"),
        ("{{ 'a' ~ 'b' }}", "concat"),
        ("{{ 2 ** 1000000 }}", "pow"),
        ("{{ '%1000000000d' % 1 }}", "mod"),
        ("{{ 'a' in data }}", "in"),
        ("{{ data | attr('items') }}", "attr"),
        ("{{ data | map('upper') }}", "map"),
        ("{{ data is callable }}", "callable"),
        ("{% for a in data recursive %}{{ loop(a) }}{% endfor %}", "recursive"),
        ("{% include 'x' %}", "include"),
        ("{% import 'x' as y %}", "import"),
        ("{% extends 'x' %}", "extends"),
        ("{% block a %}{% endblock %}", "block"),
        ("{% macro a() %}{% endmacro %}", "macro"),
        ("{% filter upper %}a{% endfilter %}", "filter block"),
        ("{% with a = 1 %}{% endwith %}", "with"),
        ("{% for a in data %}" * 4 + "{% endfor %}" * 4, "loops"),
        ("{{ data", "end of"),
        ("{% if %}", "Line 1"),
        ("line one\n{{ nobody }}", "Line 2"),
        ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "deep"),
        ("{{ " + "9" * 5000 + " }}", "too long"),
        ("{{ data.a }}" * 1200, "too large"),
        ("x" * 16_385, "16384"),
    ],
)
def test_what_is_not_of_the_language_is_refused_when_it_is_saved(text: str, word: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text)

    assert (caught.value.code, caught.value.field) == ("TEMPLATE_INVALID", "template")
    assert word in caught.value.message


LARGE = {"rows": [{"a": "x" * 10, "b": n} for n in range(3000)], "text": "y" * 200_000}


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in data.rows %}{% for b in data.rows %}{{ b.b }}{% endfor %}{% endfor %}",
        "{% for a in data.rows %}{% for b in data.rows %}{% endfor %}{% endfor %}",
        "{% for a in data.rows %}{{ data | json | length }}{% endfor %}",
        "{% for a in data.rows %}{{ data.text }}{% endfor %}",
        "{% for a in data.rows if data.text | upper | length > 1 %}{% endfor %}",
        "{{ data.text | upper | lower | upper | lower | upper }}",
        "{{ data.text | upper | length }}" * 300,
        "{{ data.rows }}{{ data.text }}",
        "{% if data.rows == data.rows %}{% endif %}",
        "{{ data.rows | join(data.text) }}",
    ],
)
def test_a_costly_template_fails_instead_of_taking_its_time(text: str) -> None:
    """P22: bounded by steps, whatever the event holds; the message holds nothing of the event."""
    template = Template(text)

    with pytest.raises(TemplateFailedError) as caught:
        template.render(event=EVENT, data=LARGE, webhook={})
    assert "yyy" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in event.type %}{% endfor %}",
        "{{ data.note < 5 }}",
        "{{ data.note | truncate('x') }}",
        "{{ data.note | truncate(1, 2, 3) }}",
        "{% for a, b in data.items %}{{ a }}{% endfor %}",
        "{% for a in data.items %}{{ loop }}{% endfor %}",
    ],
)
def test_what_fails_with_an_event_is_one_kind_of_error(text: str) -> None:
    template = Template(text)

    try:
        template.render(event=EVENT, data=DATA, webhook={})
    except TemplateFailedError as exc:
        assert "Zoë" not in str(exc)  # noqa: PT017 -- some of them render, and that is fine
    else:
        assert text == "{% for a, b in data.items %}{{ a }}{% endfor %}"


def test_no_attribute_of_a_python_object_is_within_reach() -> None:
    """PROMISES section 2: payloads and templates never reach Python."""
    names = [
        "__class__",
        "__globals__",
        "__init__",
        "keys",
        "values",
        "pop",
        "copy",
        "encode",
        "format",
        "mro",
        "func_globals",
    ]
    for name in names:
        for source in ("data", "data.items", "event.type", "data.note", "webhook", "none", "1.5"):
            assert rendered(f"{{{{ {source}['{name}'] }}}}") == ""
            if source != "1.5":
                assert rendered(f"{{{{ {source}.{name} }}}}") == ""


def test_the_filters_are_these_and_none_of_jinjas() -> None:
    theirs = set(jinja2.Environment().filters)

    assert set(FILTERS) == {
        "default", "escaped", "items", "join", "json", "length", "lower", "slack", "take", "tojson", "trim",
        "truncate", "upper",
    }  # fmt: skip
    for name in sorted(theirs - set(FILTERS)):
        with pytest.raises(InputError):
            Template(f"{{{{ data | {name} }}}}")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_and_escaped_survive_every_value(data: Any) -> None:
    """A template with these two filters makes JSON whatever it is given."""
    text = rendered(
        '{"whole": {{ data | json }}, "inside": "a {{ data | escaped }} b", "slack": {{ data | slack | json }}}',
        data,
    )
    found = json.loads(text)

    assert found["whole"] == data or isinstance(data, float | dict | list | int)
    assert found["inside"].startswith("a ")


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    for around in ("{}", "{{{{{}}}}}", "{{%{}%}}", "{{{{ data.{} }}}}", "{{{{ data | {} }}}}"):
        try:
            Template(around.format(text))
        except InputError as exc:
            assert exc.code == "TEMPLATE_INVALID"  # noqa: PT017 -- what matters is that no other comes


def test_what_a_template_would_take_is_refused_before_it_is_taken() -> None:
    """A long text between thousands of items is paid for before it is joined."""
    data = {"rows": list(range(3000)), "text": "y" * 100_000}
    template = Template("{{ data.rows | join(data.text) }}")

    tracemalloc.start()
    try:
        with pytest.raises(TemplateFailedError):
            template.render(event=EVENT, data=data, webhook={})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5_000_000  # joined, it would be 300 MB


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ data.list | join(', ') }}", "a, 1, true"),
        ("{{ data.list | join }}", "a1true"),
        ("{{ data.text | join(', ') }}", "abc"),
        ("{{ data.none | join(', ') }}", ""),
    ],
)
def test_join_puts_the_items_of_a_list_together_and_leaves_the_rest(text: str, said: str) -> None:
    data = {"list": ["a", 1, True], "text": "abc", "none": None}

    assert Template(text).render(event={}, data=data, webhook={}) == said


def test_a_template_does_not_show_its_text() -> None:
    """It may hold a secret."""
    assert repr(Template("{{ data.CANARY }}")) == "Template(…)"
