"""Several nodes over one PostgreSQL: work is shared, taken over, and done once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from engine_bed import ORDERS, policy, running
from mail_bed import mailbox
from opened import opened
from world import world

from hookline.engine.manage.organizations import add_member
from hookline.model.states import DeliveryState
from hookline.ports.runner import Succeeded
from hookline.testing.fakes import OK, FakeSender, refused

if TYPE_CHECKING:
    from pathlib import Path

    from hookline.ports.runner import Outcome, RunJob, RunListener
    from hookline.testing.postgres import PostgresServer

pytestmark = pytest.mark.asyncio


async def succeed(_: RunJob, __: RunListener) -> Outcome:
    return Succeeded(output=b"1")


async def test_each_role_leaves_the_other_work_to_the_nodes_that_have_it(
    postgres_server: PostgresServer,
) -> None:
    """DESIGN section 3: received on one node, run on a second, delivered by a third."""
    url = postgres_server.fresh_database()
    async with (
        opened(url) as one,
        opened(url) as two,
        opened(url) as three,
        running(one, work={ORDERS: succeed}, roles=("receive",)) as receiver,
        running(
            two, work={ORDERS: succeed}, roles=("execute",), organization_id=receiver.organization_id
        ) as executor,
        running(three, roles=("deliver",), organization_id=receiver.organization_id) as deliverer,
    ):
        await receiver.webhook(events=("workflow.execution.completed",))
        execution = await receiver.start()
        await receiver.until_status(execution, "succeeded")
        await receiver.until_deliveries(
            lambda found: [delivery.state for delivery in found] == [DeliveryState.SUCCEEDED]
        )

        sent = [len(bed.sender.sent) for bed in (receiver, executor, deliverer)]
        ran = [len(bed.runner.started) for bed in (receiver, executor, deliverer)]

    assert sent == [0, 0, 1]
    assert ran == [0, 1, 0]


@pytest.mark.parametrize("key", [None, "k"], ids=["any order", "ordered"])
async def test_a_batch_of_a_node_that_does_not_deliver_is_delivered_by_one_that_does(
    postgres_server: PostgresServer, key: str | None
) -> None:
    """DESIGN section 3 and AF-19: what fills a batch came to the receiving node; no claim of it may stay there."""
    url = postgres_server.fresh_database()
    async with (
        opened(url) as one,
        opened(url) as two,
        running(one, roles=("receive",)) as receiver,
        running(two, roles=("deliver",), organization_id=receiver.organization_id) as deliverer,
    ):
        await receiver.webhook(batch={"max_events": 2, "max_wait_seconds": 60})
        for number in range(4):
            await receiver.publish(data=b"%d" % number, ordering_key=key)
        await receiver.until_deliveries(
            lambda found: [delivery.state for delivery in found] == [DeliveryState.SUCCEEDED] * 2
        )

        assert [len(bed.sender.sent) for bed in (receiver, deliverer)] == [0, 2]


async def test_the_roles_of_the_settings_are_the_nodes(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """``HOOKLINE_ROLES=receive`` takes work and leaves it to the nodes that do it."""

    def run() -> tuple[str, str]:
        with world(postgres_server.fresh_database(), tmp_path, HOOKLINE_ROLES="receive") as one:
            execution_id = one.start("orders", {"order_id": 1})
            alone = one.get(f"/api/v1/executions/{execution_id}", Prefer="wait=1")
            one.add_node()
            return alone["status"], one.ended(execution_id)["status"]

    assert await asyncio.to_thread(run) == ("queued", "succeeded")


async def test_two_nodes_share_a_backlog_and_send_each_delivery_once(postgres_server: PostgresServer) -> None:
    """PROMISES section 3, two workers on one queue: no double claim."""
    url = postgres_server.fresh_database()
    async with (
        opened(url) as one,
        opened(url) as two,
        running(one, roles=("receive",)) as receiver,
    ):
        await receiver.webhook()
        await asyncio.gather(*(receiver.publish(data=b"%d" % number) for number in range(400)))
        async with (
            opened(url) as third,
            running(two, roles=("deliver",), organization_id=receiver.organization_id) as first,
            running(third, roles=("deliver",), organization_id=receiver.organization_id) as second,
        ):
            await receiver.until_deliveries(
                lambda found: all(delivery.state is DeliveryState.SUCCEEDED for delivery in found), within=15
            )
            bodies = [request.body for bed in (first, second) for request in bed.sender.sent]

    assert len(bodies) == len(set(bodies)) == 400


async def test_two_nodes_that_see_the_same_webhook_fail_tell_of_it_once(
    postgres_server: PostgresServer,
) -> None:
    """Health is shared: one mail for each change of state, whoever saw it; each failure counts."""
    url = postgres_server.fresh_database()
    answers = {"now": refused(500)}
    senders = [FakeSender(lambda _: answers["now"]) for _ in range(2)]
    async with (
        mailbox() as box,
        opened(url) as one,
        opened(url) as two,
        running(one, sender=senders[0], mailer=box.mailer()) as first,
        running(two, sender=senders[1], mailer=box.mailer(), organization_id=first.organization_id) as second,
    ):
        now = first.node.clock.now()
        await add_member(one, first.organization_id, name="Ada", email="ada@team.test", now=now)
        webhook = await first.webhook(retry_policy=policy(0))
        await second.node.directory.refresh()
        await asyncio.gather(*[bed.publish() for bed in (first, second) for _ in range(50)])
        await first.until_deliveries(lambda found: len(found) == 100 and all(d.ended_at for d in found))
        await box.received(1)
        async with asyncio.timeout(10):  # what is only counted is stored every other second, by each
            while (await one.health([webhook.id]))[webhook.id].failures != 100:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        answers["now"] = OK
        await asyncio.gather(*[bed.publish() for bed in (first, second) for _ in range(50)])
        await first.until_deliveries(lambda found: len(found) == 200 and all(d.ended_at for d in found))
        await box.received(2)
        for bed in (first, second):
            await bed.node.alerts.look()
            await bed.node.mails.look()

        assert all(sender.sent for sender in senders)
        assert box.subjects == ["Webhook w: an event could not be delivered", "Webhook w works again"]
        assert (await two.health([webhook.id]))[webhook.id].failing_since is None
