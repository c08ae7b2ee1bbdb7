"""Refused requests are kept, explained with today's secrets and run once the secret is mended (issue 3, point 7)."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from api_bed import PUBLIC_URL, Api
from engine_bed import ORDERS, StandingClock
from trigger_bed import Door, serving

from hookline.core.inbound import scheme_from, sign
from hookline.errors import StorageError
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.runner import RunJob, RunListener

pytestmark = pytest.mark.asyncio

OLD, NEW = "the secret of last year", "the secret of this year"
STRIPE = {"type": "signature", "preset": "stripe", "secret": OLD}
GITHUB = {"type": "signature", "preset": "github", "secret": OLD}


async def signed(
    door: Door, body: bytes, secret: str = NEW, *, age: timedelta = timedelta()
) -> dict[str, str]:
    """Return the headers that the trigger's sender would send."""
    scheme = scheme_from({"preset": door.made["auth"]["preset"]})
    made = sign(
        scheme,
        secret,
        now=door.api.bed.node.clock.now() - age,
        body=body,
        url=PUBLIC_URL + door.path,
        headers={"content-type": "application/json"},
        message_id=f"{zlib.crc32(body):x}",
    )
    return dict(made.headers)


async def send(door: Door, body: bytes, secret: str = NEW, **more: Any) -> int:
    headers = await signed(door, body, secret, **more)
    return (await door.api.anyone("POST", door.path, body, headers=headers)).status


async def mend(door: Door, secret: str = NEW) -> None:
    answer = await door.api.admin("POST", f"/api/v1/triggers/{door.made['id']}/rotate", {"secret": secret})
    assert answer.status == 200, answer


async def reverify(door: Door, **asked: Any) -> dict[str, Any]:
    answer = await door.api.admin("POST", f"/api/v1/triggers/{door.made['id']}/reverify", asked)
    assert answer.status == 200, answer
    told: dict[str, Any] = answer.json
    return told


async def shown(api: Api, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.admin("GET", f"/api/v1/requests/{id}")).json
    return found


class Order:
    """Notes the inputs of the runs as they are stored, oldest first."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    async def work(self, job: RunJob, _: RunListener) -> Succeeded:
        self.inputs.append(job.input)
        return Succeeded(output=b"null")

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(8):
            while len(self.inputs) < count:  # noqa: ASYNC110 -- the work notes it in another task
                await asyncio.sleep(0.01)
        return self.inputs


async def test_after_the_secret_is_mended_the_good_ones_run_in_order_and_once(store: Store) -> None:
    """Issue 3, point 7; P4: byte-exact, oldest first, each once however often it is asked for."""
    order = Order()
    async with serving(store, work={ORDERS: order.work}) as api:
        door = await Door.open(api, auth=GITHUB, concurrency={"limit": 1})
        bodies = [b'{ "n" : %d, "f": 1.0 }' % number for number in range(5)]
        refused = [await send(door, body) for body in bodies[:3]]
        refused.append(await send(door, b"{}", "neither of them"))
        refused += [await send(door, body) for body in bodies[3:]]
        before = await reverify(door)
        await mend(door)
        preview = await reverify(door, dry_run=True)
        none_yet = await door.executions()
        first = await reverify(door)
        again = await reverify(door)
        ran = list(await order.until(5))
        kept = await door.refused()
        executions = await door.executions()
        one = await shown(api, kept[-1]["id"])

    assert refused == [401] * 6
    assert (before["requests"], before["good"], before["refused"]) == (6, 0, {"signature_mismatch": 6})
    assert (preview["dry_run"], preview["good"], preview["started"]) == (True, 5, 0)
    assert none_yet == []
    assert (first["good"], first["started"], first["refused"]) == (5, 5, {"signature_mismatch": 1})
    assert first["next"] is None
    assert (again["requests"], again["started"]) == (1, 0)
    assert ran == bodies
    assert [line["execution_id"] for line in kept[::-1] if line["execution_id"]] == first["executions"]
    assert {run["trigger"]["request_id"] for run in executions} == {
        line["id"] for line in kept if line["execution_id"]
    }
    assert one["explain"]["reason"] == "already_ran"


async def test_two_that_check_at_once_run_each_request_once(store: Store) -> None:
    """P5: also from several callers at the same time."""
    order = Order()
    async with serving(store, work={ORDERS: order.work}) as api:
        door = await Door.open(api, auth=GITHUB)
        for number in range(20):
            await send(door, b'{"n":%d}' % number)
        await mend(door)
        told = await asyncio.gather(*(reverify(door) for _ in range(4)))
        executions = (await api.admin("GET", "/api/v1/executions?limit=100")).json["executions"]

    assert sum(one["started"] for one in told) == 20
    assert len(executions) == 20


async def test_the_age_of_a_request_is_judged_by_its_arrival(store: Store) -> None:
    """Issue 3, point 7: a day later it is no older than it was; one that came too old stays refused."""
    clock = StandingClock()
    async with serving(store, clock=clock) as api:
        door = await Door.open(api, auth=STRIPE)
        await send(door, b'{"n":1}')
        await send(door, b'{"n":2}', OLD, age=timedelta(seconds=412))
        clock.move_to(clock.now() + timedelta(days=1))
        await mend(door)
        told = await reverify(door, until=clock.now().isoformat())
        kept = await door.refused()
        late = await shown(api, kept[0]["id"])

    assert (told["started"], told["refused"]) == (1, {"timestamp_too_old": 1})
    # The signed time has whole seconds.
    assert re.search(r"41[23] s", " ".join(late["explain"]["findings"]))


async def test_a_refused_request_is_explained_with_todays_secrets(store: Store) -> None:
    """Issue 3, point 7: the owner sees what would make it fit, and never the expected value."""
    body = b'{"a": 1.0,  "b":[]}'
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB)
        compact = json.dumps(json.loads(body), separators=(",", ":")).encode()
        written_again = dict(await signed(door, compact, OLD))
        await api.anyone("POST", door.path, body, headers=written_again)
        await send(door, body, "somebody else's")
        await send(door, body, NEW)
        kept = [one["id"] for one in (await door.refused())[::-1]]
        before = [await shown(api, id) for id in kept]
        await mend(door)
        after = [await api.admin("GET", f"/api/v1/requests/{id}/explain") for id in kept]

    told = [one["explain"] for one in before]
    assert [one["is_good"] for one in told] == [False, False, False]
    assert "re-serialized" in " ".join(told[0]["findings"])
    assert "another secret signed it" in " ".join(told[1]["findings"])
    now = [one.json["explain"] for one in after]
    assert [one["is_good"] for one in now] == [False, False, True]
    assert "previous secret" in " ".join(now[0]["findings"])
    assert OLD not in json.dumps([before, now])
    good = sign(scheme_from({"preset": "github"}), NEW, now=api.bed.node.clock.now(), body=compact)
    assert dict(good.headers)["x-hub-signature-256"] not in json.dumps([before, now])


async def test_what_was_not_kept_cannot_be_checked_again_and_that_is_said(store: Store) -> None:
    """Issue 3, point 7: bodies cut at the cap, credentials, URLs that held one, and what was refused for else."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB)
        await send(door, b'"' + b"x" * (1 << 20) + b'"')
        kept_whole = b'"' + b"x" * 900_000 + b'"'
        await send(door, kept_whole)
        headers = await signed(door, b"{}")
        await api.anyone("POST", door.path + "?key=hidden", b"{}", headers=headers)
        await door(b"{}", method="PUT", content_type="application/json")
        await api.admin("PATCH", f"/api/v1/triggers/{door.made['id']}", {"ip_allowlist": ["10.0.0.0/8"]})
        await send(door, b"{}")
        await api.admin("PATCH", f"/api/v1/triggers/{door.made['id']}", {"ip_allowlist": None})
        await mend(door)
        told = await reverify(door, dry_run=True)
        kept = await door.refused()
        views = [await shown(api, line["id"]) for line in kept[::-1]]
        token = await Door.open(api, auth={"type": "token"})
        await token(b"{}", authorization="Bearer wrong-wrong-wrong-wrong")
        of_token = await reverify(token)
        whole = await api.admin("GET", f"/api/v1/requests/{kept[-2]['id']}/body")
        cut = await api.admin("GET", f"/api/v1/requests/{kept[-1]['id']}/body")

    assert told["good"] == 1
    assert told["refused"] == {
        "body_cut": 1,
        "url_not_kept": 1,
        "header_missing": 1,
        "address_not_allowed": 1,
    }
    assert (views[0]["is_body_whole"], views[0]["body_size"], len(views[0]["body"])) == (
        False,
        (1 << 20) + 2,
        64 * 1024,
    )
    assert "1048578 bytes only the first 65536" in views[0]["explain"]["findings"][0]
    assert views[1]["explain"]["is_good"] is True
    assert (whole.status, whole.body) == (200, kept_whole)
    assert (cut.status, cut.code) == (409, "BODY_CUT")
    assert of_token["refused"] == {"credential_not_kept": 1}


async def test_a_senders_own_retry_is_not_run_a_second_time(store: Store) -> None:
    """P5: what the sender's id names ran when it was sent again, so the refused one is that execution's."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB, dedupe={"header": "x-github-delivery"})

        async def deliver(secret: str) -> int:
            headers = await signed(door, b'{"n":1}', secret) | {"x-github-delivery": "d-1"}
            return (await api.anyone("POST", door.path, b'{"n":1}', headers=headers)).status

        statuses = [await deliver(NEW)]
        await mend(door)
        statuses.append(await deliver(NEW))
        told = await reverify(door)
        again = await reverify(door)
        executions = await door.executions()
        kept = await door.refused()

    assert statuses == [401, 202]
    assert (told["good"], told["started"], told["repeats"]) == (1, 0, 1)
    assert again["requests"] == 0
    assert [run["id"] for run in executions] == [kept[0]["execution_id"]]


async def test_a_trigger_keeps_no_refused_requests_when_it_says_so(store: Store) -> None:
    """Issue 3, point 7: the opt-out."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB, keep_refused=False)
        await send(door, b"{}", "wrong")
        none = await door.refused()
        await api.admin("PATCH", f"/api/v1/triggers/{door.made['id']}", {"keep_refused": True})
        await send(door, b"{}", "wrong")
        one = await door.refused()
        bad = await api.admin("PATCH", f"/api/v1/triggers/{door.made['id']}", {"keep_refused": "no"})

    assert (none, len(one)) == ([], 1)
    assert (bad.status, bad.details["field"]) == (400, "keep_refused")


async def test_a_flood_of_refused_requests_keeps_a_few(store: Store) -> None:
    """P19: a minute's worth at once, then five a second; bodies beyond the allowance are cut."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB, rate_per_second=100_000)
        body = b'"' + b"x" * 100_000 + b'"'
        headers = await signed(door, body)
        await asyncio.gather(*(api.anyone("POST", door.path, body, headers=headers) for _ in range(700)))
        found = await api.admin("GET", f"/api/v1/triggers/{door.made['id']}/requests?refused=true&limit=500")

    assert 300 <= len(found.json["requests"]) <= 450


async def test_a_page_at_a_time_goes_through_all(store: Store) -> None:
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB)
        for number in range(5):
            await send(door, b'{"n":%d}' % number, NEW if number % 2 else "wrong")
        await mend(door)
        counts, cursor = [], None
        while True:
            told = await reverify(door, limit=2, cursor=cursor)
            counts.append((told["requests"], told["started"]))
            cursor = told["next"]
            if cursor is None:
                break
        bad = await api.admin("POST", f"/api/v1/triggers/{door.made['id']}/reverify", {"cursor": "?"})

    assert counts == [(2, 1), (2, 1), (1, 0)]
    assert (bad.status, bad.details["field"]) == (400, "cursor")


@pytest.mark.parametrize("passing", range(1, 9))
async def test_a_store_that_goes_away_anywhere_neither_loses_nor_doubles_a_run(
    store: Store, passing: int
) -> None:
    """P2, P5: the commit fails, or is done and its answer is lost; asked again, each has run exactly once."""
    async with serving(store) as api:
        door = await Door.open(api, auth=GITHUB, dedupe={"header": "x-github-delivery"})
        for number in range(4):
            await send(door, b'{"n":%d}' % number)
        await mend(door)
        committer = api.bed.node.committer
        commit, calls = committer.commit, 0

        async def failing(write: Any, **more: Any) -> Any:
            nonlocal calls
            calls += type(write).__name__ in {"Accept", "Attribute"}
            if calls * 2 - 1 == passing:
                raise StorageError("It is away.")
            result = await commit(write, **more)
            if calls * 2 == passing:
                raise StorageError("Its answer is lost.")
            return result

        committer.commit = failing  # type: ignore[method-assign]
        answer = await api.admin("POST", f"/api/v1/triggers/{door.made['id']}/reverify", {})
        committer.commit = commit  # type: ignore[method-assign]
        await reverify(door)
        executions = await door.executions()
        kept = await door.refused()

    assert answer.status == 503
    assert len(executions) == 4
    assert len({line["execution_id"] for line in kept}) == 4
