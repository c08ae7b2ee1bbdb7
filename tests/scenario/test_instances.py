"""Instances: deployed, changed, disabled and removed with their handlers, whatever fails on the way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from instance_bed import ACME, SHARED, SINGLE, DyingStore, Instances, Remote, integrated

from hookline.engine.clock import SystemClock
from hookline.model.configuration import Trigger
from hookline.model.ids import parse
from hookline.model.integrations import Deployment, Instance, Security

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from hookline.model.ids import Key
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def acme(store: Store) -> AsyncIterator[Instances]:
    async with integrated(store) as instances:
        yield instances


class LaterClock(SystemClock):
    """Two minutes on: whoever wrote something before is not about to write the rest."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=2)


def key_of(run: dict[str, Any]) -> Key:
    key = parse("execution", run["id"])
    assert key is not None
    return key


async def left(store: Store) -> tuple[int, int, int]:
    """Count the instances, their triggers and the notes of deployments."""
    return (
        len(await store.list(Instance, organization_id=None)),
        len(await store.list(Trigger, organization_id=None)),
        len(await store.list(Deployment, organization_id=None)),
    )


async def test_what_the_app_declares_is_shown(acme: Instances) -> None:
    """PR-15, PR-16: integrations are code; the API lists them."""
    listed = await acme.api.admin("GET", "/api/v1/integrations")
    one = await acme.api.admin("GET", "/api/v1/integrations/acme")

    assert listed.json == {"integrations": [one.json]}
    assert (one.json["endpoint"], one.json["security"]) == ("flow", "customer_optional")
    assert [(flow["name"], flow["deploy_trigger"]) for flow in one.json["flows"]] == [
        ("orders", False),
        ("invoices", False),
        ("setup", True),
    ]
    assert one.json["config"][2]["secret"] is True
    assert (await acme.api.admin("GET", "/api/v1/integrations/other")).status == 404


async def test_creating_deploys_every_flow_in_order(acme: Instances, store: Store) -> None:
    """PR-13, PR-20: each ``on_deploy`` sees the URL of its own flow, one after the other."""
    made = await acme.made(
        config={"token": "s3cret"}, customer={"external_id": "c-1", "name": "Customer One"}
    )

    assert acme.remote.said == ["on_deploy orders", "on_deploy invoices"]
    assert acme.remote.registered == {name: made["webhook_urls"][name] for name in ("orders", "invoices")}
    assert len(set(made["webhook_urls"].values())) == 3
    assert all(url.startswith("https://hooks.example.com/trigger/") for url in made["webhook_urls"].values())
    assert all(url.endswith("==") for url in made["webhook_urls"].values())
    told = acme.remote.contexts[0]
    assert told["config"] == {"region": "eu", "limit": None, "token": "s3cret"}
    assert (told["flow"]["name"], told["customer"]["external_id"]) == ("orders", "c-1")
    assert (told["instance"]["id"], told["integration"]["name"]) == (made["id"], "Acme")
    assert await left(store) == (1, 3, 0)


async def test_a_deploy_time_flow_runs_once_for_each_deployment(acme: Instances, store: Store) -> None:
    """PR-13, PR-20: deploy triggers run flows on deploy, with the URLs of their siblings."""
    made = await acme.made()
    await acme.act(made, "deploy")
    runs = await acme.runs()

    assert [run["automation"]["id"] for run in runs] == ["acme.setup", "acme.setup"]
    stored = await store.execution(key_of(runs[0]), organization_id=None)
    assert stored is not None
    shown = msgspec.json.decode(stored.trigger or b"null")
    assert shown["webhook_urls"] == made["webhook_urls"]
    assert (shown["instance"]["id"], shown["flow"]["name"]) == (made["id"], "setup")
    assert shown["execution_id"] == runs[0]["id"]


async def test_secrets_of_the_config_are_taken_and_never_shown(acme: Instances, store: Store) -> None:
    """P13: a secret stands in no answer and not readable in the database; running code gets it."""
    made = await acme.made(config={"token": "s3cret-t0ken", "region": "us", "limit": 3.5})
    documents = await store.list(Instance, organization_id=None)

    for answer in (made, await acme.shown(made), (await acme.api.admin("GET", "/api/v1/instances")).json):
        assert "s3cret-t0ken" not in str(answer)
    assert (made["config"], made["config_secrets"]) == ({"region": "us", "limit": 3.5}, ["token"])
    assert "s3cret-t0ken" not in repr(documents)
    assert acme.remote.contexts[-1]["config"]["token"] == "s3cret-t0ken"


async def test_the_state_of_on_deploy_is_handed_to_on_remove(acme: Instances, store: Store) -> None:
    """PR-13, PR-X7: what was registered on deploy is deleted on removal, the last flow first; then all is gone."""
    made = await acme.made()
    answer = await acme.act(made, method="DELETE")

    assert (answer.status, answer.body) == (204, b"")
    assert acme.remote.said[2:] == ["on_remove invoices", "on_remove orders"]
    assert acme.remote.registered == {}
    assert await left(store) == (0, 0, 0)
    assert (await acme.act(made, method="GET")).status == 404


async def test_disabling_withdraws_and_enabling_deploys_again(acme: Instances) -> None:
    """PR-20: the remove handlers run on disable; URLs stay the same."""
    made = await acme.made()
    disabled = await acme.act(made, "disable")
    again = await acme.act(made, "disable")
    said = list(acme.remote.said)
    enabled = await acme.act(made, "enable")

    assert (disabled.json["status"], again.json["status"]) == ("disabled", "disabled")
    assert said[2:] == ["on_remove invoices", "on_remove orders"]
    assert enabled.json["status"] == "active"
    assert enabled.json["webhook_urls"] == made["webhook_urls"]
    assert set(acme.remote.registered) == {"orders", "invoices"}


async def test_configuring_merges_and_deploys_once_more(acme: Instances) -> None:
    """PR-20: deploy on reconfigure; ``on_deploy`` sees the state of the last time."""
    made = await acme.made(config={"token": "old", "region": "us"})
    changed = await acme.act(made, body={"config": {"token": "new", "region": None}}, method="PATCH")
    named = await acme.act(made, body={"name": "Renamed"}, method="PATCH")

    assert changed.json["status"] == "active"
    assert (changed.json["config"], changed.json["config_secrets"]) == ({}, ["token"])
    assert acme.remote.said == ["on_deploy orders", "on_deploy invoices"] * 2
    assert acme.remote.contexts[2]["config"] == {"region": "eu", "limit": None, "token": "new"}
    assert acme.remote.contexts[2]["instance_state"] == {"webhook_id": "remote-orders"}
    assert named.json["name"] == "Renamed"


async def test_a_disabled_instance_is_configured_without_deploying(acme: Instances) -> None:
    made = await acme.made()
    await acme.act(made, "disable")
    said = list(acme.remote.said)
    changed = await acme.act(made, body={"config": {"region": "us"}}, method="PATCH")
    deployed = await acme.act(made, "deploy")

    assert (changed.json["status"], changed.json["config"]) == ("disabled", {"region": "us"})
    assert acme.remote.said == said
    assert (deployed.status, deployed.code) == (409, "INSTANCE_DISABLED")


async def test_a_failing_on_deploy_registers_nothing_and_may_be_repeated(acme: Instances) -> None:
    """PR-13: the instance is failed with the reason; what was registered before it failed is withdrawn."""
    acme.remote.fails = {("on_deploy", "invoices")}
    answer = await acme.create()
    registered = dict(acme.remote.registered)
    runs = await acme.runs()
    acme.remote.fails = set()
    repeated = await acme.act(answer.json, "deploy")

    assert (answer.status, answer.json["status"]) == (201, "failed")
    assert answer.json["status_reason"] == (
        "on_deploy of flow 'invoices' failed: RuntimeError: no room for invoices"
    )
    assert acme.remote.said[:3] == ["on_deploy orders", "on_deploy invoices", "on_remove orders"]
    assert (registered, runs) == ({}, [])
    assert (repeated.json["status"], repeated.json["status_reason"]) == ("active", None)
    assert set(acme.remote.registered) == {"orders", "invoices"}


async def test_what_could_not_be_withdrawn_is_said_and_tried_again(acme: Instances) -> None:
    """A failing ``on_remove`` keeps the instance and its state; ``force`` removes it all the same."""
    made = await acme.made()
    acme.remote.fails = {("on_remove", "orders")}
    refused = await acme.act(made, method="DELETE")
    shown = await acme.shown(made)
    again = await acme.act(made, method="DELETE")
    said = len(acme.remote.said)
    forced = await acme.api.admin("DELETE", f"/api/v1/instances/{made['id']}?force=true")

    assert (refused.status, refused.code) == (409, "REMOVAL_FAILED")
    assert shown["status"] == "failed"
    assert "on_remove of flow 'orders' failed" in shown["status_reason"]
    assert again.status == 409
    assert acme.remote.said[2:] == ["on_remove invoices", "on_remove orders", "on_remove orders"]
    assert (forced.status, len(acme.remote.said)) == (204, said)


async def test_a_state_has_a_bound(store: Store) -> None:
    """PR-13: what ``on_deploy`` returns is read with every request: more than 64 KiB is refused in its words."""

    async def much(_: Any) -> bytes:
        return b'"' + b"x" * 65_536 + b'"'

    async with integrated(store, handlers={"on_deploy": much}) as acme:
        made = (await acme.create()).json

    assert (made["status"], made["status_reason"]) == (
        "failed",
        "on_deploy of flow 'orders' failed: it returned 65538 bytes; at most 65536 are kept",
    )


async def test_only_one_change_at_a_time(store: Store) -> None:
    """While handlers run, another change is refused; keys may still be made."""
    gate = asyncio.Event()
    remote = Remote()

    async def slow(job: Any) -> bytes:
        await gate.wait()
        return await remote.on_deploy(job)

    async with integrated(store, remote=remote, handlers={"on_deploy": slow}) as acme:
        creating = asyncio.create_task(acme.create())
        async with asyncio.timeout(5):
            while not (listed := await acme.listed()):  # noqa: ASYNC110 -- asks the API, as a user would
                await asyncio.sleep(0.01)
        (instance,) = listed
        refused = await acme.act(instance, method="DELETE")
        key = await acme.act(instance, "keys", {"flow": "orders"})
        gate.set()
        made = await creating

    assert instance["status"] == "deploying"
    assert (refused.status, refused.code) == (409, "DEPLOYMENT_UNDER_WAY")
    assert key.status == 201
    assert made.json["status"] == "active"


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"integration": "other"}, "integration", "INTEGRATION_UNKNOWN"),
        ({"config": {"other": 1}}, "config.other", "UNKNOWN_FIELD"),
        ({"config": {"limit": "3"}}, "config.limit", "INVALID_INPUT"),
        ({"config": {"limit": True}}, "config.limit", "INVALID_INPUT"),
        ({"config": {"token": 5}}, "config.token", "INVALID_INPUT"),
        ({"customer": {"external_id": ""}}, "customer.external_id", "INVALID_INPUT"),
        ({"customer": {"external_id": "a\nb"}}, "customer.external_id", "INVALID_INPUT"),
        ({"customer": {"external_id": "x" * 257}}, "customer.external_id", "INVALID_INPUT"),
        ({"name": ""}, "name", "INVALID_INPUT"),
    ],
)
async def test_bad_instances_are_refused_with_the_field(
    acme: Instances, store: Store, fields: dict[str, Any], field: str, code: str
) -> None:
    answer = await acme.create(**fields)

    assert (answer.status, answer.code, answer.details["field"]) == (400, code, field)
    assert await left(store) == (0, 0, 0)


async def test_a_required_variable_must_have_a_value(store: Store) -> None:
    required = msgspec.structs.replace(ACME.variables[2], is_required=True)
    async with integrated(store, msgspec.structs.replace(ACME, variables=(required,))) as acme:
        refused = await acme.create()
        made = await acme.made(config={"token": "t"})
        unset = await acme.act(made, body={"config": {"token": None}}, method="PATCH")

    assert (refused.status, refused.details["field"]) == (400, "config.token")
    assert (unset.status, unset.details["field"]) == (400, "config.token")


async def test_keys_are_made_shown_once_and_revoked(acme: Instances) -> None:
    """PR-11: ``webhook_api_keys`` of a flow is a list, the newest key first."""
    made = await acme.made()
    first = (await acme.act(made, "keys", {"flow": "orders"})).json["api_key"]
    second = (await acme.act(made, "keys", {"flow": "orders"})).json["api_key"]
    await acme.act(made, "deploy")
    keys = acme.remote.contexts[-1]["webhook_api_keys"]
    revoked = await acme.act(made, "keys/revoke", {"flow": "orders"})
    unknown = await acme.act(made, "keys", {"flow": "other"})

    assert made["api_keys"] == {}
    assert keys == {"orders": [second, first]}
    assert revoked.json["api_key_counts"] == {"orders": 1}
    assert first not in str(revoked.json)
    assert (unknown.status, unknown.details["field"]) == (400, "flow")


async def test_required_keys_are_made_with_the_instance(store: Store) -> None:
    """PR-17: ``customer_required`` gives every flow a key; ``unsecured`` has none to give."""
    async with integrated(store, msgspec.structs.replace(ACME, security=Security.CUSTOMER_REQUIRED)) as acme:
        made = await acme.made()

    assert set(made["api_keys"]) == {"orders", "invoices", "setup"}
    assert all(key.startswith("hwk_") for (key,) in made["api_keys"].values())


async def test_unsecured_flows_have_no_keys(store: Store) -> None:
    """PR-17."""
    async with integrated(store, msgspec.structs.replace(ACME, security=Security.UNSECURED)) as acme:
        made = await acme.made()
        refused = await acme.act(made, "keys", {"flow": "orders"})

    assert (refused.status, refused.code) == (409, "KEYS_NOT_USED")


async def test_readers_see_no_url(acme: Instances) -> None:
    """A URL lets whoever has it start executions: it is shown to the write scope only."""
    made = await acme.made()
    reader = await acme.api.client("read")
    shown = (await reader("GET", f"/api/v1/instances/{made['id']}")).json

    assert (shown["webhook_urls"], shown["invoke_url"]) == (None, None)
    assert shown["status"] == "active"


async def test_flows_of_one_instance_may_share_a_url(store: Store) -> None:
    """PR-8: instance specific: one URL per instance."""
    async with integrated(store, SINGLE) as acme:
        one, two = await acme.made("c-1"), await acme.made("c-2")

    assert len(set(one["webhook_urls"].values())) == 1
    assert set(one["webhook_urls"].values()) != set(two["webhook_urls"].values())


async def test_a_shared_endpoint_is_one_url_of_an_organization_and_stays(store: Store) -> None:
    """PR-8, PR-11: shared: ``invoke_url`` is the same for all customers, and a customer has one instance."""
    async with integrated(store, SHARED) as acme:
        one, two = await acme.made("c-1"), await acme.made("c-2")
        twice = await acme.create("c-1")
        other = acme.api.admin.having(Hookline_Organization=await acme.api.organization("Other"))
        theirs = await acme.made("c-1", client=other)
        for instance in (one, two):
            assert (await acme.act(instance, method="DELETE")).status == 204
        back = await acme.made("c-1")

    assert one["invoke_url"] == two["invoke_url"] == back["invoke_url"] is not None
    assert set(one["webhook_urls"].values()) == {one["invoke_url"]}
    assert theirs["invoke_url"] != one["invoke_url"]
    assert (twice.status, twice.code) == (409, "INSTANCE_EXISTS")


async def test_flows_that_are_new_in_the_app_get_their_url_on_the_next_deployment(store: Store) -> None:
    fewer = msgspec.structs.replace(ACME, flows=ACME.flows[:1])
    remote = Remote()
    async with integrated(store, fewer, remote=remote) as acme:
        made, key = await acme.made(), acme.api.key
    async with integrated(store, ACME, remote=remote, key=key) as acme:
        before = await acme.shown(made)
        after = (await acme.act(made, "deploy")).json

    assert set(before["webhook_urls"]) == {"orders"}
    assert set(after["webhook_urls"]) == {"orders", "invoices", "setup"}
    assert after["webhook_urls"]["orders"] == made["webhook_urls"]["orders"]


async def test_an_instance_of_an_integration_that_is_gone_can_be_removed(store: Store) -> None:
    async with integrated(store) as acme:
        made, key = await acme.made(), acme.api.key
    async with integrated(store, msgspec.structs.replace(ACME, id="else", flows=()), key=key) as acme:
        deployed = (await acme.act(made, "deploy")).json
        removed = await acme.act(made, method="DELETE")

    assert (deployed["status"], deployed["status_reason"]) == (
        "failed",
        "the app no longer declares this integration",
    )
    assert removed.status == 204
    assert await left(store) == (0, 0, 0)


# --- crashes ------------------------------------------------------------------------------------------------


async def _until_settled(store: Store) -> None:
    async with asyncio.timeout(10):
        while (await left(store))[2]:  # noqa: ASYNC110 -- asks the store, as a user would
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("writes", range(14))
async def test_creating_survives_a_crash_after_any_write(store: Store, writes: int) -> None:
    """PR-13, P2: killed after the nth change of the registry, a new node finishes it or nothing is left of it."""
    remote = Remote()
    async with integrated(store, remote=remote) as acme:
        key = acme.api.key
    dying: Any = DyingStore(store, 1_000)
    async with integrated(dying, remote=remote, key=key) as acme:
        dying.writes_left = writes
        answer = await acme.create()
        dying.writes_left = 0
        await store.close_node(acme.api.bed.node.epoch)  # as the lease of a dead process ends
    async with integrated(store, remote=remote, key=key, clock=LaterClock()) as acme:
        await _until_settled(store)
        instances = await acme.listed()
        runs = await acme.runs()
        counted = await left(store)

    if answer.status == 201:
        assert len(instances) == 1
    if instances:
        (instance,) = instances
        assert (instance["status"], counted) == ("active", (1, 3, 0))
        assert remote.registered == {name: instance["webhook_urls"][name] for name in ("orders", "invoices")}
        assert len(runs) == 1
    else:
        assert (counted, remote.said, runs) == ((0, 0, 0), [], [])


@pytest.mark.parametrize("writes", range(9))
async def test_removing_survives_a_crash_after_any_write(store: Store, writes: int) -> None:
    """PR-13, P2: killed after the nth change, a new node finishes the removal; nothing is half there."""
    remote = Remote()
    async with integrated(store, remote=remote) as acme:
        made, key = await acme.made(), acme.api.key
    dying: Any = DyingStore(store, 1_000)
    async with integrated(dying, remote=remote, key=key) as acme:
        dying.writes_left = writes
        answer = await acme.act(made, method="DELETE")
        dying.writes_left = 0
        await store.close_node(acme.api.bed.node.epoch)
    async with integrated(store, remote=remote, key=key, clock=LaterClock()) as acme:
        await _until_settled(store)
        counted = await left(store)

    if answer.status in {202, 204} or counted[0] == 0:
        assert (counted, remote.registered) == ((0, 0, 0), {})
    else:
        assert (counted, set(remote.registered)) == ((1, 3, 0), {"orders", "invoices"})


async def test_another_node_goes_on_when_the_one_that_deploys_dies(store: Store) -> None:
    """P2: a node that lives takes over without a restart; a deployment under way elsewhere is left alone."""
    remote = Remote()
    stuck = asyncio.Event()

    async def hangs(_: Any) -> bytes:
        stuck.set()
        await asyncio.Event().wait()
        return b"null"

    async with integrated(store, remote=remote, handlers={"on_deploy": hangs}) as dying:
        creating = asyncio.create_task(dying.create())
        await asyncio.wait_for(stuck.wait(), 5)
        async with integrated(store, remote=remote, key=dying.api.key) as other:
            await other.api.bed.node.deployer.look()
            alone = list(remote.said)
            await store.close_node(dying.api.bed.node.epoch)
            await other.api.bed.node.deployer.look()
            await _until_settled(store)
            (instance,) = await other.listed()
        creating.cancel()
        await dying.api.bed.node.deployer.close(0)

    assert alone == []
    assert instance["status"] == "active"
    assert set(remote.registered) == {"orders", "invoices"}
