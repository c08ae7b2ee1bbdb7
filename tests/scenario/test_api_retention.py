"""How long an organization's things are kept, as it says itself, over a real node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from api_bed import Api, serving

if TYPE_CHECKING:
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

ROUTE = "/api/v1/settings/retention"
OF_SERVER = {"days": 30.0, "payload_days": 30.0, "held_days": 30.0}


async def test_wishes_are_kept_apart_by_organization_and_merged(store: Store) -> None:
    """What is left out stays, null unsets, and another organization's times are its own."""
    async with serving(store) as api:
        await api.organization("Other", "other")
        first = await api.admin("GET", ROUTE)
        await api.admin("PATCH", ROUTE, {"days": 7, "held_days": 2.5})
        both = await api.admin("PATCH", ROUTE, {"held_days": None, "payload_days": 3})
        shown = await api.admin("GET", ROUTE)
        other = await api.admin.having(Hookline_Organization="other")("GET", ROUTE)

    nothing: dict[str, Any] = dict.fromkeys(OF_SERVER)
    assert first.json == nothing | {"server": OF_SERVER, "in_force": OF_SERVER}
    assert both.json == {
        "days": 7,
        "payload_days": 3,
        "held_days": None,
        "server": OF_SERVER,
        "in_force": {"days": 7, "payload_days": 3, "held_days": 30},
    }
    assert shown.json == both.json
    assert other.json == first.json


@pytest.mark.parametrize("field", sorted(OF_SERVER))
@pytest.mark.parametrize("days", [0, -1, 0.5, 30.01, 1e300, "7", True])
async def test_what_the_server_does_not_allow_is_refused(store: Store, field: str, days: object) -> None:
    """400 with the field and its bounds; nothing is stored."""
    async with serving(store) as api:
        refused = await api.admin("PATCH", ROUTE, {field: days})
        shown = await api.admin("GET", ROUTE)

    assert refused.status == 400
    assert refused.json["error"]["details"]["field"] == field
    assert shown.json[field] is None


async def test_a_viewer_looks_and_an_operator_changes(store: Store) -> None:
    async with serving(store) as api:
        answers = [await _as(api, scope) for scope in ("read", "write", "trigger")]

    assert answers == [(200, 403), (200, 200), (403, 403)]


async def _as(api: Api, scope: str) -> tuple[int, int]:
    client = await api.client(scope)
    shown = await client("GET", ROUTE)
    changed = await client("PATCH", ROUTE, {"days": 9})
    return shown.status, changed.status
