"""Load what a runner is given for one execution: its code or source, its input, its limit, what it did before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookline.ports.runner import RunJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookline.engine.catalogue import Catalogue
    from hookline.engine.definitions import Definitions
    from hookline.engine.run_limits import RunLimits
    from hookline.engine.tracing import Tracing
    from hookline.model.executions import Execution
    from hookline.ports import ExecutionArchive


class RunLoader:
    """One per node. private: what only the process of an execution is told, JSON text, or None."""

    def __init__(
        self,
        *,
        archive: ExecutionArchive,
        catalogue: Catalogue,
        definitions: Definitions,
        run_limits: RunLimits,
        private: Callable[[Execution], Awaitable[bytes | None]],
        tracing: Tracing,
    ) -> None:
        self._archive = archive
        self._catalogue = catalogue
        self._definitions = definitions
        self._run_limits = run_limits
        self._private = private
        self._tracing = tracing

    def __repr__(self) -> str:
        return f"RunLoader({self._catalogue!r})"

    async def load(self, execution: Execution) -> RunJob:
        """Return the job; its ``timeout_ms`` is 0 or less when the organization's time is used up.

        Raises MissingError, when what should run is gone, and StorageError.
        """
        journal = tuple(await self._archive.journal(execution.id)) if execution.attempt else ()
        definition = await self._definitions.definition(execution)
        limit = await self._run_limits.of(execution, self._catalogue.known(execution))
        return RunJob(
            execution_id=execution.id,
            kind=execution.kind,
            automation_id=execution.automation_id,
            input=execution.input,
            trigger=execution.trigger,
            private=await self._private(execution),
            definition=definition,
            journal=journal,
            attempt=execution.attempt + 1,
            timeout_ms=None if limit is None else limit.timeout_ms,
            limit="agent" if limit is None else limit.whose,
            trace=self._tracing.handed_on(execution),
        )
