"""Movies: the one automation of render jobs. Everyone has it, and a job's input says all there is to know.

Rendering the same movie again gives the same video and nothing outside has seen the first, so a render whose node died
is run again from its beginning, a few times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hookline.core.movie.read import metadata_of
from hookline.model.executions import Automation, RenderFacts
from hookline.model.states import Kind

if TYPE_CHECKING:
    from hookline.model.executions import Execution
    from hookline.model.ids import Key

MOVIE: Final = Automation(
    kind=Kind.RENDER,
    id="movie",
    name="Movie",
    description="Renders a movie, given as JSON, to a video.",
    timeout_ms=1_800_000,
    # Of one organization on one node: what waits for its turn beyond this must not hold up those of others.
    concurrency=2,
    is_resumable=True,
    max_attempts=3,
)


class Movies:
    """``engine.definitions.DataKind`` of renders."""

    def __repr__(self) -> str:
        return "Movies()"

    async def automation(self, organization_id: Key, id: str) -> Automation | None:  # noqa: ARG002
        return MOVIE if id == MOVIE.id else None

    async def automations(self, organization_id: Key) -> list[Automation]:  # noqa: ARG002
        return [MOVIE]

    async def definition(self, organization_id: Key, id: str) -> bytes | None:  # noqa: ARG002
        return None

    async def facts(self, execution: Execution) -> RenderFacts:
        return RenderFacts(metadata=metadata_of(execution.input))
