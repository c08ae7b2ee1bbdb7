"""What an app may declare, and what its trigger shows."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hookline import AgentContext, App, ConfigVariable, Queue, Retry, Signature
from hookline.errors import SettingError
from hookline.model.executions import QueueRule, RetryRule
from hookline.model.integrations import Endpoint, Flow, FlowSignature, Handler, Security
from hookline.model.states import Kind
from hookline.triggered import Headers, Record, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable


async def nothing(ctx: Any) -> None:
    """Do nothing.

    At length.
    """


def nothing_plain(ctx: Any) -> None:
    pass


def test_a_declaration_becomes_an_automation() -> None:
    app = App()
    options: Any = {"timeout_seconds": 1.5, "concurrency": 3, "shared": True, "resumable": True}
    declared = app.workflow("orders", name="Orders", **options)(nothing)
    app.agent("support")(nothing_plain)
    support, orders = app.automations

    assert declared is nothing
    assert app.function(Kind.WORKFLOW, "orders") is nothing
    assert app.function(Kind.AGENT, "orders") is None
    assert (orders.name, orders.timeout_ms, orders.concurrency) == ("Orders", 1500, 3)
    assert orders.is_shared
    assert orders.is_resumable
    assert orders.description == "Do nothing."
    assert (support.kind, support.name, support.timeout_ms) == (Kind.AGENT, "support", 900_000)


def test_an_agent_says_how_long_a_silence_may_last() -> None:
    app = App()
    app.agent("hasty", idle_seconds=90)(nothing)

    assert app.automations[0].idle_ms == 90_000
    for bad in (0, True, "1", 10**9, float("nan")):
        with pytest.raises(SettingError, match="agent 'x': idle_seconds must be"):
            App().agent("x", idle_seconds=bad)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="no option idle_seconds"):
        App().workflow("x", idle_seconds=90)  # type: ignore[call-arg]


def test_one_id_may_name_a_workflow_and_an_agent_but_not_two_workflows() -> None:
    app = App()
    app.workflow("x")(nothing)
    app.agent("x")(nothing)

    with pytest.raises(SettingError, match="declared twice"):
        app.workflow("x")


def test_only_async_functions_share_a_process() -> None:
    with pytest.raises(SettingError, match="'nothing_plain': write 'async def'"):
        App().workflow("x", shared=True)(nothing_plain)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": "1"},
        {"concurrency": 0},
        {"max_attempts": 0},
        {"concurrency": 1.5},
        {"retries": 3},
    ],
)
def test_bad_options_are_refused(options: Any) -> None:
    with pytest.raises(SettingError, match="workflow 'x'"):
        App().workflow("x", **options)


@pytest.mark.parametrize("bad", ["", "x" * 129, None, nothing])
def test_bad_ids_are_refused(bad: Any) -> None:
    with pytest.raises(SettingError, match="id must be"):
        App().workflow(bad)


def test_headers_ignore_case() -> None:
    headers = Headers({"Content-Type": "a", "X-Y": "b"})

    assert headers["content-TYPE"] == headers.get("CONTENT-TYPE") == "a"
    assert "x-y" in headers
    assert headers.__contains__(5) is False
    assert headers.get("z") is None
    assert dict(headers) == {"content-type": "a", "x-y": "b"}


def test_an_empty_trigger_answers_none() -> None:
    trigger = Trigger()

    assert trigger.raw_body.data is None
    assert trigger.body.content_type is None
    assert trigger.path_fragment is None
    assert trigger.customer.id is None
    assert trigger.started_at is None
    assert trigger.query_parameters == {}
    assert len(trigger.headers) == 0
    with pytest.raises(AttributeError, match="no 'pathfragment'"):
        _ = trigger.pathfragment


def test_a_trigger_shows_what_it_was_given() -> None:
    trigger = Trigger(
        {
            "path_fragment": "my/path",
            "webhook_urls": {"flow": "http://x"},
            "body": {"data": {"data": 1}, "content_type": "application/json"},
            "started_at": "2026-01-02T03:04:05.678Z",
            "method": "POST",
            "customer": {"id": "c", "external_id": "e"},
        }
    )

    assert trigger.path_fragment == "my/path"
    assert trigger.webhook_urls["flow"] == "http://x"
    assert trigger.body.data == {"data": 1}
    assert trigger.started_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert trigger.method == "POST"
    assert trigger.customer.external_id == trigger.customer["external_id"] == "e"


def test_records_copy_and_compare_like_objects() -> None:
    record = Record({"a": 1})

    assert repr(record) == "Record(a)"
    with pytest.raises(AttributeError):
        _ = record.__wrapped__


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    script = (
        "import sys; from hookline import App; "
        "print(*sorted({'asyncio', 'fastapi', 'aiohttp', 'apsw', 'pydantic', 'ssl', 'logging'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

    assert told.stdout.strip() == ""


# --- integrations -------------------------------------------------------------------------------------------


def test_an_integration_declares_flows_that_are_workflows() -> None:
    """PR-8, PR-15: a flow is a workflow named after its integration, and knows which handlers it has."""
    app = App()
    acme = app.integration("acme", name="Acme", config={"token": ConfigVariable(required=True, secret=True)})
    flow = acme.flow("orders", synchronous=True, deploy_trigger=True, on_trigger=nothing, timeout_seconds=15)

    declared = flow(nothing)

    (automation,), (integration,) = app.automations, app.integrations
    assert declared is nothing
    assert (automation.kind, automation.id, automation.name) == (Kind.WORKFLOW, "acme.orders", "orders")
    assert automation.timeout_ms == 15_000
    assert (integration.endpoint, integration.security) == (Endpoint.FLOW, Security.CUSTOMER_OPTIONAL)
    assert integration.flows == (
        Flow(
            name="orders",
            automation_id="acme.orders",
            is_synchronous=True,
            runs_on_deploy=True,
            handlers=(Handler.ON_TRIGGER,),
        ),
    )
    assert [(each.name, each.is_required, each.is_secret) for each in integration.variables] == [
        ("token", True, True)
    ]
    assert app.handler("acme", "orders", Handler.ON_TRIGGER) is nothing
    assert app.handler("acme", "orders", Handler.ON_DEPLOY) is None


@pytest.mark.parametrize("name", ["on_deploy", "on_instance_deploy"])
def test_on_deploy_has_the_sdks_name_too(name: str) -> None:
    """PR-13: ``onInstanceDeploy``."""
    app = App()
    arguments: dict[str, Any] = {name: nothing_plain}
    app.integration("acme").flow("x", **arguments)(nothing)

    assert app.handler("acme", "x", Handler.ON_DEPLOY) is nothing_plain


@pytest.mark.parametrize("name", ["on_remove", "on_instance_remove", "on_instance_delete"])
def test_on_remove_has_both_of_the_systems_names(name: str) -> None:
    """PR-X7: the seed says ``onInstanceRemove``, the SDK ``onInstanceDelete``: one behaviour."""
    app = App()
    arguments: dict[str, Any] = {name: nothing_plain}
    app.integration("acme").flow("x", **arguments)(nothing)

    assert app.handler("acme", "x", Handler.ON_REMOVE) is nothing_plain


def test_retry_and_queue_become_rules_of_the_automation() -> None:
    """PR-18, PR-19: what is declared is left for the engine to act on."""
    app = App()
    retry = Retry(
        max_attempts=10, delay_minutes=0.5, exponential=True, unique_request_id_field="headers.X-Id"
    )
    queue = Queue(type="throttled", concurrency_limit=15, dedupe_id_field="body.data.id")
    app.integration("acme").flow("x", retry=retry, queue=queue)(nothing)
    app.integration("b").flow("y", retry=Retry(max_attempts=0), queue=Queue(type="parallel"))(nothing)
    app.integration("c").flow("z", queue=Queue(type="sequential"))(nothing)
    x, y, z = app.automations

    assert x.retry == RetryRule(
        max_retries=10, delay_ms=30_000, is_exponential=True, unique_id="headers.X-Id"
    )
    assert x.queue == QueueRule(limit=15, dedupe_id="body.data.id")
    assert (y.retry, y.queue) == (None, None)
    assert z.queue == QueueRule(limit=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Retry(max_attempts=11), "0 to 10"),
        (lambda: Retry(max_attempts=True), "0 to 10"),
        (lambda: Retry(max_attempts=1, delay_minutes=61), "0 to 60"),
        (lambda: Retry(max_attempts=1, delay_minutes=-1), "0 to 60"),
        (lambda: Retry(max_attempts=1, unique_request_id_field="x"), "must begin with"),
        (lambda: Queue(type="fast"), "parallel, throttled or sequential"),  # type: ignore[arg-type]
        (lambda: Queue(type="throttled"), "2 to 15"),
        (lambda: Queue(type="throttled", concurrency_limit=1), "2 to 15"),
        (lambda: Queue(type="throttled", concurrency_limit=16), "2 to 15"),
        (lambda: Queue(type="sequential", concurrency_limit=2), "leave it out"),
        (lambda: Queue(type="parallel", dedupe_id_field="body.data.id"), "choose throttled"),
        (lambda: ConfigVariable(type="date"), "must be one of"),  # type: ignore[arg-type]
        (lambda: ConfigVariable(type="number", default=True), "must be a number"),
        (lambda: ConfigVariable(secret=True, default="x"), "no place"),
    ],
)
def test_bad_rules_and_variables_say_what_is_allowed(make: Any, words: str) -> None:
    """PR-18, PR-19: limits are checked where they are written."""
    with pytest.raises(SettingError, match=words):
        make()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"id": "a.b"}, "id must have"),
        ({"endpoint": "both"}, "flow, instance, shared"),
        ({"security": "open"}, "customer_optional"),
        ({"flow_name_field": "headers.x"}, "nothing to route"),
        ({"endpoint": "instance"}, "needs flow_name_field"),
        ({"endpoint": "shared", "flow_name_field": "headers.x"}, "needs external_customer_id_field"),
        ({"endpoint": "shared", "flow_name_field": "headers.x", "route": nothing}, "leave one of them out"),
        ({"endpoint": "instance", "flow_name_field": "cookies.x"}, "must begin with headers"),
        ({"endpoint": "instance", "flow_name_field": "headers"}, "must name a field"),
        (
            {
                "endpoint": "instance",
                "flow_name_field": "headers.x",
                "external_customer_id_field": "headers.y",
            },
            "leave out external_customer_id_field",
        ),
        ({"endpoint": "instance", "route": "function"}, "route must be a function"),
        ({"config": {"x": "string"}}, "must be a ConfigVariable"),
        ({"config": {"": ConfigVariable()}}, "name must be"),
    ],
)
def test_bad_integrations_say_the_next_step(settings: Any, words: str) -> None:
    """PR-16, PR-17: fields or a function, never both, and only where there is something to route."""
    with pytest.raises(SettingError, match=words):
        App().integration(**({"id": "acme"} | settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": ""}, "printable text"),
        ({"name": "x" * 61}, "1 to 60"),
        ({"name": "there"}, "declared twice"),
        ({"on_deploy": nothing, "on_instance_deploy": nothing}, "one setting"),
        ({"on_trigger": 17}, "on_trigger must be a function"),
        ({"synchronous": True, "retry": Retry(max_attempts=1)}, "leave retry out"),
        ({"synchronous": True, "queue": Queue(type="sequential")}, "leave queue out"),
        ({"retry": {"max_attempts": 1}}, "must be a Retry"),
        ({"queue": "sequential"}, "must be a Queue"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
    ],
)
def test_bad_flows_say_the_next_step(settings: Any, words: str) -> None:
    """PR-18: retries are for asynchronous flows; PR-19: so is FIFO."""
    acme = App().integration("acme")
    acme.flow("there")(nothing)

    with pytest.raises(SettingError, match=words):
        acme.flow(**({"name": "x"} | settings))


def test_an_integration_is_declared_once() -> None:
    app = App()
    app.integration("acme")

    with pytest.raises(SettingError, match="declared twice"):
        app.integration("acme")


def test_a_flow_says_how_its_callers_sign() -> None:
    """The secret is a config variable's, so that each customer has one."""
    app = App()
    config = {"secret": ConfigVariable(secret=True), "old": ConfigVariable(secret=True)}
    acme = app.integration("acme", config=config)
    acme.flow("a", signature=Signature(preset="github", secret="secret", previous_secret="old"))(print)
    acme.flow("b", signature=Signature(scheme={"header": "X-Sig"}, secret="secret"))(print)
    acme.flow("c")(print)

    assert [flow.signature for flow in app.integrations[0].flows] == [
        FlowSignature(definition={"preset": "github"}, secrets=("secret", "old")),
        FlowSignature(definition={"header": "X-Sig"}, secrets=("secret",)),
        None,
    ]


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Signature(secret="secret"), "give a preset, or a scheme"),
        (lambda: Signature(preset="github", scheme={}, secret="secret"), "give a preset, or a scheme"),
        (lambda: Signature(preset="github", secret="nowhere"), "'nowhere', which is no config variable"),
        (lambda: Signature(preset="github", secret="plain"), "secret=True"),
        (lambda: "github", "must be a Signature"),
    ],
)
def test_a_signature_that_cannot_work_is_refused_where_it_is_written(
    declare: Callable[[], Any], said: str
) -> None:
    acme = App().integration(
        "acme", config={"secret": ConfigVariable(secret=True), "plain": ConfigVariable()}
    )

    with pytest.raises(SettingError, match=said):
        acme.flow("a", signature=declare())(print)


def _agent_context() -> Any:
    session: Any = SimpleNamespace(
        input={}, trigger=Trigger(), config={}, instance_state=None, execution_id="e", attempt=1, trace_headers={},
        resolution=None,
    )  # fmt: skip
    return AgentContext(session), session


def test_an_agent_says_how_a_matter_was_settled() -> None:
    """AF-10: resolution and satisfaction score, as they will stand in the event."""
    ctx, session = _agent_context()
    ctx.resolve(type="solved", category="billing", tags=("a", "b"), satisfaction_score=4.5)

    assert session.resolution == {
        "type": "solved",
        "category": "billing",
        "tags": ["a", "b"],
        "satisfaction_score": 4.5,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"type": 1},
        {"category": ["x"]},
        {"tags": ["a", 2]},
        {"satisfaction_score": "5"},
        {"satisfaction_score": True},
        {"satisfaction_score": float("nan")},
    ],
)
def test_what_no_event_could_say_is_refused_where_it_is_said(given: Any) -> None:
    """AF-10: it was dropped without a word before."""
    ctx, session = _agent_context()
    with pytest.raises((TypeError, ValueError)):
        ctx.resolve(**given)

    assert session.resolution is None
