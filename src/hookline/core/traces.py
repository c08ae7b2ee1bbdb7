"""Read and write W3C Trace Context (www.w3.org/TR/trace-context), so that one trace leads from a trigger to attempts.

A context comes in with a request, is kept with what the request stored, and goes out with each attempt, however much
later and from whichever node. What cannot be read is ignored, as the specification asks: it never fails a request.
Where none came in, ids that are already there stand for it: the same on every node, and stored nowhere.

Pure: no clock and no randomness; who needs a fresh span id brings it along.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

    from hookline.model.ids import Key

SAMPLED: Final = 0x01
"""Flag: who made the parent may have recorded it."""

_KNOWN_FLAGS: Final = 0x03
"""Sampled (level 1) and random trace id (level 2). Others are ours to clear."""

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16

_MEMBER: Final = re.compile(
    r"([a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=([ -+\--<>-~]{0,255}[!-+\--<>-~])",
    re.ASCII,
)
_MOST_MEMBERS: Final = 32
_MOST_STATE: Final = 512
"""Characters of a tracestate that everybody must be able to pass on; we keep no more."""


class TraceContext(NamedTuple):
    """A place in a trace.

    trace_id: 32 lower-case hexadecimal digits.  span_id: 16 of them.  flags: bits of one byte.
    state: a ``tracestate``, which belongs to others and is passed on as it is; empty for none.
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)

    @property
    def parent(self) -> str:
        """Its ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def at(self, span_id: str) -> TraceContext:
        """Return another place in the same trace."""
        return TraceContext(self.trace_id, span_id, self.flags, self.state)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that carry it on."""
        parent = ("traceparent", self.parent)
        return (parent, ("tracestate", self.state)) if self.state else (parent,)

    @property
    def stored(self) -> str:
        """The text that is kept with events and executions."""
        return f"{self.parent} {self.state}" if self.state else self.parent


def incoming(headers: Collection[tuple[bytes, bytes]]) -> TraceContext | None:
    """Return the context that a request came with, None without one that can be read. headers: names in lower case."""
    if b"traceparent" not in dict(headers):  # most have none, and every request is asked
        return None
    parent: bytes | None = None
    states: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            if parent is not None:
                return None  # two parents are none
            parent = value
        elif name == b"tracestate":
            states.append(value)
    assert parent is not None
    context = _read_parent(parent.strip(b" \t"))
    if context is None or not states:
        return context
    return context._replace(state=_read_state(b",".join(states).decode("latin-1")))


def restored(stored: str) -> TraceContext:
    """Return the context that ``stored`` was the text of."""
    return TraceContext(stored[3:35], stored[36:52], int(stored[53:55], 16), stored[56:])


def trace_id_of(key: Key) -> str:
    """Return the id of the trace that begins with an object of ours.

    A digest, because samplers count on every bit of an id being as good as random, which those of a UUIDv7 are not.
    """
    return blake2b(key, digest_size=16, person=b"hookline.trace").hexdigest()


def span_id_of(key: Key) -> str:
    """Return the id of the span that tells of an object of ours."""
    return blake2b(key, digest_size=8, person=b"hookline.span").hexdigest()


def _read_parent(text: bytes) -> TraceContext | None:
    found = _PARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    if version == b"00" and more is not None:
        return None  # later versions may be longer, this one has an end
    return TraceContext(trace_id.decode(), span_id.decode(), int(flags, 16) & _KNOWN_FLAGS)


def _read_state(text: str) -> str:
    """Return a tracestate's members as far as there is room, nothing when it breaks the rules."""
    members: dict[str, str] = {}
    for part in text.split(","):
        member = part.strip(" \t")
        if not member:
            continue
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in members or len(members) == _MOST_MEMBERS:
            return ""
        members[found[1]] = member
    kept, length = [], -1
    for member in members.values():  # the first are the latest
        length += len(member) + 1
        if length > _MOST_STATE:
            break
        kept.append(member)
    return ",".join(kept)
