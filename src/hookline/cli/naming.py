"""Call webhooks by their names in lists of what belongs to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hookline.cli.client import Client

_MOST_NAMES: Final = 500
"""Webhooks that a list asks the names of; of one beyond them it shows the id, as of one that is deleted."""


def with_webhook_names(client: Client, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row, as ``webhook``, what the webhook of its ``webhook_id`` is called."""
    if not rows:
        return []
    webhooks = client.pages("/api/v1/webhooks", "webhooks", limit=_MOST_NAMES)
    names = {one["id"]: one["name"] for one in webhooks}
    return [row | {"webhook": names.get(row["webhook_id"], row["webhook_id"])} for row in rows]
