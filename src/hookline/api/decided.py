"""What ``on_trigger`` decided of a kept request, remembered for a day: whoever takes the request up, it is asked once.

As with a step, only a call that was cut off half-way is made again; ``payload.request_id`` is the same each time. A
decision that nothing runs is not kept: nothing came of it, and the next who asks may find the code mended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hookline.api.errors import UnavailableError
from hookline.api.publish import ONCE_WINDOW
from hookline.api.remember import forget, reserve
from hookline.engine.routing import Before
from hookline.engine.vault import ANSWER
from hookline.ports import Once, Repeat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.api.services import Services
    from hookline.model.ids import Key


async def decided(
    services: Services, request_id: Key, place: bytes, ask: Callable[[], Awaitable[Before]]
) -> Before:
    """Return what was decided of a request, asking only when nobody knows. place: of the flow (``Flow.place``).

    Raises what asking raises, UnavailableError while another caller asks for too long, StorageError.
    """
    once = Once(
        scope=request_id,
        name=f"on_trigger {place.hex()}",
        digest=b"",
        answer=b"",
        expires_at=services.clock.now() + ONCE_WINDOW,
    )
    known = await reserve(services, once)
    if known is False:
        raise UnavailableError("on_trigger is still being asked about this request.")
    if isinstance(known, Repeat):
        return msgspec.json.decode(services.vault.open(known.answer, ANSWER), type=Before)
    try:
        before = await ask()
    except BaseException:
        await forget(services, once)
        raise
    if before.runs:
        sealed = services.vault.seal(msgspec.json.encode(before), ANSWER)
        await services.onces.finish(msgspec.structs.replace(once, answer=sealed), services.epoch)
    else:
        await forget(services, once)
    return before
