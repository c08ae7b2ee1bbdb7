"""What `rotate` of webhooks and `secret` of jobs do: ask for a new signing secret, and show it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hookline.cli import show
from hookline.cli.client import AnswerError, Client, CommandError
from hookline.cli.options import read_fields

if TYPE_CHECKING:
    from typing import Any

Finish = Annotated[bool, Parameter(negative="", help="End the time of two secrets now.")]


def rotate(path: str, *, finish: bool, own: str | None, command: str, json: bool) -> None:
    """Rotate and print. path: of the route.  own: JSON text.  command: what ends the time of two secrets."""
    body: dict[str, Any] = ({"finish": True} if finish else {}) | read_fields(own)
    try:
        answer = Client.from_environment().post(path, body)
    except AnswerError as error:
        if error.code != "ROTATION_UNDER_WAY":
            raise
        raise CommandError(
            "two secrets sign already: once every receiver has the new one, end that rotation with "
            f"`{command} --finish`"
        ) from error
    if json:
        show.as_json(answer)
    elif finish:
        show.line("only the newest secret signs now", "green")
    else:
        show.sheet(answer.items())
