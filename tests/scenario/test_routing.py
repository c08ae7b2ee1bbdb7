"""Which flow of which instance a request is for, who may call it, and what its ``on_trigger`` makes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from instance_bed import ACME, ACME_ORDERS, ALL, SHARED, SINGLE, Instances, integrated

from hookline.engine.manage.instances import SHARED as SHARED_NAMES
from hookline.engine.manage.triggers import PATHS
from hookline.engine.routing import MOST_ASKED, Answered, Before, Destination, Request, with_members
from hookline.errors import HandlerFailedError, MissingError, UnauthorizedError, UnroutableError
from hookline.model.configuration import Trigger
from hookline.model.integrations import Endpoint, Handler, Security

if TYPE_CHECKING:
    from hookline.ports import Store
    from hookline.ports.runner import CallJob

pytestmark = pytest.mark.asyncio


async def destination(
    acme: Instances,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    data: Any = None,
    key: str | None = None,
) -> Destination:
    """Route a request to this URL."""
    node = acme.api.bed.node
    trigger = await node.directory.find(Trigger, PATHS, url.rpartition("/")[2])
    assert trigger is not None
    payload = {"headers": headers or {}, "body": {"data": data, "content_type": "application/json"}}
    request = Request(payload=payload, text=lambda: msgspec.json.encode(payload), api_key=key, url=url)
    return await node.router.destination(trigger, request)


async def test_the_url_of_a_flow_leads_to_it(store: Store) -> None:
    """PR-8: instance and flow specific: every flow of every instance has a URL of its own."""
    async with integrated(store) as acme:
        one, two = await acme.made("c-1"), await acme.made("c-2")
        found = await destination(acme, two["webhook_urls"]["invoices"], headers={"x-flow": "orders"})

    assert (found.flow.name, found.flow.automation_id) == ("invoices", "acme.invoices")
    assert found.shown["instance"]["id"] == two["id"] != one["id"]
    assert found.shown["invoke_url"] == two["webhook_urls"]["invoices"]
    assert found.shown["webhook_urls"] == two["webhook_urls"]


async def test_one_url_of_an_instance_leads_to_the_flow_that_the_request_names(store: Store) -> None:
    """PR-8, PR-16: ``flowNameField: headers.x-flow``."""
    async with integrated(store, SINGLE) as acme:
        made = await acme.made()
        url = made["webhook_urls"]["orders"]
        found = await destination(acme, url, headers={"x-flow": "invoices"})
        with pytest.raises(UnroutableError) as unknown:
            await destination(acme, url, headers={"x-flow": "other"})
        with pytest.raises(UnroutableError) as unnamed:
            await destination(acme, url)

    assert found.flow.name == "invoices"
    assert unknown.value.reason == "unroutable: there is no flow 'other'"
    assert unnamed.value.reason == "unroutable: no flow is named"


async def test_a_shared_url_leads_to_the_customer_and_flow_that_the_request_names(store: Store) -> None:
    """PR-8, PR-16: ``externalCustomerIdField: body.data.tenant``; only the organization's own customers."""
    async with integrated(store, SHARED) as acme:
        await acme.made("c-1")
        two = await acme.made("c-2")
        other = acme.api.admin.having(Hookline_Organization=await acme.api.organization("Other"))
        await acme.made("theirs", client=other)
        url, named = two["invoke_url"], {"x-flow": "orders"}
        found = await destination(acme, url, headers=named, data={"tenant": "c-2"})
        reasons = []
        for data in ({"tenant": "theirs"}, {"tenant": "nobody"}, {}, None, [1], {"tenant": True}):
            with pytest.raises(UnroutableError) as error:
                await destination(acme, url, headers=named, data=data)
            reasons.append(error.value.reason)
        await acme.act(two, "disable")
        with pytest.raises(UnroutableError) as disabled:
            await destination(acme, url, headers=named, data={"tenant": "c-2"})

    assert (found.shown["customer"]["external_id"], found.shown["instance"]["id"]) == ("c-2", two["id"])
    assert found.shown["invoke_url"] == url
    assert reasons == [
        "unroutable: there is no instance of customer 'theirs'",
        "unroutable: there is no instance of customer 'nobody'",
        *["unroutable: no customer is named"] * 4,
    ]
    assert disabled.value.reason == "unroutable: out of service is the instance of customer 'c-2'"


async def test_a_function_of_the_app_may_route(store: Store) -> None:
    """PR-16: a Python function instead of fields; one that raises makes the request unroutable, with its words."""

    async def route(job: CallJob) -> bytes:
        assert job.payload is not None
        data = msgspec.json.decode(job.payload)["body"]["data"]
        return msgspec.json.encode({"flow": "orders", "customer": data["who"]})

    routed = msgspec.structs.replace(ACME, endpoint=Endpoint.SHARED, has_route=True)
    async with integrated(store, routed, handlers={Handler.ROUTE: route}) as acme:
        made = await acme.made("c-1")
        found = await destination(acme, made["invoke_url"], data={"who": "c-1"})
        with pytest.raises(UnroutableError) as error:
            await destination(acme, made["invoke_url"], data={})

    assert found.shown["customer"]["external_id"] == "c-1"
    assert error.value.reason == "unroutable: the route function failed: KeyError: 'who'"


async def test_disabled_and_removed_instances_look_like_none(store: Store) -> None:
    """PR-X8: the same 404 for unknown and disabled."""
    async with integrated(store) as acme:
        made = await acme.made()
        url = made["webhook_urls"]["orders"]
        await acme.act(made, "disable")
        with pytest.raises(MissingError) as disabled:
            await destination(acme, url)
        await acme.act(made, method="DELETE")
        gone = await acme.api.bed.node.directory.find(Trigger, PATHS, url.rpartition("/")[2])

    assert not isinstance(disabled.value, UnroutableError)
    assert gone is None


@pytest.mark.parametrize("security", list(Security))
async def test_who_may_call_is_the_integrations_choice(store: Store, security: Security) -> None:
    """PR-17: unsecured, customer_optional (open until there is a key), customer_required, organization."""
    async with integrated(store, msgspec.structs.replace(ACME, security=security)) as acme:
        made = await acme.made()
        url = made["webhook_urls"]["orders"]
        starter = await acme.api.admin("POST", "/api/v1/keys", {"name": "k", "scopes": ["trigger"]})
        reader = await acme.api.admin("POST", "/api/v1/keys", {"name": "k", "scopes": ["read"]})
        other = acme.api.admin.having(Hookline_Organization=await acme.api.organization("Other"))
        foreign = await other("POST", "/api/v1/keys", {"name": "k", "scopes": ["trigger"]})
        keys = {
            "none": None,
            "wrong": "hwk_wrong",
            "organization": starter.json["key"],
            "reader": reader.json["key"],
            "foreign": foreign.json["key"],
            "flow": made["api_keys"].get("orders", [None])[0],
            "sibling": made["api_keys"].get("invoices", [None])[0],
        }

        async def admitted() -> set[str]:
            found = set()
            for name, key in keys.items():
                try:
                    await destination(acme, url, key=key)
                except UnauthorizedError:
                    continue
                found.add(name)
            return found

        before = await admitted()
        after = before
        if security is Security.CUSTOMER_OPTIONAL:
            keys["flow"] = (await acme.act(made, "keys", {"flow": "orders"})).json["api_key"]
            after = await admitted()

    expected = {
        Security.UNSECURED: set(keys),
        Security.CUSTOMER_OPTIONAL: set(keys),
        Security.CUSTOMER_REQUIRED: {"flow"},
        Security.ORGANIZATION: {"organization"},
    }[security]
    assert before == expected
    assert after == ({"flow"} if security is Security.CUSTOMER_OPTIONAL else expected)


async def test_a_revoked_key_is_refused(store: Store) -> None:
    """PR-17: keys overlap while one is replaced; the old one is refused when it is revoked."""
    async with integrated(store, msgspec.structs.replace(ACME, security=Security.CUSTOMER_REQUIRED)) as acme:
        made = await acme.made()
        url, old = made["webhook_urls"]["orders"], made["api_keys"]["orders"][0]
        new = (await acme.act(made, "keys", {"flow": "orders"})).json["api_key"]
        for key in (old, new):
            await destination(acme, url, key=key)
        await acme.act(made, "keys/revoke", {"flow": "orders"})
        await destination(acme, url, key=new)
        with pytest.raises(UnauthorizedError):
            await destination(acme, url, key=old)
        await acme.act(made, "keys/revoke", {"flow": "orders", "keep": 0})
        with pytest.raises(UnauthorizedError):
            await destination(acme, url)


async def test_on_trigger_decides_before_an_execution(store: Store) -> None:
    """PR-3, PR-12: it may replace the payload, answer, or both; what it raises is passed on."""
    said: list[Any] = []

    async def on_trigger(job: CallJob) -> bytes:
        assert job.payload is not None
        said.append(msgspec.json.decode(job.context))
        match msgspec.json.decode(job.payload)["do"]:
            case "challenge":
                body = {"$base64": "Yy0xNw=="}
                answer = {"status": 200, "content_type": "text/plain", "headers": {"X-A": "b"}, "body": body}
                return msgspec.json.encode({"runs": False, "payload": None, "response": answer})
            case "raise":
                raise ValueError("no such widget")
        return msgspec.json.encode({"runs": True, "payload": {"body": {"data": 2}}, "response": None})

    flows = (msgspec.structs.replace(ACME.flows[0], handlers=ALL), *ACME.flows[1:])
    changed = msgspec.structs.replace(ACME, flows=flows)
    async with integrated(store, changed, handlers={Handler.ON_TRIGGER: on_trigger}) as acme:
        made = await acme.made(config={"token": "t"})
        router = acme.api.bed.node.router
        place = await destination(acme, made["webhook_urls"]["orders"])
        other = await destination(acme, made["webhook_urls"]["invoices"])
        challenge = await router.before_start(place, b'{"do":"challenge"}')
        replaced = await router.before_start(place, b'{"do":"run"}')
        with pytest.raises(HandlerFailedError, match=r"^no such widget$"):
            await router.before_start(place, b'{"do":"raise"}')
        unhandled = await router.before_start(other, b'{"do":"raise"}')

    assert challenge == Before(
        runs=False, answer=Answered(status=200, content_type="text/plain", headers={"X-A": "b"}, body=b"c-17")
    )
    assert (replaced.runs, replaced.answer) == (True, None)
    assert with_members(b'{"body":{"data":1},"path_fragment":"a"}', replaced.replaced) == (
        b'{"body":{"data":2},"path_fragment":"a"}'
    )
    assert unhandled == Before()
    assert (said[0]["config"]["token"], said[0]["flow"]["name"]) == ("t", "orders")
    assert said[0]["instance_state"] == {"webhook_id": "remote-orders"}


async def test_executions_get_config_and_keys_of_their_own_instance_only(store: Store) -> None:
    """PR-11, P13, P14: what is private is handed over at each start, and never to another organization's run."""
    async with integrated(store) as acme:
        made = await acme.made(config={"token": "t-1"})
        key = (await acme.act(made, "keys", {"flow": "orders"})).json["api_key"]
        node = acme.api.bed.node
        place = await destination(acme, made["webhook_urls"]["orders"], key=key)
        run = await acme.api.bed.start(ACME_ORDERS)
        mine = msgspec.structs.replace(
            run,
            organization_id=place.instance.organization_id,
            automation_id="acme.orders",
            trigger=msgspec.json.encode(place.shown),
        )
        told = await node.contexts.private_of(mine)
        foreign = await node.contexts.private_of(
            msgspec.structs.replace(mine, organization_id=acme.api.bed.organization_id)
        )
        plain = await node.contexts.private_of(msgspec.structs.replace(mine, automation_id="orders"))

    assert told is not None
    private = msgspec.json.decode(told)
    assert private["config"] == {"region": "eu", "limit": None, "token": "t-1"}
    assert private["instance_state"] == {"webhook_id": "remote-orders"}
    assert private["webhook_api_keys"] == {"orders": [key]}
    assert (foreign, plain) == (None, None)
    assert b"t-1" not in (mine.trigger or b"")


async def test_a_shared_trigger_is_found_by_organization_and_integration(store: Store) -> None:
    async with integrated(store, SHARED) as acme:
        made = await acme.made()
        (trigger,) = await store.list(Trigger, organization_id=None)
        name = f"{trigger.organization_id.hex()}:acme"
        found = await store.find(Trigger, SHARED_NAMES, name)

    assert found == trigger
    assert trigger.document.auth.type == "integration"
    assert made["invoke_url"].endswith(f"/trigger/{trigger.document.path_id}")


async def test_one_instance_does_not_take_every_handler_process(store: Store) -> None:
    """P10: of one instance so many ``on_trigger`` run at once; another's are asked meanwhile."""
    gate, under_way, most = asyncio.Event(), Counter[str](), Counter[str]()

    async def hangs(job: CallJob) -> bytes:
        who = msgspec.json.decode(job.context)["customer"]["external_id"]
        under_way[who] += 1
        most[who] = max(most[who], under_way[who])
        if who == "slow":
            await gate.wait()
        under_way[who] -= 1
        return b"null"

    flows = (msgspec.structs.replace(ACME.flows[0], handlers=ALL),)
    integration = msgspec.structs.replace(ACME, flows=flows)
    async with integrated(store, integration, handlers={Handler.ON_TRIGGER: hangs}) as acme:
        router = acme.api.bed.node.router
        places = [
            await destination(acme, (await acme.made(who))["webhook_urls"]["orders"])
            for who in ("slow", "quick")
        ]
        waiting = [asyncio.create_task(router.before_start(places[0], b"{}")) for _ in range(MOST_ASKED + 4)]
        await asyncio.gather(*(router.before_start(places[1], b"{}") for _ in range(4)))
        gate.set()
        await asyncio.gather(*waiting)

    assert most["slow"] == MOST_ASKED
    assert most["quick"] >= 1
