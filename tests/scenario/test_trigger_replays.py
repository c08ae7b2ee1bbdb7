"""``/api/v1/triggers/{id}/replay``: what came in and ran is run again, byte for byte (issue 3, point 8; PR-21)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import Api, serving
from engine_bed import ORDERS
from trigger_bed import Door

from hookline.errors import StorageError
from hookline.model.executions import QueueRule
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.runner import RunJob, RunListener

pytestmark = pytest.mark.asyncio

LONG_AGO = "2020-01-01T00:00:00Z"


class Given:
    """Notes what each run is given: its input and what its ``ctx.trigger`` shows, byte for byte."""

    def __init__(self) -> None:
        self.runs: list[tuple[bytes | None, bytes | None]] = []

    async def work(self, job: RunJob, _: RunListener) -> Succeeded:
        self.runs.append((job.input, job.trigger))
        return Succeeded(output=b"null")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.runs) < count:  # noqa: ASYNC110 -- the work notes it in another task
                await asyncio.sleep(0.01)


async def replay(api: Api, trigger: str, **asked: Any) -> dict[str, Any]:
    answer = await api.admin("POST", f"/api/v1/triggers/{trigger}/replay", {"since": LONG_AGO} | asked)
    assert answer.status == (200 if asked.get("dry_run") else 201), answer
    told: dict[str, Any] = answer.json
    return told


async def done(api: Api, id: str, status: str = "completed") -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            shown: dict[str, Any] = (await api.admin("GET", f"/api/v1/replays/{id}")).json
            if shown["status"] == status:
                return shown
            await asyncio.sleep(0.02)


async def replayed(api: Api) -> list[str]:
    """Of which executions there are replays, one for each."""
    found = (await api.admin("GET", "/api/v1/executions?limit=500")).json["executions"]
    return sorted(one["trigger"]["replay_of"] for one in found if one["trigger"]["replay_of"])


async def test_what_ran_runs_again_from_the_same_bytes_linked_and_in_order(store: Store) -> None:
    """P4, PR-21: a preview first; refused requests and other triggers are left out; a replay is not replayed."""
    given = Given()
    async with serving(store, work={ORDERS: given.work}) as api:
        door = await Door.open(api, concurrency={"limit": 1})
        other = await Door.open(api)
        bodies = [b'{ "n" : %d , "f":1.0}' % number for number in range(4)]
        for body in bodies:
            await door(body, "/a?x=1", content_type="application/json")
        await door(b"not json", content_type="application/json")
        await other(b"{}")
        await given.until(5)
        firsts = [one["id"] for one in await door.executions() if one["trigger"]["id"] == door.made["id"]]
        first_runs = [run for run in given.runs if run[0] in bodies]
        preview = await replay(api, door.made["id"], dry_run=True)
        none = (await api.admin("GET", "/api/v1/replays")).json["replays"]
        made = await replay(api, door.made["id"], rate_per_second=200)
        ended = await done(api, made["id"])
        await given.until(9)
        links = await replayed(api)
        second = await replay(api, door.made["id"], dry_run=True)
        listed = (await api.admin("GET", "/api/v1/replays")).json["replays"]

    assert (preview["count"], preview["dry_run"], none) == (4, True, [])
    assert (made["trigger_id"], made["count"]) == (door.made["id"], 4)
    assert (ended["started"], ended["skipped"], ended["progress"]) == (4, 0, 1.0)
    assert given.runs[5:] == first_runs
    assert links == sorted(firsts)
    assert second["count"] == 4
    assert [one["id"] for one in listed] == [made["id"]]


async def test_a_preview_counts_by_time(store: Store) -> None:
    async with serving(store) as api:
        door = await Door.open(api)
        await door(b"{}")
        counts = [
            (await replay(api, door.made["id"], dry_run=True, **asked))["count"]
            for asked in ({}, {"until": "2020-01-02T00:00:00Z"})
        ]

    assert counts == [1, 0]


async def test_what_stood_for_others_runs_once(store: Store) -> None:
    """A request that was merged into another's run, or skipped, started nothing of its own."""
    given = Given()
    async with serving(store, work={ORDERS: given.work}) as api:
        door = await Door.open(api, debounce={"delay_seconds": 0.3})
        for number in range(3):
            await door(b'{"n":%d}' % number, content_type="application/json")
        await given.until(1)
        made = await replay(api, door.made["id"])
        ended = await done(api, made["id"])
        await given.until(2)
        links = await replayed(api)

    assert (ended["started"], ended["skipped"]) == (1, 2)
    assert len(links) == 1
    assert given.runs[0] == given.runs[1]


async def test_a_queue_of_one_holds_for_replays_too(store: Store) -> None:
    """PR-19: what may not run beside one another does not when it is run again."""
    running = most = 0

    async def alone(_: RunJob, __: RunListener) -> Succeeded:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return Succeeded(output=b"null")

    one_by_one = msgspec.structs.replace(ORDERS, queue=QueueRule(limit=1))
    async with serving(store, work={one_by_one: alone}) as api:
        door = await Door.open(api)
        for _ in range(4):
            await door(b"{}")
        made = await replay(api, door.made["id"], rate_per_second=1000)
        await done(api, made["id"])
        single = await api.admin(
            "POST", f"/api/v1/executions/{(await door.executions())[0]['id']}/replay", b""
        )
        async with asyncio.timeout(10):
            while any(run["status"] != "succeeded" for run in await door.executions()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    assert single.status == 202
    assert most == 1


async def test_a_rate_is_held_and_a_pause_rests(store: Store) -> None:
    """Paced, with pause, resume and cancel as any replay."""
    async with serving(store) as api:
        door = await Door.open(api)
        for _ in range(12):
            await door(b"{}")
        began = time.monotonic()
        made = await replay(api, door.made["id"], rate_per_second=12)
        path = f"/api/v1/replays/{made['id']}"
        await api.admin("POST", f"{path}/pause")
        await asyncio.sleep(0.7)
        resting = (await api.admin("GET", path)).json
        await api.admin("POST", f"{path}/resume")
        ended = await done(api, made["id"])
        took = time.monotonic() - began
        links = await replayed(api)

    assert (resting["status"], resting["started"] < 12) == ("paused", True)
    assert ended["started"] == 12
    assert len(links) == len(set(links)) == 12
    assert took > 11 / 12


@pytest.mark.parametrize("passing", [1, 4, 5, 6])
@pytest.mark.parametrize("is_done", [False, True])
async def test_a_store_that_goes_away_anywhere_neither_loses_nor_doubles_a_run(
    store: Store, passing: int, is_done: bool
) -> None:
    """P2, P5: before a start or a note of how far it is, or after, with the answer lost; then another node goes on."""
    async with serving(store, stop=False) as api:
        door = await Door.open(api)
        for _ in range(4):
            await door(b"{}")
        committer, calls = api.bed.node.committer, 0
        commit, put = committer.commit, store.put

        def failing(what: Any) -> Any:
            async def call(*given: Any, **named: Any) -> Any:
                nonlocal calls
                calls += what is put or type(given[0]).__name__ == "Accept"
                if calls >= passing and not (is_done and calls == passing):
                    raise StorageError("It is away.")
                result = await what(*given, **named)
                if calls >= passing:
                    raise StorageError("Its answer is lost.")
                return result

            return call

        committer.commit = failing(commit)  # type: ignore[method-assign]
        store.put = failing(put)  # type: ignore[method-assign]
        made = await replay(api, door.made["id"], rate_per_second=1000)
        async with asyncio.timeout(10):
            while calls < passing or api.bed.node.replayer.is_busy:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        organization, key = api.bed.organization_id, api.key
        del store.put
    async with serving(store, organization_id=organization, key=key) as api:
        ended = await done(api, made["id"])
        links = await replayed(api)

    assert (ended["started"], ended["skipped"]) == (4, 0)
    assert len(links) == len(set(links)) == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": LONG_AGO, "until": LONG_AGO}, "since"),
        ({"since": LONG_AGO, "rate_per_second": 1001}, "rate_per_second"),
        ({"since": LONG_AGO, "speed": 1}, "speed"),
    ],
)
async def test_bad_replays_say_which_field(store: Store, body: dict[str, Any], field: str) -> None:
    async with serving(store) as api:
        door = await Door.open(api)
        answer = await api.admin("POST", f"/api/v1/triggers/{door.made['id']}/replay", body)

    assert answer.status == 400
    assert answer.details["field"].startswith(field)
