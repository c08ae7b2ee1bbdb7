"""Render jobs on a real node, over sockets and both stores: the seed's page, line by line (PF-1 to PF-9)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from films import Picture, data_url, pictures, png
from render_bed import HELLO, LONG, ended, follow, new_uuid, read, small, submit
from world import World, call, database_of, terminal_events, until, world

from hookline.receiver import VerificationError, verify
from hookline.testing.receivers import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookline.testing.receivers import Received


def answers(request: Received) -> Reply:
    return Reply(status=500) if request.target.startswith(b"/down") else Reply()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("renders")
    with world(database_of(request, folder), folder, answers=answers, TMPDIR=str(folder)) as found:
        yield found


# --- a job that succeeds --------------------------------------------------------------------------------------


def test_the_seeds_movie_is_rendered_and_its_end_is_told_to_the_letter(one: World, tmp_path: Path) -> None:
    """PF-1 to PF-3: one POST to the movie's own address, with these keys and no others; 1.2 s are 2 credits (PF-X3)."""
    path = "/webhooks/phantomflow"
    movie = {
        "width": 640,
        "height": 360,
        "webhook_uri": one.inbox.origin + path,
        "scenes": [{"duration": 1.2, "elements": [HELLO]}],
    }

    job_id = submit(one, movie)
    (told,) = one.inbox.wait(path, within=30)

    body = json.loads(told.body)
    assert list(body) == ["job_id", "status", "output_url", "duration_seconds", "credits_used"]
    assert (body["job_id"], body["status"]) == (job_id, "completed")
    assert (body["duration_seconds"], body["credits_used"]) == (1.2, math.ceil(1.2))
    assert told.header("content-type") == "application/json"
    answer = read(body["output_url"])
    assert (answer.status, answer.headers["Content-Type"]) == (200, "video/mp4")
    video = tmp_path / "video.mp4"
    video.write_bytes(answer.body)
    frames = pictures(video, 640, 360)
    assert len(frames) == 36
    assert shows_hello_in_the_centre(frames[18])
    assert one.get(f"/api/jobs/{job_id}")["status"] == "completed"
    assert len(one.inbox.at(path)) == 1


def shows_hello_in_the_centre(picture: Picture) -> bool:
    """48 pixels high, some 270 wide, white on black."""
    middle = picture.brightest(320 - 150, 180 - 30, 320 + 150, 180 + 30)
    above = picture.brightest(0, 0, 640, 180 - 40)
    beside = picture.brightest(0, 0, 320 - 160, 360)
    return middle > 240 and max(above, beside) < 20


def test_the_video_is_served_in_ranges_by_link_and_by_key(one: World) -> None:
    job_id = submit(one, small())
    job = ended(one, job_id)

    whole = one("GET", f"/api/jobs/{job_id}/output")
    part = read(job["output_url"], Range="bytes=4-7")
    held = read(job["output_url"], If_None_Match=part.headers["ETag"])
    forged = read(job["output_url"][:-3] + "abc")

    assert whole.status == 200
    assert (part.status, part.body) == (206, b"ftyp")
    assert part.headers["Content-Range"] == f"bytes 4-7/{len(whole.body)}"
    assert (held.status, forged.status) == (304, 403)


def test_a_jobs_own_webhook_is_verified_with_a_secret_that_a_rotation_shows(one: World) -> None:
    """P13, PF-1: nobody knows the first one; while two sign, a receiver may know either."""
    place = "/api/v1/jobs/secret"
    made = one("POST", "/api/v1/organizations", {"name": "Studio", "external_id": f"studio-{new_uuid()}"})
    here = {"Hookline_Organization": made.json["id"]}

    def told(path: str) -> Received:
        submit(one, small(webhook_uri=one.inbox.origin + path), **here)
        return one.inbox.wait(path, within=30)[0]

    unseen, before = told("/unseen"), one("GET", place, **here).json
    first = one("POST", f"{place}/rotate", **here).json
    again = one("POST", f"{place}/rotate", {}, **here)
    one("POST", f"{place}/rotate", {"finish": True}, **here)
    second = one("POST", f"{place}/rotate", {"secret": "our own secret, long enough"}, **here).json
    both = told("/both")
    one("POST", f"{place}/rotate", {"finish": True}, **here)
    last = told("/last")

    assert before == {"previous_secret_until": None}
    assert (again.status, again.json["error"]["code"]) == (409, "ROTATION_UNDER_WAY")
    assert second["previous_secret_until"] is not None
    assert all(verify(both.body, both.headers, each["secret"])["job_id"] for each in (first, second))
    assert verify(last.body, last.headers, second["secret"])["job_id"]
    for request, secret in ((unseen, first["secret"]), (last, first["secret"])):
        with pytest.raises(VerificationError):
            verify(request.body, request.headers, secret)
    assert "secret" not in one("GET", place, **here).json


def test_metadata_are_echoed_in_the_job_and_its_webhook(one: World) -> None:
    """PF-11."""
    movie = small(metadata={"order": 17}, webhook_uri=f"{one.inbox.origin}/echoed")

    job = ended(one, submit(one, movie))
    (told,) = one.inbox.wait("/echoed")

    assert job["metadata"] == {"order": 17}
    assert json.loads(told.body)["metadata"] == {"order": 17}


def test_progress_opens_with_the_state_and_ends_with_the_end(one: World) -> None:
    """PF-6."""
    movie = {"width": 1280, "height": 720, "scenes": [{"duration": 12, "elements": [HELLO]}]}
    job_id = submit(one, movie)

    events = list(follow(one, job_id))
    after = list(follow(one, job_id))

    first, *between, last = events
    assert first.name in {"queued", "running"}
    assert first.data["job_id"] == job_id
    assert {event.name for event in between} == {"progress"}
    percents = [event.data["percent"] for event in between]
    assert percents == sorted(percents)
    assert {"percent", "frame", "frames", "eta_seconds", "job_id", "status"} == set(between[0].data)
    assert last.name == last.data["status"] == "completed"
    assert last.data["output_url"].startswith("http://")
    assert [event.name for event in after] == ["completed"]


def test_who_was_cut_off_goes_on_after_the_last_event(one: World) -> None:
    job_id = submit(one, LONG)
    stream = follow(one, job_id)
    seen = next(event for event in stream if event.name == "progress")
    stream.close()

    again = follow(one, job_id, Last_Event_ID=str(seen.id))
    next(again)  # the state now
    more = next(event for event in again if event.name == "progress")
    one("DELETE", f"/api/jobs/{job_id}")
    *_, last = again

    assert seen.id is not None
    assert more.id is not None
    assert more.id > seen.id
    assert last.name == "failed"


# --- a job that fails -----------------------------------------------------------------------------------------


def test_a_failed_job_tells_code_and_cause(one: World) -> None:
    """PF-3, PF-7: neither key of the other case is there."""
    broken = data_url(png(1, 1, claims=(100_000, 100_000)))
    movie = small(
        scenes=[{"duration": 1, "elements": [{"type": "image", "src": broken}]}],
        webhook_uri=f"{one.inbox.origin}/broken",
    )

    job_id = submit(one, movie)
    (told,) = one.inbox.wait("/broken")

    error = {
        "code": "RENDER_FAILED",
        "message": (
            "FFmpeg exited with code 1: scenes.0.elements.0.src: Picture size 100000x100000 is invalid"
        ),
    }
    assert json.loads(told.body) == {"job_id": job_id, "status": "failed", "error": error}
    assert one.get(f"/api/jobs/{job_id}")["error"] == error
    assert one("GET", f"/api/jobs/{job_id}/output").status == 404


def test_a_webhook_is_tried_four_times_and_the_result_stays(one: World) -> None:
    """PF-4, PF-X1: after the third retry it is abandoned; the job can still be asked for."""
    job_id = submit(one, small(webhook_uri=f"{one.inbox.origin}/down"))

    one.inbox.wait("/down", 4, within=20)
    (delivery,) = until(lambda: one.get("/api/v1/deliveries?state=exhausted")["deliveries"], within=20)

    assert delivery["state"] == "exhausted"
    bodies = {request.body for request in one.inbox.at("/down")}
    assert len(one.inbox.at("/down")) == 4
    assert len(bodies) == 1
    assert one.get(f"/api/jobs/{job_id}")["status"] == "completed"
    listed = one.get("/api/v1/webhooks")["webhooks"]
    assert not any("job.invalid" in each["url"] for each in listed)


def test_cancel_ends_the_job_and_tells_so(one: World) -> None:
    job_id = submit(one, {**LONG, "webhook_uri": f"{one.inbox.origin}/cancelled"})
    until(lambda: one.get(f"/api/jobs/{job_id}"), lambda job: job["status"] == "running")

    answer = one("DELETE", f"/api/jobs/{job_id}")
    (told,) = one.inbox.wait("/cancelled")
    job = ended(one, job_id)
    again = one("DELETE", f"/api/jobs/{job_id}")

    assert answer.status == 202
    assert job["error"]["code"] == "KILLED"
    assert json.loads(told.body)["error"]["code"] == "KILLED"
    assert (again.status, again.json["status"]) == (202, "failed")


# --- who may, and what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b"{", "INVALID_JSON", None),
        (b"", "INVALID_JSON", None),
        ({"scenes": [{"duration": 0}]}, "SCHEMA_VALIDATION_ERROR", "scenes.0.duration"),
        ({"scenes": []}, "SCHEMA_VALIDATION_ERROR", "scenes"),
        ({"scenes": [{"duration": 1}], "exports": []}, "SCHEMA_VALIDATION_ERROR", "exports"),
        ({"scenes": [{"duration": 1}], "webhook_uri": "ftp://x"}, "VALIDATION_ERROR", "webhook_uri"),
        ({"scenes": [{"duration": 1}], "webhook_uri": "http://10.0.0.1/"}, "VALIDATION_ERROR", "webhook_uri"),
        ({"scenes": [{"duration": 1}], "background": "blurple"}, "VALIDATION_ERROR", "background"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(one: World, body: Any, code: str, path: str | None) -> None:
    """PF-9."""
    answer = one("POST", "/api/jobs", body)

    assert answer.status == 400
    assert set(answer.json) == {"error"}
    assert (answer.json["error"]["code"], answer.json["error"].get("path")) == (code, path)


def test_keys_come_as_bearer_or_x_api_key_with_the_right_scope(one: World) -> None:
    """PF-8, PF-9."""
    keys = {
        scope: one("POST", "/api/v1/keys", {"name": scope, "scopes": [scope]}).json["key"]
        for scope in ("write", "trigger", "read")
    }
    port = one.nodes[0].port

    for scope in ("write", "trigger"):
        job_id = submit(one, small(), "/api/render", key=None, x_api_key=keys[scope])
        assert one("GET", f"/api/jobs/{job_id}", key=keys[scope]).status == 200
    refused = {
        "read": call(port, "POST", "/api/jobs", small(), key=keys["read"]),
        "wrong": call(port, "POST", "/api/jobs", small(), key=None, x_api_key="hk_nobody"),
        "none": call(port, "POST", "/api/jobs", small(), key=None),
    }

    assert {name: (answer.status, answer.json["error"]["code"]) for name, answer in refused.items()} == {
        "read": (403, "FORBIDDEN"),
        "wrong": (401, "UNAUTHORIZED"),
        "none": (401, "UNAUTHORIZED"),
    }


def test_anothers_job_looks_like_one_that_is_not_there(one: World) -> None:
    """P14, PF-9: NOT_FOUND, also for a run that is no render."""
    theirs = submit(one, small())
    ended(one, theirs)
    organization = one("POST", "/api/v1/organizations", {"name": "Ours"}).json["id"]
    workflow = one.start("orders", {}).removeprefix("exec_")

    for method, suffix in (("GET", ""), ("GET", "/progress"), ("GET", "/output"), ("DELETE", "")):
        foreign = one(method, f"/api/jobs/{theirs}{suffix}", Hookline_Organization=organization)
        missing = one(method, f"/api/jobs/{new_uuid()}{suffix}", Hookline_Organization=organization)
        other = one(method, f"/api/jobs/{workflow}{suffix}")
        assert foreign.status == missing.status == other.status == 404
        assert foreign.body == missing.body == other.body
        assert foreign.json["error"]["code"] == "NOT_FOUND"


def test_a_repeated_request_is_one_job(one: World) -> None:
    """CONTRACT section 2."""
    first = one("POST", "/api/jobs", small(), Idempotency_Key="job-1")
    again = one("POST", "/api/jobs", small(), Idempotency_Key="job-1")
    other = one("POST", "/api/jobs", small(fps=11), Idempotency_Key="job-1")

    assert (first.status, first.body) == (again.status, again.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.json["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_the_schema_can_be_had(one: World) -> None:
    """PF-9; also in the description of the API."""
    open_to_all = call(one.nodes[0].port, "GET", "/api/render/schema", key=None)
    document = one.get("/openapi.json")

    assert open_to_all.json["$defs"]["Movie"]["required"] == ["scenes"]
    assert one.get("/api/v1/schemas/movie") == open_to_all.json
    schema = document["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Movie"}
    assert "Movie" in document["components"]["schemas"]


def test_a_trigger_may_start_a_render_too(one: World) -> None:
    """What is posted there is the movie, beside which the caller may name a callback; a bad one fails with the path."""
    trigger = one.trigger("movie", kind="render", profile="native", callbacks=True)
    path = "/" + trigger["url"].split("/", 3)[3].partition("?")[0] + f"?token={trigger['token']}"

    back = f"{one.inbox.origin}/called-back"
    good = one("POST", path, small(callback_url=back), key=None).json["execution_id"]
    bad = one("POST", path, {"scenes": [{"duration": 0}]}, key=None).json["execution_id"]

    assert one.ended(good)["output"]["file"] == "movie.mp4"
    assert json.loads(one.inbox.wait("/called-back")[0].body)["data"]["execution_id"] == good
    assert "scenes.0.duration" in one.ended(bad)["error"]["message"]


# --- a node that dies -----------------------------------------------------------------------------------------


def processes_in(folder: Path) -> list[str]:
    """What runs in folders of renders below this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = str((entry / "cwd").readlink())
            except OSError:
                continue
            if place.startswith(f"{folder}/hookline-render-"):
                found.append(entry.name)
    return found


def test_kill_9_of_the_node_leaves_nothing_and_the_job_is_rendered_again(one: World) -> None:
    """Rendering twice harms nobody: the job ends once, with one event, whatever became of the first try."""
    movie = {"width": 640, "height": 360, "scenes": [{"duration": 15, "elements": [HELLO]}]}
    job_id = submit(one, {**movie, "webhook_uri": f"{one.inbox.origin}/survived"})
    until(lambda: processes_in(one.folder), lambda found: len(found) == 2)

    one.nodes[0].kill()
    until(lambda: not processes_in(one.folder))
    assert not list(one.folder.glob("hookline-render-*"))
    one.nodes[0].start()

    job = ended(one, job_id, within=60)
    one.inbox.wait("/survived")
    execution = one.get(f"/api/v1/executions/exec_{job_id}")
    assert job["status"] == "completed"
    assert execution["attempt"] == 2
    assert execution["credits_used"] == 15
    assert terminal_events(one, f"exec_{job_id}") == ["render.job.completed"]
    assert len(one.inbox.at("/survived")) == 1
