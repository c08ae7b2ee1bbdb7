"""``hookline requests``: what came in, why it was refused, and where it belongs."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.instants import Instant
from hookline.cli.options import Json, Limit
from hookline.cli.sheets import show_findings, show_request

app = App(name="requests", help="See what came in and why it was refused, and route it again.")

RequestId = Annotated[str, Parameter(help="Its id from `hookline requests list`.")]


@app.command(name="list")
def list_(
    *,
    trigger: str | None = None,
    refused: Annotated[bool | None, Parameter(negative="--accepted")] = None,
    ran: Annotated[bool | None, Parameter(negative="--never-ran")] = None,
    since: Instant | None = None,
    until: Instant | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List requests, newest first.

    For example:

    ```
    hookline requests list --refused --since 2h
    hookline requests list --trigger trg_… --refused --never-ran
    ```

    Parameters
    ----------
    trigger
        Only those that came in on this trigger.
    refused
        Only those that were refused when they came, or only the others.
    ran
        Only those that started something, then or later, or only the others.
    since
        Only those that came at or after this time: RFC 3339, a date, `today`, `yesterday`, or how long ago, as `2h`.
    until
        Only those that came before this time, written as for `--since`.
    """
    path = "/api/v1/requests" if trigger is None else f"/api/v1/triggers/{segment(trigger)}/requests"
    flags = {
        name: str(value).lower() for name, value in (("refused", refused), ("ran", ran)) if value is not None
    }
    found = Client.from_environment().pages(path, "requests", limit=limit, since=since, until=until, **flags)
    show.listing(
        found if json else [one | {"why": (one["reason"] or "").partition(". ")[0]} for one in found],
        show.columns(
            "id",
            ("received_at", "came"),
            "method",
            ("status", "HTTP"),
            ("body_size", "bytes"),
            ("remote_address", "from"),
            ("execution_id", "execution"),
            "why",
        ),
        json=json,
        spare=("body_size", "remote_address", "method", "execution_id"),
        empty=show.none_found(
            "no requests yet: nobody called a trigger", trigger, refused, ran, since, until
        ),
    )


@app.command(name="show")
def show_(request_id: RequestId, /, *, json: Json = False) -> None:
    """Show one request as it came, and what is wrong with a refused one.

    For example:

    ```
    hookline requests show req_…
    ```
    """
    found = Client.from_environment().get(_path(request_id))
    show.as_json(found) if json else show_request(found)


@app.command
def explain(request_id: RequestId, /, *, json: Json = False) -> int:
    """Say what is wrong with a refused request, judged with today's secrets.

    Exit code 0 if nothing is left to mend: it would run now, or it ran already.

    For example:

    ```
    hookline requests explain req_…
    ```
    """
    found = Client.from_environment().get(_path(request_id, "/explain"))
    told = found["explain"]
    if json:
        show.as_json(found)
    elif told is None:
        show.line(f"{request_id} was accepted", "green")
    else:
        show_findings(told)
    return 0 if told is None or told["is_good"] or told["reason"] == "already_ran" else 1


@app.command
def reroute(
    *request_ids: str, instance: str | None = None, flow: str | None = None, json: Json = False
) -> int:
    """Run requests that named no flow that was here, where they belong; each once.

    For example:

    ```
    hookline requests reroute req_…
    hookline requests reroute req_… --instance inst_… --flow orders
    ```

    Parameters
    ----------
    request_ids
        Ids from `hookline requests list --refused`.
    instance
        The instance, where the request does not say whose it is.
    flow
        The flow, where the request does not say which.
    """
    if not request_ids:
        raise CommandError("say which: `hookline requests list --refused --never-ran` shows them")
    client = Client.from_environment()
    asked = {name: value for name, value in (("instance_id", instance), ("flow", flow)) if value is not None}
    answers: list[dict[str, Any]] = []
    failed = 0
    for request_id in request_ids:
        try:
            answers.append(client.post(_path(request_id, "/reroute"), asked))
        except CommandError as error:
            failed += 1
            answers.append({"request_id": request_id, "execution_id": None, "status": error.message})
    show.listing(
        answers,
        show.columns(("request_id", "request"), ("execution_id", "execution"), "status"),
        json=json,
        empty="",
    )
    return 1 if failed else 0


def _path(request_id: str, rest: str = "") -> str:
    return f"/api/v1/requests/{segment(request_id)}{rest}"
