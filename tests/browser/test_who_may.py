"""Who may see and do what: organizations kept apart on every page, roles, and the switch that only admins have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from hookline.web.pages import PAGES

if TYPE_CHECKING:
    from browser_bed import Visitor
    from world import World

_SHARED = re.compile(
    r"/ui/([a-z-]+|[a-z-]+/new(\?integration=acme)?|jobs/secret|automations/workflow/orders)$"
)
"""Pages that every organization has, with its own things on them."""


def invited(site: World, visitor: Visitor, external_id: str, role: str) -> None:
    """Sign in by a link into an organization, which is made if there is none."""
    site("POST", "/api/v1/organizations", {"name": external_id, "external_id": external_id})
    link = site("POST", "/api/v1/sign-in-links", {"role": role}, Hookline_Organization=external_id)
    assert link.status == 201, link
    visitor.page.goto(link.json["url"].replace("localhost", "127.0.0.1"))


def token_of(visitor: Visitor) -> str:
    return str(visitor.page.locator("input[name=csrf]").first.get_attribute("value"))


def sent(visitor: Visitor, path: str, **fields: str) -> int:
    """A form with this session's own token, as its page would send it. Returns the status, redirects not followed."""
    answer = visitor.page.request.post(
        visitor.origin + path, form={"csrf": token_of(visitor), **fields}, max_redirects=0
    )
    return answer.status


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_portal_shows_nothing_of_another_organization(
    site: World, pages: dict[str, str], stranger: Visitor, role: str
) -> None:
    """Whatever has an id is as missing; what every organization has is empty of the other's things."""
    invited(site, stranger, f"apart-{role}", role)
    foreign = {}
    for name, path in pages.items():
        answer = stranger.page.request.get(stranger.origin + path, max_redirects=0)
        if path == "/" or _SHARED.fullmatch(path):
            foreign[name] = answer.status in (200, 403) and "stolen" not in answer.text()
        else:
            foreign[name] = answer.status in (404, 403)

    assert {name for name, is_apart in foreign.items() if not is_apart} == set()


def test_a_portal_session_cannot_leave_its_organization(
    site: World, pages: dict[str, str], stranger: Visitor
) -> None:
    """No page, no form, no header and no other cookie leads out of it."""
    default = site.get("/api/v1/organizations")["organizations"][-1]["id"]
    invited(site, stranger, "stays", "operator")
    page = stranger.go("/")
    expect(page.locator(".side .org")).to_contain_text("stays")
    assert page.locator("a[href='/ui/organizations']").count() == 0

    assert page.request.get(f"{stranger.origin}/ui/organizations").status == 403
    assert sent(stranger, f"/ui/organizations/{default}/act") == 403
    elsewhere = page.request.get(
        stranger.origin + pages["webhook"], headers={"Hookline-Organization": default}
    )
    assert elsewhere.status == 404
    assert page.request.get(f"{stranger.origin}/api/v1/webhooks").status == 401


def test_a_portal_changes_nothing_of_another_organization(
    site: World, pages: dict[str, str], stranger: Visitor
) -> None:
    """Every form, sent with ids of another organization by one who may write."""
    ids = {name: path.split("/")[3] for name, path in pages.items() if path.count("/") >= 3}
    invited(site, stranger, "writes", "operator")
    stranger.go("/")
    owners = {
        "/ui/executions/": ids["execution"],
        "/ui/conversations/": ids["conversation"],
        "/ui/jobs/": ids["job"],
        "/ui/robots/": ids["robot"],
        "/ui/scripts/": ids["script"],
        "/ui/script-agents/": ids["script-agent"],
        "/ui/deliveries/": ids["delivery"],
        "/ui/webhooks/": ids["webhook"],
        "/ui/triggers/": ids["trigger"],
    }
    tried = {}
    for page in PAGES:
        owner = next((id_ for prefix, id_ in owners.items() if page.path.startswith(prefix + "{id}")), None)
        if "POST" in page.methods and owner is not None:
            tried[page.path] = sent(
                stranger, page.path.replace("{id}", owner), message="x", name="x", input="{}", source="x"
            )

    assert len(tried) > 15
    assert set(tried.values()) <= {400, 404}, tried
    assert site.get(f"/api/v1/webhooks/{ids['webhook']}")["status"] == "active"


def test_a_viewer_finds_no_form_and_is_refused_every_one(
    site: World, pages: dict[str, str], stranger: Visitor
) -> None:
    """Roles: nothing but signing out is offered to one who only looks; what is sent all the same is refused."""
    key = site("POST", "/api/v1/keys", {"name": "looks", "scopes": ["read"]}).json["key"]
    stranger.sign_in(key)
    offered = {}
    for name, path in pages.items():
        page = stranger.go(path)
        forms = page.locator("main form[method=post]").count()
        if forms:
            offered[name] = forms
    assert offered == {}

    stranger.go("/")
    id_ = pages["webhook"].split("/")[3]
    answers = {
        page.path: sent(stranger, page.path.replace("{id}", id_)) for page in PAGES if "POST" in page.methods
    }
    assert {path: status for path, status in answers.items() if status not in (403, 400, 404)} == {}
    refused = [path for path, status in answers.items() if status == 403]
    assert len(refused) > len(answers) * 0.8, answers


def test_an_operator_is_not_offered_what_admins_do(site: World, stranger: Visitor) -> None:
    key = site("POST", "/api/v1/keys", {"name": "operates", "scopes": ["write"]}).json["key"]
    stranger.sign_in(key)
    page = stranger.go("/ui/settings")
    assert page.get_by_role("button", name="Make the key").count() == 0
    assert page.get_by_role("button", name="Make a link").count() == 0
    assert sent(stranger, "/ui/settings/keys", name="x", admin="on") in (400, 403)
    assert sent(stranger, "/ui/settings/link", role="operator") in (400, 403)
    stranger.go("/ui/organizations")
    assert page.get_by_role("heading", name="Your role does not allow this.").is_visible()


def test_an_admin_acts_for_another_organization_and_comes_back(site: World, visitor: Visitor) -> None:
    """A new organization by a form; its pages are empty; webhooks made there stay there; back to the first."""
    page = visitor.go("/")
    page.locator(".side .org").click()
    page.get_by_label("Name").fill("Globex")
    page.get_by_label("Your own id of it").fill("globex")
    page.get_by_role("button", name="Make it").click()

    page.get_by_role("row").filter(has_text="Globex").get_by_role("button", name="Act for it").click()
    expect(page.locator(".side .org")).to_contain_text("Globex")
    visitor.go("/ui/webhooks")
    expect(page.get_by_role("heading", name="No webhooks yet")).to_be_visible()
    page.get_by_role("link", name="Register the first").click()
    page.get_by_label("URL").fill(f"{site.inbox.origin}/globex")
    page.get_by_role("button", name="Make the webhook").click()
    assert site.get("/api/v1/webhooks", Hookline_Organization="globex")["webhooks"]
    assert all("globex" not in one["url"] for one in site.get("/api/v1/webhooks")["webhooks"])

    visitor.go("/ui/organizations")
    page.get_by_role("row").filter(has_text="Default").get_by_role("button", name="Act for it").click()
    expect(page.locator(".side .org")).to_contain_text("Default")


def test_everything_is_reached_by_keyboard(visitor: Visitor) -> None:
    """First a link past the menu; on a telephone the menu opens by itself and its links are reached."""
    page = visitor.go("/ui/webhooks")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    page.set_viewport_size({"width": 360, "height": 740})
    visitor.go("/ui/webhooks")
    page.locator(".top summary").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Render jobs")
    expect(link).to_be_visible()
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Render jobs", level=1)).to_be_visible()
