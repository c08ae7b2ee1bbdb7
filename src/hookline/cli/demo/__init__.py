"""``hookline demo``: watch the whole path once, with a kill -9 in the middle.

Everything in it is real: a server process of its own, requests over HTTP, a receiver on a socket that checks
every signature. At the end the two sides are compared: what the server accepted, and what arrived.
"""

from __future__ import annotations

import asyncio

from hookline.cli.demo.narrator import Narrator


def demo(*, all: bool = False) -> int:
    """Start a server with an example app and a receiver, run it all once, and kill the server in the middle.

    Exit code 0 only if everything arrived, once accepted, with the right shape and signature. Takes about six
    seconds, needs no network and leaves nothing behind.

    For example:

    ```
    hookline demo
    ```

    Parameters
    ----------
    all
        Fail also when a kind of automation cannot be shown here.
    """
    from hookline.cli.demo.errors import DemoError
    from hookline.cli.demo.story import tell

    narrator = Narrator()
    try:
        return asyncio.run(tell(narrator, needs_all=all))
    except DemoError as error:
        narrator.failed(str(error))
        return 1
    except KeyboardInterrupt:
        narrator.failed("interrupted")
        return 130
