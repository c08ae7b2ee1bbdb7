"""``hookline conversations``: talk with an agent, and see what was said."""

from __future__ import annotations

import sys
from json import dumps
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from hookline.cli import show
from hookline.cli.client import Client, CommandError, segment
from hookline.cli.following import followed
from hookline.cli.options import Json, Limit, Timeout, read_object

app = App(name="conversations", help="Talk with agents, and see what was said.")

_PATH = "/api/v1/conversations"
_ID = Parameter(help="Its id from `hookline conversations list`.")
ConversationId = Annotated[str, _ID]
_WAIT = Parameter(help="Print the answer as it comes; the exit code is 0 only if there was one.")


@app.command(name="list")
def list_(
    *,
    agent: str | None = None,
    user: str | None = None,
    status: Literal["open", "resolved", "failed"] | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List conversations, newest first.

    For example:

    ```
    hookline conversations list --status open
    hookline conversations list --agent support --user ada
    ```

    Parameters
    ----------
    agent
        Only those with this agent.
    user
        Only those of this user.
    status
        Only those with this status.
    """
    found = Client.from_environment().pages(
        _PATH, "conversations", limit=limit, agent=agent, user=user, status=status
    )
    show.listing(
        found,
        show.columns(
            "id",
            ("agent_id", "agent"),
            ("user_id", "user"),
            "status",
            ("started_at", "began"),
            ("message_count", "messages"),
            ("credits_used", "credits"),
            ("satisfaction_score", "score"),
        ),
        json=json,
        spare=("satisfaction_score", "credits_used", "message_count", "started_at", "user_id"),
        empty=show.none_found(
            "no conversations yet: begin one with `hookline conversations say AGENT MESSAGE`",
            agent,
            user,
            status,
        ),
    )


@app.command(name="show")
def show_(conversation_id: ConversationId, /, *, json: Json = False) -> None:
    """Show a conversation with all that was said.

    For example:

    ```
    hookline conversations show conv_…
    ```
    """
    found = Client.from_environment().get(_path(conversation_id))
    if json:
        show.as_json(found)
        return
    _sheet(found)
    for turn in found["turns"]:
        _turn(turn, user=found["user_id"] or "user", agent=found["agent_id"])


@app.command
def say(
    agent: str,
    message: str,
    /,
    *,
    conversation: str | None = None,
    user: str | None = None,
    context: str | None = None,
    wait: Annotated[bool, _WAIT] = False,
    timeout: Timeout = 900.0,
    json: Json = False,
) -> int:
    """Say something to an agent: in a new conversation, or in one that is open.

    For example:

    ```
    hookline conversations say support "Where is my order?" --user ada --wait
    hookline conversations say support "It is number 7" --conversation conv_… --wait
    ```

    Parameters
    ----------
    agent
        Its id, as in `@app.agent("support")`.
    message
        What is said; `-` for standard input.
    conversation
        Id of the open conversation to go on with.
    user
        Who says it, in a new conversation.
    context
        What else the agent is to know, a JSON object.
    """
    client = Client.from_environment()
    said: dict[str, Any] = {"message": sys.stdin.read() if message == "-" else message}
    if context is not None:
        said["context"] = read_object(context, name="--context")
    if conversation is None:
        made = client.post(_PATH, {"agent_id": agent, "user_id": user, **said})
        conversation = str(made["id"])
    else:
        _check_agent(client, conversation, agent)
        if user is not None:
            raise CommandError("--user is who begins a conversation: leave it out with --conversation")
        made = client.post(_path(conversation, "/messages"), said)
    told = {"conversation_id": conversation, "execution_id": made["execution_id"], "status": "queued"}
    if not wait:
        show.as_json(told) if json else show.sheet(told.items())
        return 0
    return _answered(client, told, seconds=timeout, json=json)


@app.command(alias="end")
def complete(
    conversation_id: ConversationId,
    /,
    *,
    type: str = "solved",
    category: str | None = None,
    tag: list[str] | None = None,
    score: float | None = None,
    json: Json = False,
) -> None:
    """End an open conversation.

    For example:

    ```
    hookline conversations complete conv_… --category billing --tag invoice --score 4
    ```

    Parameters
    ----------
    type
        How it was settled.
    category
        What it was about.
    tag
        A word to find it by; may be given several times.
    score
        How content the user is.
    """
    resolution = {"type": type, "category": category, "tags": tag or []}
    ended = Client.from_environment().post(
        _path(conversation_id, "/complete"), {"satisfaction_score": score, "resolution": resolution}
    )
    show.as_json(ended) if json else _sheet(ended)


def _path(conversation_id: str, rest: str = "") -> str:
    return f"{_PATH}/{segment(conversation_id)}{rest}"


def _check_agent(client: Client, conversation: str, agent: str) -> None:
    found = client.get(_path(conversation))
    if found["agent_id"] != agent:
        raise CommandError(f"{conversation} is a conversation with {found['agent_id']!r}, not with {agent!r}")


def _answered(client: Client, told: dict[str, str], *, seconds: float, json: bool) -> int:
    """Print the answer to a message, as it comes or, for programs, when it is there. Return the exit code."""
    printer = None if json else _Printer()
    for entry in followed(client, told["execution_id"], seconds=seconds):
        if printer is not None and entry.get("stream") == "progress":
            printer.take(entry.get("fields") or {})
    execution = client.get(f"/api/v1/executions/{segment(told['execution_id'])}")
    error = execution["error"]
    if printer is None:
        reply = {"status": execution["status"], "reply": execution["output"], "error": error}
        show.as_json({**told, **reply})
    elif error is None:
        printer.end(_text(execution["output"]))
        show.note(f"go on with --conversation {told['conversation_id']}")
    else:
        printer.break_off()
        show.note(f"{execution['status']}: {error['message']} [{error['code']}]")
    return 0 if error is None else 1


class _Printer:
    """Prints the words of an answer as they come. A model that is asked again begins again, on a line of its own."""

    def __init__(self) -> None:
        self._place: tuple[object, object] | None = None
        self._shown = ""

    def take(self, fields: dict[str, Any]) -> None:
        delta = fields.get("delta")
        if not isinstance(delta, str):
            return
        place = (fields.get("round"), fields.get("attempt"))
        if place != self._place:
            self.break_off()
            self._place = place
        self._shown += delta
        sys.stdout.write(show.clean(delta))
        sys.stdout.flush()

    def break_off(self) -> None:
        if self._shown:
            print(flush=True)
        self._shown = ""

    def end(self, answer: str) -> None:
        """Print what was not printed yet: an agent may answer without showing how."""
        if self._shown != answer:
            self.break_off()
            sys.stdout.write(show.clean(answer))
        print(flush=True)


def _text(said: object) -> str:
    return said if isinstance(said, str) else dumps(said, ensure_ascii=False, indent=2)


def _sheet(found: dict[str, Any]) -> None:
    resolution = found["resolution"] or {}
    how = [resolution.get("type"), resolution.get("category"), *(resolution.get("tags") or [])]
    show.sheet(
        [
            ("conversation", found["id"]),
            ("agent", found["agent_id"]),
            ("user", found["user_id"]),
            ("status", found["status"]),
            ("began", show.ago(found["started_at"])),
            ("ended", show.ago(found["completed_at"]) if found["completed_at"] else None),
            ("messages", found["message_count"]),
            ("credits", found["credits_used"] or None),
            ("resolution", ", ".join(str(word) for word in how if word) or None),
            ("score", found["satisfaction_score"]),
        ]
    )


def _turn(turn: dict[str, Any], *, user: str, agent: str) -> None:
    said = turn["input"].get("message") if isinstance(turn["input"], dict) else turn["input"]
    _said(user, said, turn["created_at"])
    if turn["error"] is not None:
        error = turn["error"]
        _said(agent, f"{error['message']} [{error['code']}]", turn["completed_at"], style="red")
    elif turn["completed_at"] is None:
        _said(agent, f"({turn['status']})", None, style="dim")
    else:
        _said(agent, turn["output"], turn["completed_at"])


def _said(who: str, what: object, at: str | None, *, style: str = "") -> None:
    show.line("")
    show.line(f"{who}  {at or ''}".rstrip(), "bold")
    for line in _text(what).splitlines() or [""]:
        show.line(f"  {line}", style)
