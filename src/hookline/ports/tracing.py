"""What the engine needs of whatever collects spans, and what that owes the engine.

Which spans there are and what they say is decided in ``engine/tracing.py``; an adapter only hands them on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hookline.core.traces import TraceContext

    Attributes = Mapping[str, str | int | float | bool]


class SpanKind(StrEnum):
    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """One that has begun and is going to end on this node, soon."""

    @property
    def context(self) -> TraceContext:
        """Its own place, flags included: what it leads to belongs below it."""

    def end(self, attributes: Attributes | None = None, *, failure: str | None = None) -> None:
        """End it now. failure: why it counts as failed, without secrets; None when it does not."""


class Tracer(Protocol):
    """Collects spans.

    Guarantees: no method waits or raises; what cannot be collected is dropped.
    Does not guarantee: that a span reaches anybody, or that a sampler keeps it.
    """

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        parent: TraceContext | None,
        attributes: Attributes,
        links: Sequence[TraceContext] = (),
    ) -> Span:
        """Begin a span now. parent: None begins a trace.  links: places in other traces that led here, too."""

    def tell(
        self,
        name: str,
        *,
        context: TraceContext,
        parent: TraceContext | None,
        started_at: datetime,
        ended_at: datetime,
        attributes: Attributes,
        failure: str | None = None,
    ) -> None:
        """Tell of something that has ended, and may have begun on another node. context: its own place, known before
        to whatever is below it.
        """

    def samples(self, trace_id: str) -> bool:
        """Say whether a trace of this id that begins here is collected; all nodes set up alike say the same."""

    async def close(self) -> None:
        """Hand over what is still here, for some seconds at most."""
