"""What people do with each kind of run: talk, render, scrape and launch, on pages alone, and look while it happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from browser_bed import SCRIPT
from kinds_bed import MOVIE, SOURCE, recording
from playwright.sync_api import expect
from world import until

if TYPE_CHECKING:
    from browser_bed import Visitor
    from playwright.sync_api import Browser, Page
    from world import World

SOON = 30_000
"""Milliseconds within which a run ends on a loaded machine."""


def begin_a_talk(visitor: Visitor, user: str) -> Page:
    """A conversation that waits for its first message."""
    page = visitor.go("/ui/conversations/new")
    page.get_by_label("Agent").select_option("support")
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name="Nothing was said yet")).to_be_visible()
    return page


def test_what_is_said_in_a_talk_is_answered_while_one_looks(visitor: Visitor) -> None:
    """Begun by a form, a message by another; the agent's answer comes in by itself."""
    page = begin_a_talk(visitor, "ada")
    page.get_by_label("Message").fill("Where is it?")
    page.get_by_role("button", name="Send").click()

    expect(page.locator(".talk .user")).to_contain_text("Where is it?")
    expect(page.locator(".talk .agent")).to_contain_text("You said Where is it?", timeout=SOON)
    assert visitor.faults == []


def test_a_talk_is_ended(site: World, visitor: Visitor) -> None:
    page = begin_a_talk(visitor, "bob")
    conversation_id = page.url.split("/")[-1].split("?")[0]
    page.get_by_text("End the conversation").click()
    page.get_by_label("Category").fill("silence")
    page.get_by_label("Score").fill("3")

    page.get_by_role("button", name="End it").click()

    expect(page.get_by_text("The conversation has ended.")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_count(0)
    ended = site.get(f"/api/v1/conversations/{conversation_id}")
    assert (ended["status"], ended["satisfaction_score"]) == ("resolved", 3)
    assert ended["resolution"]["category"] == "silence"


def test_a_movie_is_refused_at_its_line_then_rendered_and_shown(visitor: Visitor) -> None:
    """What is wrong is told with its path and line, what was typed stays; the film plays on the page."""
    page = visitor.go("/ui/jobs/new")
    wrong = MOVIE | {"scenes": [{"duration": 1, "elements": [{"type": "text", "text": 7}]}]}
    page.get_by_label("Movie (JSON)").fill(json.dumps(wrong, indent=2))
    page.get_by_role("button", name="Render", exact=True).click()
    expect(page.get_by_text("scenes.0.elements.0.text, line")).to_be_visible()
    expect(page.locator(".note pre")).to_contain_text('▸           "text": 7')
    assert page.evaluate("getSelection().toString()").strip() == '"text": 7'
    page.get_by_label("Movie (JSON)").fill(json.dumps(MOVIE))

    page.get_by_role("button", name="Render", exact=True).click()

    expect(page.locator("video")).to_be_visible(timeout=SOON)
    page.wait_for_function("document.querySelector('video').videoWidth === 160", timeout=SOON)
    assert visitor.faults[1:] == []  # the first is the 400 of the refused form
    expect(page.get_by_role("link", name="Render another like it")).to_be_visible()


@pytest.mark.needs("chromium")
def test_a_robot_is_stored_run_and_its_picture_shown(site: World, visitor: Visitor) -> None:
    """A recording that cannot run is refused at its line; a run's picture and captured texts are on its page."""
    page = visitor.go("/ui/robots/new")
    page.get_by_label("Name").fill("By hand")
    page.get_by_label("Recording (JSON)").fill(json.dumps(recording("file:///etc/passwd"), indent=1))
    page.get_by_role("button", name="Store the robot").click()
    expect(page.locator(".note pre")).to_contain_text("▸")
    expect(page.locator("#fault-recording")).to_contain_text("http")
    page.get_by_label("Recording (JSON)").fill(json.dumps(recording(f"{site.inbox.origin}/page")))
    page.get_by_role("button", name="Store the robot").click()

    page.get_by_role("button", name="Run", exact=True).click()

    expect(page.locator(".shots img")).to_be_visible(timeout=SOON)
    page.wait_for_function("document.querySelector('.shots img').naturalWidth > 0", timeout=SOON)
    expect(page.get_by_role("cell", name="seen")).to_be_visible(timeout=SOON)
    assert visitor.is_unharmed()


def test_a_script_is_stored_given_an_agent_and_launched(visitor: Visitor) -> None:
    page = visitor.go("/ui/scripts/new")
    page.get_by_label("Name").fill("by-hand.py")
    page.get_by_label("Source").fill(SOURCE)
    page.get_by_role("button", name="Store the script").click()
    expect(page.locator(".source")).to_contain_text("set_result_object")

    page.get_by_role("link", name="Make an agent").click()
    page.get_by_label("Name").fill("Hand")
    page.get_by_role("button", name="Make the agent").click()
    page.get_by_label("Argument (JSON)").fill("[1, 2")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("#fault-argument")).to_contain_text("This is no JSON in line 1")
    page.get_by_label("Argument (JSON)").fill("[1, 2]")
    page.get_by_role("button", name="Launch").click()

    expect(page.locator("h1 + .state")).to_have_text("succeeded", timeout=SOON)
    expect(page.get_by_role("heading", name="Result").locator("..")).to_contain_text('"given"')
    expect(page.get_by_label("Log", exact=True)).to_contain_text("hello <script>")
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="report.html").click()
    assert SCRIPT in downloaded.value.path().read_text()
    page.get_by_role("link", name="Hand").first.click()


def test_what_a_run_waits_for_is_answered_on_its_page(
    site: World, visitor: Visitor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("approval") / "notes"
    execution_id = site.start("approval", {"path": str(path)})
    site.in_state(execution_id, "waiting")
    page = visitor.go(f"/ui/executions/{execution_id}")

    page.get_by_label("Answer (JSON)").fill('{"ok": true}')
    page.get_by_role("button", name="Answer").click()

    expect(page.locator("h1 + .state")).to_have_text("succeeded", timeout=SOON)
    assert site.ended(execution_id)["output"] == {"answer": {"ok": True}}


# --- a webhook's form ---------------------------------------------------------------------------------------


def test_a_webhook_is_tried_while_its_form_is_typed(site: World, visitor: Visitor) -> None:
    """The dry run and the words of each dialect follow the typing; a fault stands beside its field; nothing is sent."""
    site("POST", "/api/v1/events", {"type": "tried.event", "data": {"amount": 30}})
    before = (len(site.inbox.all()), len(site.get("/api/v1/webhooks")["webhooks"]))
    page = visitor.go("/ui/webhooks/new")
    page.get_by_label("Events").fill("tried.*")
    preview = page.get_by_label("What it would send")
    expect(preview).to_contain_text("1 of the last", timeout=SOON)
    for dialect in ("agenticflow", "phantombuster", "maxun", "phantomflow", "standard", "cloudevents", "raw"):
        expect(preview.locator("summary", has_text=dialect).first).to_be_visible()

    page.get_by_label("Conditions (JSON)").fill('{"amount": {"over": 3}}')
    expect(page.locator("#fault-conditions")).to_contain_text("There is no operator", timeout=SOON)
    page.get_by_label("Conditions (JSON)").fill('{"amount": {"gt": 40}}')
    expect(page.locator("#fault-conditions")).to_have_text("", timeout=SOON)
    expect(preview).to_contain_text("0 of the last", timeout=SOON)
    expect(preview).to_contain_text("conditions do not hold")

    until(lambda: len(site.inbox.at("/good")) > 0)
    assert len(site.get("/api/v1/webhooks")["webhooks"]) == before[1]
    assert visitor.faults == []


def test_a_webhook_is_tried_by_a_button_without_scripts(browser: Browser, visitor: Visitor) -> None:
    page = scriptless(browser, visitor)
    page.goto(f"{visitor.origin}/ui/webhooks/new")
    page.get_by_label("Events").fill("order.*")
    page.get_by_label("Name").fill("Kept")
    page.get_by_role("button", name="Try it").click()

    expect(page.get_by_label("What it would send")).to_contain_text("of the last")
    expect(page.get_by_label("Name")).to_have_value("Kept")
    page.context.close()


def test_an_edit_is_tried_against_the_webhook_that_is_there(site: World, visitor: Visitor) -> None:
    webhook = next(one for one in site.get("/api/v1/webhooks")["webhooks"] if one["name"] == "Bad")
    page = visitor.go(f"/ui/webhooks/{webhook['id']}/edit")
    page.get_by_label("Events").fill("nothing.like.this")

    expect(page.get_by_label("What it would send")).to_contain_text("0 of the last", timeout=SOON)
    assert site.get(f"/api/v1/webhooks/{webhook['id']}")["events"] == ["*"]


def scriptless(browser: Browser, visitor: Visitor) -> Page:
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(visitor.context.cookies())  # type: ignore[arg-type]
    return context.new_page()


# --- pages that stay up to date -----------------------------------------------------------------------------


def test_a_chart_is_there_after_its_page_was_updated(site: World, visitor: Visitor) -> None:
    """The update's text has no drawing in it."""
    page = visitor.go("/")
    drawn = page.locator("[data-chart] canvas")
    expect(drawn).to_have_count(2)
    was = page.locator(".figure dd").first.inner_text()
    site("POST", "/api/v1/events", {"type": "order.paid", "data": {}})

    expect(page.locator(".figure dd").first).not_to_have_text(was, timeout=SOON)
    expect(drawn).to_have_count(2)


def test_a_workflow_is_run_by_a_form(visitor: Visitor) -> None:
    """From the list of all that can run; JSON that is none is told beside its field."""
    page = visitor.go("/ui/automations")
    page.get_by_role("link", name="Orders", exact=True).click()
    page.get_by_label("Input (JSON)").fill("{")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#fault-input")).to_contain_text("This is no JSON")
    page.get_by_label("Input (JSON)").fill('{"order_id": "by hand", "amount": 2}')
    page.get_by_role("button", name="Run", exact=True).click()

    expect(page.locator("h1 + .state")).to_have_text("succeeded", timeout=SOON)
    expect(page.get_by_role("heading", name="Result").locator("..")).to_contain_text("by hand")


def test_the_secret_of_jobs_webhooks_is_made_shown_once_and_ended(visitor: Visitor) -> None:
    page = visitor.go("/ui/jobs")
    page.get_by_role("link", name="Signing secret").click()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Make a new secret").click()
    expect(page.locator(".secret code")).to_contain_text("whsec_")

    page.get_by_role("button", name="Make a new secret").click()
    expect(page.get_by_role("alert")).to_contain_text("rotation is under way")
    page.get_by_role("button", name="End the old secret").click()

    expect(page.get_by_text("The old secret signs too")).to_have_count(0)
    expect(page.locator(".secret code")).to_have_count(0)
