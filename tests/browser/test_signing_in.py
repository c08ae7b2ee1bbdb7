"""Signing in: with a key or a link, for as long as the key lives, and never for another site's sake."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect
from world import until

from hookline.testing.nodes import ADMIN_KEY

if TYPE_CHECKING:
    from browser_bed import Visitor
    from world import World


def post(site: World, path: str, fields: dict[str, str], **headers: str) -> tuple[int, dict[str, str]]:
    """A form as a program sends it. Returns status and headers."""
    connection = HTTPConnection("127.0.0.1", site.nodes[0].port, timeout=10)
    try:
        sent = {"Content-Type": "application/x-www-form-urlencoded"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection.request("POST", path, urlencode(fields), sent)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def cookie_of(site: World, key: str = ADMIN_KEY) -> str:
    status, headers = post(site, "/login", {"key": key})
    assert status == 303
    return headers["set-cookie"].split(";")[0]


def test_a_page_leads_to_the_login_and_back(site: World, stranger: Visitor) -> None:
    """Whoever is not signed in sees nothing else."""
    stranger.go("/ui/webhooks")
    assert stranger.page.url.endswith("/login?next=/ui/webhooks")

    stranger.page.get_by_label("API key").fill(ADMIN_KEY)
    stranger.page.get_by_role("button", name="Sign in").click()

    assert stranger.page.url == f"{stranger.origin}/ui/webhooks"
    stranger.page.set_viewport_size({"width": 1280, "height": 500})
    leave = stranger.page.get_by_role("button", name="Sign out")
    expect(leave).to_be_in_viewport(ratio=1)
    leave.click()
    stranger.go("/ui/webhooks")
    assert "/login" in stranger.page.url


def test_a_wrong_key_is_told_and_stays_out(stranger: Visitor) -> None:
    stranger.sign_in("hk_wrong")
    assert stranger.page.get_by_role("alert").is_visible()
    stranger.go("/")
    assert "/login" in stranger.page.url


def test_the_cookie_is_kept_from_scripts_and_other_sites(site: World) -> None:
    """HttpOnly, SameSite; and a login leads nowhere but here, whatever its link says."""
    _, headers = post(site, "/login?next=https://evil.example/", {"key": ADMIN_KEY})
    flags = headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=lax" in flags
    assert headers["location"] == "/"
    _, headers = post(site, "/login?next=/ui//\\evil.example", {"key": ADMIN_KEY})
    assert headers["location"] == "/"


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"Sec_Fetch_Site": "cross-site"}),
    ],
)
def test_a_form_of_another_site_does_nothing(
    site: World, fields: dict[str, str], headers: dict[str, str]
) -> None:
    """CSRF: without this session's token, or from elsewhere by the browser's own word, nothing is changed."""
    webhook = site.get("/api/v1/webhooks")["webhooks"][0]
    status, _ = post(site, f"/ui/webhooks/{webhook['id']}/pause", fields, Cookie=cookie_of(site), **headers)
    assert status == 403
    assert site.get(f"/api/v1/webhooks/{webhook['id']}")["status"] == "active"


def test_a_viewer_looks_and_changes_nothing(site: World, stranger: Visitor) -> None:
    """Roles: a key with the scope read sees no buttons, and is refused where it finds the URL by itself."""
    key = site("POST", "/api/v1/keys", {"name": "viewer", "scopes": ["read"]}).json["key"]
    stranger.sign_in(key)
    page = stranger.go("/ui/webhooks")
    assert page.get_by_role("link", name="New webhook").count() == 0
    page.get_by_role("link", name="Bad").click()
    assert page.get_by_role("button", name="Pause").count() == 0

    stranger.go("/ui/webhooks/new")
    assert page.get_by_role("heading", name="Your role does not allow this.").is_visible()


def test_a_session_ends_with_its_key(site: World, stranger: Visitor) -> None:
    made = site("POST", "/api/v1/keys", {"name": "short", "scopes": ["read"]}).json
    stranger.sign_in(made["key"])
    assert stranger.page.get_by_role("heading", name="Overview").is_visible()

    assert site("DELETE", f"/api/v1/keys/{made['id']}").status in (200, 204)

    until(lambda: "/login" in stranger.go("/").url)


def test_a_link_signs_into_one_organization(site: World, stranger: Visitor) -> None:
    """A platform gives its customer the portal; the customer sees nothing of the platform's."""
    site("POST", "/api/v1/organizations", {"name": "Customer", "external_id": "customer-1"})
    made = site(
        "POST",
        "/api/v1/sign-in-links",
        {"role": "operator"},
        Hookline_Organization="customer-1",
    )
    assert made.status == 201, made

    stranger.page.goto(made.json["url"].replace("localhost", "127.0.0.1"))

    assert stranger.page.get_by_role("heading", name="Overview").is_visible()
    page = stranger.go("/ui/webhooks")
    assert page.get_by_text("No webhooks yet").is_visible()
    foreign = site.get("/api/v1/webhooks")["webhooks"][0]["id"]
    assert stranger.page.request.get(f"{stranger.origin}/ui/webhooks/{foreign}").status == 404


def test_a_link_that_was_changed_opens_nothing(site: World, stranger: Visitor) -> None:
    made = site("POST", "/api/v1/sign-in-links").json
    stranger.page.goto(made["url"][:-8] + "AAAAAAA=")
    assert stranger.page.get_by_role("heading", name="not valid").is_visible()
    stranger.go("/")
    assert "/login" in stranger.page.url
