"""Flows whose callers sign: presets and own schemes, with the secrets of each customer's instance (PR-17, issue 3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from api_bed import PUBLIC_URL
from instance_bed import ACME, SHARED, integrated

from hookline.core.inbound import PRESETS, sign
from hookline.engine.signing import check_signatures
from hookline.errors import SettingError
from hookline.model.integrations import FlowSignature, Variable

if TYPE_CHECKING:
    from asgi import Reply
    from instance_bed import Instances

    from hookline.model.integrations import Integration
    from hookline.ports import Store

pytestmark = pytest.mark.asyncio

ONE, TWO = "the secret of customer one", "the secret of customer two"
SECRETS = (Variable(name="secret", is_secret=True), Variable(name="before", is_secret=True))


def signed(integration: Integration, preset: str) -> Integration:
    """Return an integration whose first flow takes signed requests only."""
    first, *others = integration.flows
    by = FlowSignature(definition={"preset": preset}, secrets=("secret", "before"))
    flows = (msgspec.structs.replace(first, signature=by, handlers=()), *others)
    return msgspec.structs.replace(integration, flows=flows, variables=(*integration.variables, *SECRETS))


async def send(
    acme: Instances, path: str, preset: str, secret: str, body: bytes, headers: dict[str, str] | None = None
) -> Reply:
    """Sign a request as its sender does, and send it."""
    made = sign(PRESETS[preset], secret, now=datetime.now(UTC), body=body, url=PUBLIC_URL + path)
    more = {"Content-Type": "application/json", **(headers or {})}
    return await acme.api.anyone("POST", path, body, headers={**dict(made.headers), **more})


async def started(acme: Instances) -> list[dict[str, Any]]:
    """Return the executions of the signed flow; deployments have started others."""
    return [run for run in await acme.runs() if run["automation"]["id"] == "acme.orders"]


async def test_a_flow_takes_what_its_own_customer_signed(store: Store) -> None:
    """Each instance has its own secret; that of another is garbage here."""
    async with integrated(store, signed(ACME, "github")) as acme:
        one = await acme.made("c-1", config={"secret": ONE})
        await acme.made("c-2", config={"secret": TWO})
        path = acme.path(one)
        good = await send(acme, path, "github", ONE, b'{"id": 1}')
        foreign = await send(acme, path, "github", TWO, b'{"id": 2}')
        unsigned = await acme.api.anyone(
            "POST", path, b"{broken", headers={"Content-Type": "application/json"}
        )
        garbage = await acme.api.anyone(
            "POST", path, b"{}", headers={"X-Hub-Signature-256": "sha256=\xff, ,"}
        )
        kept = (await acme.api.admin("GET", "/api/v1/requests?refused=true")).json["requests"]
        runs = await started(acme)

    assert good.status == 200
    assert [reply.status for reply in (foreign, unsigned, garbage)] == [401] * 3
    assert len({reply.body for reply in (foreign, unsigned, garbage)}) == 1
    assert [one["status"] for one in kept] == [401] * 3
    assert any("signed it" in one["reason"] for one in kept)
    assert len(runs) == 1


async def test_a_sibling_that_declares_none_needs_none(store: Store) -> None:
    async with integrated(store, signed(ACME, "github")) as acme:
        made = await acme.made(config={"secret": ONE})
        answer = await acme.api.anyone("POST", acme.path(made, "invoices"), b"{}")

    assert answer.status == 200


async def test_an_instance_without_a_secret_refuses_everything(store: Store) -> None:
    """Fail closed: also what is signed with an empty secret."""
    async with integrated(store, signed(ACME, "github")) as acme:
        made = await acme.made()
        answer = await send(acme, acme.path(made), "github", "any", b"{}")
        kept = (await acme.api.admin("GET", "/api/v1/requests?refused=true")).json["requests"]

    assert answer.status == 401
    assert "no secret" in kept[0]["reason"]


async def test_the_secret_before_counts_while_it_has_a_value(store: Store) -> None:
    async with integrated(store, signed(ACME, "github")) as acme:
        made = await acme.made(config={"secret": ONE})
        await acme.act(made, method="PATCH", body={"config": {"secret": TWO, "before": ONE}})
        during = [await send(acme, acme.path(made), "github", key, b"{}") for key in (ONE, TWO)]
        await acme.act(made, method="PATCH", body={"config": {"before": None}})
        after = [await send(acme, acme.path(made), "github", key, b"{}") for key in (ONE, TWO)]

    assert [answer.status for answer in during] == [200, 200]
    assert [answer.status for answer in after] == [401, 200]


async def test_a_repeat_by_the_senders_own_id_starts_nothing(store: Store) -> None:
    async with integrated(store, signed(ACME, "github")) as acme:
        made = await acme.made(config={"secret": ONE})
        headers = {"X-GitHub-Delivery": "72d3162e"}
        first = await send(acme, acme.path(made), "github", ONE, b'{"id": 1}', headers)
        again = await send(acme, acme.path(made), "github", ONE, b'{"id": 1}', headers)
        runs = await started(acme)

    assert first.json["executionId"] == again.json["executionId"]
    assert len(runs) == 1


@pytest.mark.parametrize("integration", [ACME, SHARED], ids=["flow", "shared"])
async def test_a_handshake_is_answered_without_an_execution(store: Store, integration: Integration) -> None:
    async with integrated(store, signed(integration, "slack")) as acme:
        made = await acme.made("c-1", config={"secret": ONE})
        path = acme.path(made) if integration is ACME else made["invoke_url"].removeprefix(PUBLIC_URL)
        body = json.dumps({"type": "url_verification", "challenge": "c-17", "tenant": "c-1"}).encode()
        headers = {"X-Flow": "orders"}
        good = await send(acme, path, "slack", ONE, body, headers)
        forged = await send(acme, path, "slack", TWO, body, headers)
        runs = await started(acme)

    assert (good.status, good.body) == (200, b"c-17")
    assert forged.status == 401
    assert runs == []


async def test_on_a_shared_url_the_customer_that_is_named_must_have_signed(store: Store) -> None:
    async with integrated(store, signed(SHARED, "github")) as acme:
        one = await acme.made("c-1", config={"secret": ONE})
        await acme.made("c-2", config={"secret": TWO})
        path = one["invoke_url"].removeprefix(PUBLIC_URL)
        headers = {"X-Flow": "orders"}
        mine = await send(acme, path, "github", ONE, b'{"tenant": "c-1"}', headers)
        others = await send(acme, path, "github", ONE, b'{"tenant": "c-2"}', headers)
        runs = await started(acme)

    assert (mine.status, others.status) == (200, 401)
    assert len(runs) == 1


async def test_a_secret_that_its_scheme_cannot_use_is_refused_where_it_is_set(store: Store) -> None:
    async with integrated(store, signed(ACME, "svix")) as acme:
        refused = await acme.create(config={"secret": "no base64!"})

    assert refused.status == 400
    assert refused.json["error"]["details"]["field"] == "config.secret"
    assert "base64!" not in refused.json["error"]["message"]


async def test_a_signature_that_is_none_stops_the_start() -> None:
    wrong = signed(ACME, "githup")

    with pytest.raises(SettingError, match=r"flow 'orders' of integration 'acme'.*no such preset"):
        check_signatures((wrong,))


def secrets_in(found: Any) -> bool:
    return ONE in json.dumps(found)


async def test_no_secret_is_shown(store: Store) -> None:
    """P13."""
    async with integrated(store, signed(ACME, "github")) as acme:
        made = await acme.made(config={"secret": ONE})
        await send(acme, acme.path(made), "github", TWO, b"{}")
        shown = [
            await acme.shown(made),
            (await acme.api.admin("GET", "/api/v1/integrations/acme")).json,
            (await acme.api.admin("GET", "/api/v1/requests?refused=true")).json,
        ]

    assert not any(secrets_in(found) for found in shown)
    assert shown[1]["flows"][0]["signature"] == {
        "scheme": {"preset": "github"},
        "secrets": ["secret", "before"],
    }
