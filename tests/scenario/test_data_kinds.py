"""Work that is set up as data, over both stores: found by organization, limited, followed, its files kept."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import msgspec
import pytest
from engine_bed import ORDERS, parsed, running

from hookline.blobs.files import FileBlobs
from hookline.core.retention import Kept
from hookline.engine.receive import ExecutionStart
from hookline.errors import InputError, MissingError
from hookline.model.executions import Automation, ScriptFacts
from hookline.model.ids import new_key
from hookline.model.states import Kind
from hookline.ports.runner import Succeeded

if TYPE_CHECKING:
    from pathlib import Path

    from engine_bed import Bed

    from hookline.model.executions import Execution, Facts
    from hookline.model.ids import Key
    from hookline.ports import Store
    from hookline.ports.runner import Outcome, RunJob, RunListener

pytestmark = pytest.mark.asyncio

SCRAPE = Automation(kind=Kind.SCRIPT, id="5027055349780535", name="Scrape", timeout_ms=1_234, concurrency=1)


class Agents:
    """A ``DataKind`` with one agent in each organization that it is given."""

    def __init__(self, *owners: Key) -> None:
        self.owners = set(owners)
        self.source = b'{"source":"1"}'

    async def automation(self, organization_id: Key, id: str) -> Automation | None:
        return SCRAPE if organization_id in self.owners and id == SCRAPE.id else None

    async def automations(self, organization_id: Key) -> list[Automation]:
        return [SCRAPE] if organization_id in self.owners else []

    async def definition(self, organization_id: Key, id: str) -> bytes | None:
        if await self.automation(organization_id, id) is None:
            raise MissingError("There is no such script agent any more.")
        return self.source

    async def facts(self, execution: Execution) -> Facts | None:
        assert execution.kind is Kind.SCRIPT
        return ScriptFacts(script="scrape.js", script_org="acme", branch="main")


async def start_for(bed: Bed, organization_id: Key) -> Execution:
    started = await bed.node.start_execution(
        ExecutionStart(
            organization_id=organization_id, kind=Kind.SCRIPT, automation_id=SCRAPE.id, input=b"{}"
        )
    )
    assert not hasattr(started, "is_same")
    return started


async def test_it_is_found_by_its_organization_alone(store: Store) -> None:
    """An automation of another organization looks like one that is not there."""
    ours, theirs = new_key(), new_key()
    agents = Agents(ours)
    async with running(store, organization_id=ours, kinds={Kind.SCRIPT: agents}) as bed:
        assert await bed.node.find_automation(ours, Kind.SCRIPT, SCRAPE.id) == SCRAPE
        assert await bed.node.find_automation(theirs, Kind.SCRIPT, SCRAPE.id) is None
        assert SCRAPE in await bed.node.automations_of(ours)
        assert SCRAPE not in await bed.node.automations_of(theirs)
        agents.owners.clear()
        assert await bed.node.find_automation(ours, Kind.SCRIPT, SCRAPE.id) is None


async def test_the_runner_gets_the_definition_of_the_moment_and_the_time_limit(store: Store) -> None:
    """A node without an app runs it, and leaves the code of an app to the nodes that have one."""
    seen: list[RunJob] = []

    async def work(job: RunJob, _: RunListener) -> Outcome:
        seen.append(job)
        return Succeeded(output=b"1")

    organization = new_key()
    agents = Agents(organization)
    async with running(
        store, work={SCRAPE: work}, organization_id=organization, kinds={Kind.SCRIPT: agents}
    ) as bed:
        left = await bed.start(ORDERS)
        await bed.until_status(await bed.start(SCRAPE), "succeeded")
        agents.source = b'{"source":"2"}'
        await bed.until_status(await bed.start(SCRAPE), "succeeded")
        await bed.until_status(left, "queued")

    assert [(job.definition, job.timeout_ms) for job in seen] == [
        (b'{"source":"1"}', 1_234),
        (b'{"source":"2"}', 1_234),
    ]


async def test_one_whose_definition_is_gone_fails_and_says_so(store: Store) -> None:
    """The terminal event still tells what is known of it."""
    organization = new_key()
    agents = Agents()
    async with running(store, organization_id=organization, kinds={Kind.SCRIPT: agents}) as bed:
        await bed.webhook(events=("script.execution.ended",), dialect="standard")
        execution = await bed.start(SCRAPE)
        ended = await bed.until_status(execution, "failed")
        (request,) = await bed.sender.received(1)

    assert ended.error is not None
    assert ended.error.message == "There is no such script agent any more."
    data = parsed(request.body)["data"]
    assert (data["script"], data["script_org"], data["branch"]) == ("scrape.js", "acme", "main")


async def test_each_organization_has_the_automations_limit_for_itself(store: Store) -> None:
    """One run at once of an automation: the other organization's does not wait for it."""
    begun: asyncio.Queue[Key] = asyncio.Queue()
    go_on = asyncio.Event()

    async def work(job: RunJob, _: RunListener) -> Outcome:
        begun.put_nowait(job.execution_id)
        await go_on.wait()
        return Succeeded(output=b"1")

    one, two = new_key(), new_key()
    async with running(
        store, work={SCRAPE: work}, organization_id=one, kinds={Kind.SCRIPT: Agents(one, two)}
    ) as bed:
        first, second, other = await start_for(bed, one), await start_for(bed, one), await start_for(bed, two)
        async with asyncio.timeout(8):
            assert {await begun.get(), await begun.get()} == {first.id, other.id}
        assert begun.empty()
        go_on.set()
        await bed.until_status(second, "succeeded")


async def test_an_organization_at_its_limit_does_not_hold_up_another(store: Store) -> None:
    """P10: of one shared automation, what the limit keeps back lets the next organization's pass."""
    begun: asyncio.Queue[Key] = asyncio.Queue()
    go_on = asyncio.Event()

    async def work(job: RunJob, _: RunListener) -> Outcome:
        begun.put_nowait(job.execution_id)
        await go_on.wait()
        return Succeeded(output=b"1")

    async with running(store, work={ORDERS: work}, limits={"max_executions_per_organization": 2}) as bed:
        mine = [await bed.start(ORDERS) for _ in range(4)]
        other = await bed.node.start_execution(
            ExecutionStart(organization_id=new_key(), kind=Kind.WORKFLOW, automation_id=ORDERS.id)
        )
        assert not hasattr(other, "is_same")
        async with asyncio.timeout(8):
            first = {await begun.get() for _ in range(3)}
        assert first == {mine[0].id, mine[1].id, other.id}
        assert begun.empty()
        go_on.set()
        for execution in mine:
            await bed.until_status(execution, "succeeded")


async def test_progress_is_kept_as_few_lines_and_always_the_last(store: Store) -> None:
    """A thousand words of progress in a moment are two lines: the first, and how far it came."""

    async def work(_: RunJob, listener: RunListener) -> Outcome:
        for percent in range(1_000):
            await listener.progressed(msgspec.json.encode({"percent": percent / 10}))
        return Succeeded(output=b"1")

    async with running(store, work={ORDERS: work}) as bed:
        execution = await bed.start()
        await bed.until_status(execution, "succeeded")
        lines = await store.logs(execution.id, after=-1, limit=500)

    assert {line.stream for line in lines} == {"progress"}
    told = [parsed(line.fields or b"")["percent"] for line in lines]
    assert told[0] == 0
    assert told[-1] == 99.9
    assert len(told) < 20


async def test_what_waits_is_written_without_another_word(store: Store) -> None:
    """A run that says no more is shown as far as it came while it goes on."""
    go_on = asyncio.Event()

    async def work(_: RunJob, listener: RunListener) -> Outcome:
        await listener.progressed(b'{"percent":1}')
        await listener.progressed(b'{"percent":2}')
        await go_on.wait()
        return Succeeded(output=b"1")

    async with running(store, work={ORDERS: work}) as bed:
        execution = await bed.start()
        async with asyncio.timeout(8):
            while len(await store.logs(execution.id, after=-1, limit=9)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        go_on.set()
        await bed.until_status(execution, "succeeded")
        lines = await store.logs(execution.id, after=-1, limit=9)

    assert [line.fields for line in lines] == [b'{"percent":1}', b'{"percent":2}']


async def test_files_are_copied_and_go_with_their_execution(store: Store, tmp_path: Path) -> None:
    """The runner's own file may be deleted at once; the copy goes when the execution does."""
    blobs = FileBlobs(tmp_path / "blobs")

    async def work(_: RunJob, listener: RunListener) -> Outcome:
        for content in (b"first", b"second"):
            (tmp_path / "made").write_bytes(content)
            await listener.produced(tmp_path / "made", "report.txt", "text/plain; charset=utf-8")
            (tmp_path / "made").unlink()
        return Succeeded(output=b"1")

    async with running(store, work={ORDERS: work}, blobs=blobs) as bed:
        execution = await bed.start()
        await bed.until_status(execution, "succeeded")
        (artifact,) = await store.artifacts(execution.id)
        async with blobs.local(artifact.blob_id) as path:
            assert path.read_bytes() == b"second"
        bed.node.maintenance._kept = Kept(days=-60 / 86_400, payload_days=1, held_days=1)
        async with asyncio.timeout(8):
            while await store.artifacts(execution.id):
                await bed.node.maintenance.sweep()
        await bed.node.artifacts.sweep()

    assert (artifact.size, artifact.content_type) == (6, "text/plain; charset=utf-8")
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_what_is_no_plain_file_of_a_plain_name_is_refused(store: Store, tmp_path: Path) -> None:
    """A run must not lead the node to a file of somebody else, or into a pipe."""
    blobs = FileBlobs(tmp_path / "blobs")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    refused: list[str | None] = []

    async def work(_: RunJob, listener: RunListener) -> Outcome:
        for place, name in (
            ("link", "a"),
            ("pipe", "a"),
            ("missing", "a"),
            (".", "a"),
            ("secret", "../a"),
            ("secret", ".a"),
            ("secret", ""),
        ):
            try:
                await listener.produced(tmp_path / place, name, "text/plain")
            except InputError as exc:
                refused.append(exc.field)
        return Succeeded(output=b"1")

    async with running(store, work={ORDERS: work}, blobs=blobs) as bed:
        execution = await bed.start()
        await bed.until_status(execution, "succeeded")
        assert await store.artifacts(execution.id) == []

    assert refused == ["file"] * 4 + ["name"] * 3
