"""One thing of every kind, hostile to pages where a name or a text may be: for those who look at all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from browser_bed import SCRIPT
from world import until

if TYPE_CHECKING:
    from world import World

SOURCE: Final = f"""\
from hookline_agent import artifacts_dir, get_argument, set_result_object
print("hello {SCRIPT}")
(artifacts_dir() / "report.html").write_text("{SCRIPT}")
set_result_object({{"given": get_argument()}})
"""

MOVIE: Final = {
    "width": 160,
    "height": 90,
    "fps": 10,
    "metadata": {"note": SCRIPT},
    "scenes": [{"duration": 1, "elements": [{"type": "text", "text": SCRIPT, "font_size": 12}]}],
}


def recording(url: str) -> dict[str, Any]:
    """Opens a page, takes a picture of it and one text."""
    return {
        "workflow": [
            {
                "where": {},
                "what": [
                    {"action": "goto", "args": [url]},
                    {"action": "screenshot", "args": [{"fullPage": False, "type": "png"}]},
                    {"action": "scrapeSchema", "args": [{SCRIPT: {"selector": "body", "tag": "BODY"}}]},
                ],
            }
        ]
    }


def made(site: World, path: str, body: object) -> dict[str, Any]:
    answer = site("POST", path, body)
    assert answer.status in (201, 202), answer
    found: dict[str, Any] = answer.json
    return found


def fill(site: World) -> dict[str, str]:
    """Make one of each, run each once, and return where each is shown."""
    talk = made(site, "/api/v1/conversations", {"agent_id": "support", "user_id": SCRIPT, "message": SCRIPT})
    script = made(site, "/api/v1/scripts", {"slug": "hello.py", "source": SOURCE})
    agent = made(site, "/api/v1/script-agents", {"script": "hello.py", "name": SCRIPT, "argument": [SCRIPT]})
    robot = made(
        site, "/api/v1/robots", {"name": SCRIPT, "recording": recording(f"{site.inbox.origin}/page")}
    )
    customer = {"external_id": "c-1", "name": SCRIPT[:90]}
    instance = made(site, "/api/v1/instances", {"integration": "acme", "customer": customer})
    runs = {
        "script-run": made(site, f"/api/v1/script-agents/{agent['id']}/launch", {})["execution_id"],
        "robot-run": made(site, f"/api/v1/robots/{robot['id']}/runs", {})["execution_id"],
        "render-run": "exec_" + made(site, "/api/jobs", MOVIE)["job_id"],
        "talk-run": talk["execution_id"],
    }
    for execution_id in runs.values():
        ended = site.ended(execution_id, within=60)
        assert ended["status"] == "succeeded", ended
    until(lambda: site.get(f"/api/v1/conversations/{talk['id']}")["completed_at"])
    return {
        "conversation": f"/ui/conversations/{talk['id']}",
        "script": f"/ui/scripts/{script['id']}",
        "script-agent": f"/ui/script-agents/{agent['id']}",
        "robot": f"/ui/robots/{robot['id']}",
        "robot-edit": f"/ui/robots/{robot['id']}/edit",
        "instance": f"/ui/instances/{instance['id']}",
        "instance-edit": f"/ui/instances/{instance['id']}/edit",
        "instance-new": "/ui/instances/new?integration=acme",
        "job": f"/ui/jobs/{runs['render-run']}",
        **{name: f"/ui/executions/{execution_id}" for name, execution_id in runs.items()},
    }
