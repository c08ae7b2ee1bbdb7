"""``hookline mail``: whether alerts would arrive."""

from __future__ import annotations

from cyclopts import App

from hookline.cli import show
from hookline.cli.client import Client
from hookline.cli.options import Json

app = App(name="mail", help="Try the mail server that alerts are sent through; needs an admin key.")


@app.command
def test(address: str, /, *, json: Json = False) -> int:
    """Have the server send a test mail now, and print what the mail server said.

    Exit code 1 when it was not taken over.

    For example:

    ```
    hookline mail test you@example.com
    ```

    Parameters
    ----------
    address
        Whom to send it to.
    """
    answer = Client.from_environment().post("/api/v1/settings/smtp-test", {"to": address})
    if json:
        show.as_json(answer)
    elif answer["success"]:
        show.line(f"the mail server took the mail to {address} over: {answer['answer']}", "green")
    else:
        show.line(str(answer["error"]), "red")
    return 0 if answer["success"] else 1
