"""Forms that settle how things are for an organization: its customers' instances, and how long things are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from browser_bed import SCRIPT
from playwright.sync_api import expect

if TYPE_CHECKING:
    from browser_bed import Visitor
    from world import World


def test_an_instance_is_made_configured_and_given_a_key(site: World, visitor: Visitor) -> None:
    """Every value of the integration has a field; a secret is kept where its field stays empty, and never shown."""
    page = visitor.go("/ui/instances")
    page.get_by_role("row").filter(has_text="acme").get_by_role("link", name="New instance").click()
    page.get_by_label("Customer", exact=True).fill("c-9")
    page.get_by_label("Name of the customer").fill(SCRIPT[:90])
    page.get_by_label("limit").fill("many")
    page.get_by_label("token").fill("very-secret")
    page.get_by_role("button", name="Deploy it").click()
    expect(page.locator("[id='fault-config.limit']")).to_contain_text("number")
    expect(page.get_by_label("limit")).to_have_value("many")

    page.get_by_label("limit").fill("2.5")
    page.get_by_label("token").fill("very-secret")
    page.get_by_role("button", name="Deploy it").click()
    expect(page.locator(".head .state").first).to_have_text("active")
    id_ = page.url.split("/")[-1].split("?")[0]
    assert site.get(f"/api/v1/instances/{id_}")["config"] == {"limit": 2.5}

    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("limit")).to_have_value("2.5")
    page.get_by_label("limit").fill("")
    page.get_by_label("Name of the instance").fill("Renamed")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Renamed")).to_be_visible()
    now = site.get(f"/api/v1/instances/{id_}")
    assert (now["config"], now["config_secrets"]) == ({}, ["token"])
    assert "very-secret" not in page.content()

    page.get_by_role("button", name="New key").click()
    key = page.locator(".note .secret code").inner_text()
    assert key.startswith("hwk_")
    assert site.get(f"/api/v1/instances/{id_}")["api_key_counts"] == {"orders": 1}
    assert visitor.is_unharmed()


def test_an_organization_shortens_how_long_its_things_are_kept(site: World, visitor: Visitor) -> None:
    """Asked first, since what is gone does not come back; what the server does not allow is said beside the field."""
    page = visitor.go("/ui/settings")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_label("Payloads, days").fill("2")
    page.get_by_role("button", name="Save").click()
    assert site.get("/api/v1/settings/retention")["payload_days"] is None

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Payloads, days")).to_have_value("2")
    expect(page.get_by_role("status")).to_be_visible()
    page.get_by_label("Held deliveries, days").fill("4000")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#fault-held_days")).to_contain_text("1 to 30")
    expect(page.get_by_label("Held deliveries, days")).to_have_value("4000")
    page.get_by_label("Held deliveries, days").fill("")
    page.get_by_label("Payloads, days").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Payloads, days")).to_have_value("")
    kept = site.get("/api/v1/settings/retention")
    assert kept["in_force"] == kept["server"]


def test_a_delivery_outlives_its_webhook_on_pages(site: World, visitor: Visitor) -> None:
    """Whoever asks what was sent finds it, though the webhook is no more."""
    webhook = site.webhook("/gone", ["gone.*"], name="Soon gone")
    site("POST", "/api/v1/events", {"type": "gone.now", "data": {"n": 1}})
    site.inbox.wait("/gone")
    page = visitor.go(f"/ui/deliveries?webhook_id={webhook['id']}")
    expect(page.get_by_role("row").filter(has_text="gone.now")).to_contain_text("to Soon gone")
    expect(page.get_by_role("row").filter(has_text="gone.now")).to_contain_text("succeeded")
    named = site.get(f"/api/v1/deliveries?webhook_id={webhook['id']}")["deliveries"][0]["webhook_name"]
    assert named == "Soon gone"
    assert site("DELETE", f"/api/v1/webhooks/{webhook['id']}").status == 204

    page.reload()
    page.get_by_role("row").filter(has_text="gone.now").get_by_role("link").first.click()

    expect(page.locator(".facts")).to_contain_text("not registered now")
    assert site.get(f"/api/v1/deliveries?webhook_id={webhook['id']}")["deliveries"][0]["webhook_name"] is None
    expect(page.locator(".sides").first).to_contain_text("webhook-signature")


def test_every_setting_of_a_webhook_has_a_field(site: World, visitor: Visitor) -> None:
    """They go there and come back the same; a secret stays where its field is left empty; emptied ones are unset."""
    page = visitor.go("/ui/webhooks/new")
    page.get_by_label("URL").fill(f"{site.inbox.origin}/all")
    page.get_by_label("Events").fill("all.*")
    page.get_by_text("How the receiver knows us").click()
    page.get_by_label("With each request").select_option("basic")
    page.get_by_label("User, header or parameter").fill("someone")
    page.get_by_label("Token, password or value").fill("s3cret")
    page.get_by_text("Filters, batches and retries").click()
    page.get_by_label("Only of runs of").select_option("workflow orders")
    page.get_by_label("Only these fields").fill("order.id\norder.total")
    page.get_by_label("Batch size").fill("0")
    page.get_by_label("Retries (JSON)").fill('{"schedule_seconds": [1, 2]}')
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.locator("[id='fault-batch_settings.max_events']")).not_to_have_text("")
    page.get_by_label("Batch size").fill("7")
    page.get_by_label("Token, password or value").fill("s3cret")
    page.get_by_role("button", name="Make the webhook").click()
    page.get_by_role("link", name="To the webhook").click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="Save").click()
    path = f"/api/v1/webhooks/{page.url.split('/')[-1].split('?')[0]}"
    made = site.get(path)

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Batch size").fill("")
    page.get_by_label("Longest wait for a batch (s)").fill("")
    page.get_by_label("Only of runs of").select_option("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Send a test")).to_be_visible()
    changed = site.get(path)
    page.get_by_role("button", name="Send a test").click()
    (sent,) = site.inbox.wait("/all")

    assert made["authentication"] == {"type": "basic", "username": "someone"}
    assert made["automation"] == {"kind": "workflow", "id": "orders"}
    assert made["filters"]["include_fields"] == ["order.id", "order.total"]
    assert made["batch_settings"] == {"max_events": 7, "max_wait_seconds": 300}
    assert made["retry_policy"]["schedule_seconds"] == [1, 2]
    assert (changed["batch_settings"], changed["automation"]) == (None, None)
    assert changed["filters"] == made["filters"]
    assert sent.header("authorization") == "Basic c29tZW9uZTpzM2NyZXQ="
