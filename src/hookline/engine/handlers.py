"""Call a handler of the app, and write what it logged and printed into the node's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from hookline.ports.runner import CallJob, CallResult, Runner

_log = structlog.get_logger("hookline.handlers")


async def call_handler(runner: Runner, job: CallJob, *, instance: str | None = None) -> CallResult:
    """Return how the call ended. instance: public id of the instance it is for, None when that is not known yet."""
    result = await runner.call(job)
    for line in result.logs:
        _log.info(
            "handler_said",
            integration=job.integration_id,
            flow=job.flow,
            handler=job.handler.value,
            instance=instance,
            stream=line.stream,
            severity=line.level,
            text=line.text,
            fields=None if line.fields is None else line.fields.decode(),
        )
    return result
