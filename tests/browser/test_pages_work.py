"""What people do on pages: look while things happen, make and change webhooks, send again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from world import until

if TYPE_CHECKING:
    from browser_bed import Visitor
    from playwright.sync_api import Browser
    from world import World


def test_a_list_shows_what_happens_while_it_is_open(site: World, visitor: Visitor) -> None:
    """Live, without a word from the person: a new execution appears in the open list, and its end, too."""
    page = visitor.go("/ui/executions")
    execution_id = site.start("orders", {"order_id": "live"})

    row = page.get_by_role("row").filter(has=page.locator(f"a[title={execution_id}]"))

    expect(row).to_contain_text("succeeded", timeout=10_000)
    assert visitor.faults == []


def test_an_execution_is_told_from_its_start_to_its_deliveries(site: World, visitor: Visitor) -> None:
    execution_id = site.start("orders", {"order_id": "told", "amount": 7})
    page = visitor.go(f"/ui/executions/{execution_id}")

    timeline = page.locator(".timeline")
    expect(timeline).to_contain_text("workflow.execution.completed", timeout=10_000)
    expect(timeline).to_contain_text(re.compile(r"attempt 1 to Good .*: delivered \(200\)"), timeout=10_000)
    expect(page.get_by_label("Log", exact=True)).to_contain_text("priced")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Started again from the same bytes.")).to_be_visible()
    assert execution_id not in page.url


def test_a_webhook_is_made_tested_changed_paused_and_deleted(site: World, visitor: Visitor) -> None:
    """The whole life of one; its secret is shown once."""
    page = visitor.go("/ui/webhooks/new")
    page.get_by_label("URL").fill(f"{site.inbox.origin}/made")
    page.get_by_label("Events").fill("order.*\nworkflow.*")
    page.get_by_label("Name").fill("Made by hand")
    page.get_by_role("button", name="Make the webhook").click()
    secret = page.locator(".secret code").inner_text()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="To the webhook").click()
    assert secret not in page.content()

    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text(re.compile("Test: success, answered 200"))).to_be_visible()
    assert site.inbox.at("/made")

    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name").fill("Changed by hand")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Changed by hand")).to_be_visible()

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".head .state")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".head .state")).to_have_text("active")

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Rotate secret").click()
    assert page.locator(".secret code").inner_text() not in {"", secret}

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted.")).to_be_visible()


def test_figures_count_ends_and_nobody_is_told_without_a_mail_server(site: World, visitor: Visitor) -> None:
    """What was given up is called so; an alert that was due for a mail nobody could get shows no time of one."""
    bad = next(one for one in site.get("/api/v1/webhooks")["webhooks"] if one["name"] == "Bad")
    until(lambda: any(one["told_at"] for one in site.get("/api/v1/alerts")["alerts"]))
    alerts = visitor.go("/ui/alerts")
    row = alerts.get_by_role("row").filter(has_text="Bad").first
    expect(row.locator("[data-label=Told]")).to_have_text("\N{EN DASH}")

    page = visitor.go(f"/ui/webhooks/{bad['id']}")
    given_up = page.locator(".figure").filter(has_text="Given up")
    expect(given_up.locator("dd")).to_have_text(re.compile(r"[1-9]"))
    expect(given_up).to_have_attribute("title", re.compile("counts each time"))


def test_a_form_that_is_refused_says_where_and_keeps_what_was_typed(visitor: Visitor) -> None:
    page = visitor.go("/ui/webhooks/new")
    page.get_by_label("URL").fill("https://example.com/in")
    page.get_by_label("Name").fill("Kept")
    page.get_by_label("Conditions (JSON)").fill('{"data.n": {"over": 3}}')
    page.get_by_role("button", name="Make the webhook").click()

    expect(page.get_by_role("alert")).to_contain_text("conditions")
    expect(page.get_by_label("Name")).to_have_value("Kept")
    expect(page.get_by_label("Conditions (JSON)")).to_have_attribute("aria-invalid", "true")


def test_a_delivery_shows_both_sides_and_is_sent_again(site: World, visitor: Visitor) -> None:
    """Request and response side by side, the body that was sent, and a button that sends it again."""
    failed = site.get("/api/v1/deliveries?state=exhausted")["deliveries"][0]
    page = visitor.go(f"/ui/deliveries/{failed['id']}")
    expect(page.locator(".sides").first).to_contain_text("webhook-signature")
    expect(page.locator(".sides").first).to_contain_text("seen <script>")
    before = len(site.inbox.at("/bad"))

    page.get_by_role("button", name="Send again").click()

    expect(page.get_by_text("It is sent again now.")).to_be_visible()
    until(lambda: len(site.inbox.at("/bad")) > before)


def test_a_trigger_is_made_tried_out_and_its_requests_are_shown(site: World, visitor: Visitor) -> None:
    """The credential is shown once; a request without it is refused, kept and explained; one with it starts a run."""
    page = visitor.go("/ui/triggers/new")
    page.get_by_label("Starts").select_option("workflow orders")
    page.get_by_role("button", name="Make the trigger").click()
    token = page.locator(".note .secret code").inner_text()
    page.get_by_role("link", name="To the trigger").click()
    assert token not in page.content()

    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Answered 401")).to_be_visible()
    page.get_by_label("Headers (JSON)").fill(json.dumps({"Authorization": f"Bearer {token}"}))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Answered 202")).to_be_visible()

    page.get_by_role("row").filter(has_text="401").get_by_role("link").click()
    expect(page.get_by_role("heading", name="What is wrong with it")).to_be_visible()


def test_a_replay_is_counted_begun_and_ends(site: World, visitor: Visitor) -> None:
    """The number first, then the deed; its progress is live."""
    page = visitor.go("/ui/replays")
    page.get_by_label("Webhook", exact=True).select_option(label="Bad")
    page.get_by_label("Since (UTC)").fill("2020-01-01T00:00")
    before = len(site.inbox.at("/bad"))
    page.get_by_role("button", name="Count").click()
    expect(page.get_by_text("would be sent again")).to_be_visible()
    assert len(site.inbox.at("/bad")) == before

    page.get_by_role("button", name="Begin").click()

    expect(page.get_by_role("row").nth(1)).to_contain_text("completed", timeout=15_000)
    until(lambda: len(site.inbox.at("/bad")) > before)


def test_settings_make_keys_members_and_links(site: World, visitor: Visitor) -> None:
    page = visitor.go("/ui/settings")
    page.get_by_label("Name of a new key").fill("from the page")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator(".note .secret code").inner_text()
    assert site("GET", "/api/v1/webhooks", key=key).status == 200

    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_label("E-mail", exact=True).fill("ada@example.com")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("ada@example.com")).to_be_visible()

    page.get_by_role("button", name="Make a link").click()
    assert "/sign-in?link=" in page.locator(".note .secret code").inner_text()


def test_an_event_tells_what_became_of_it(site: World, visitor: Visitor) -> None:
    page = visitor.go("/ui/events")
    page.get_by_role("row").filter(has_text="order.paid").get_by_role("link").first.click()
    expect(page.get_by_role("row").filter(has_text="Bad")).to_contain_text("exhausted")


def test_pages_work_without_scripts(browser: Browser, visitor: Visitor) -> None:
    """Everything is there and every form works; only the liveness and the chart need scripts."""
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(visitor.context.cookies())  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{visitor.origin}/ui/webhooks")
    page.get_by_role("link", name="Bad").click()
    page.get_by_role("button", name="Pause").click()
    assert page.locator(".head .state").inner_text() == "paused"
    page.get_by_role("button", name="Resume").click()
    assert page.locator(".head .state").inner_text() == "active"
    context.close()


def test_a_trigger_that_is_refused_says_where(visitor: Visitor) -> None:
    """Beside the field, with what was typed kept; secrets are typed again."""
    page = visitor.go("/ui/triggers/new")
    page.get_by_label("How callers are known").select_option("signature")
    page.get_by_text("For a signature, or a name and a password").click()
    page.get_by_label("Who signs").fill("nobody-we-know")
    page.get_by_label("Signing secret").fill("secret")
    page.get_by_role("button", name="Make the trigger").click()

    expect(page.locator("#fault-preset")).not_to_have_text("")
    expect(page.get_by_label("Who signs")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Who signs")).to_have_value("nobody-we-know")
    expect(page.get_by_label("Signing secret")).to_have_value("")
