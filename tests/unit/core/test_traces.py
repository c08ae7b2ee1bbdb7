"""W3C Trace Context: what is read, what is ignored, and what goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.core.traces import TraceContext, incoming, restored, span_id_of, trace_id_of
from hookline.model.ids import new_key

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def came(parent: bytes, *states: bytes) -> TraceContext | None:
    return incoming(
        [(b"host", b"x"), (b"traceparent", parent), *[(b"tracestate", state) for state in states]]
    )


def test_the_specifications_own_example_is_read() -> None:
    found = came(PARENT, b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")

    assert found == (TRACE, SPAN, 1, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found.headers == (
        ("traceparent", PARENT.decode()),
        ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    )


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        PARENT[:-1],
        PARENT + b"-",
        PARENT + b"-more",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        b"0x" + PARENT[2:],
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-0g".encode(),
        f"00_{TRACE}-{SPAN}-01".encode(),
        f"01-{TRACE}-{SPAN}-01.more".encode(),
        "00-٤bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".encode(),
    ],
)
def test_what_is_no_traceparent_is_ignored_with_its_tracestate(parent: bytes) -> None:
    """Section 3.2: an implementation restarts the trace when it cannot read the parent."""
    assert came(parent, b"a=1") is None


def test_two_parents_are_none() -> None:
    assert incoming([(b"traceparent", PARENT), (b"traceparent", PARENT)]) is None
    assert incoming([(b"tracestate", b"a=1")]) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """Section 4: versions above ours may be longer."""
    assert came(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like".encode()) == (TRACE, SPAN, 1, "")
    assert came(f"cc-{TRACE}-{SPAN}-01".encode()) == (TRACE, SPAN, 1, "")


def test_flags_that_nobody_knows_are_cleared() -> None:
    """Section 3.2.2.5: they are set to zero; sampled and random go on as they came."""
    found = came(f"00-{TRACE}-{SPAN}-ff".encode())

    assert found is not None
    assert found.flags == 0x03
    assert not TraceContext(TRACE, SPAN, 0).is_sampled


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([b"a=1", b"b=2"], "a=1,b=2"),
        ([b"a=1 , ,\tb=2"], "a=1,b=2"),
        ([b"tenant@vendor=x y"], "tenant@vendor=x y"),
        ([b"a=1,a=2"], ""),
        ([b"A=1"], ""),
        ([b"a=1=2"], ""),
        ([b"a="], ""),
        ([b"a"], ""),
        ([b"a=\x01"], ""),
        (["a=é".encode("latin-1")], ""),
        ([b",".join(b"k%d=1" % n for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([b",".join(b"k%d=1" % n for n in range(33))], ""),
        ([b"a=" + b"x" * 256], "a=" + "x" * 256),
        ([b"a=" + b"x" * 257], ""),
    ],
)
def test_a_tracestate_goes_on_unless_it_breaks_the_rules(states: list[bytes], kept: str) -> None:
    """Section 3.3: the parent stands without it."""
    found = came(PARENT, *states)

    assert found is not None
    assert (found.trace_id, found.state) == (TRACE, kept)


def test_a_long_tracestate_keeps_its_latest_members() -> None:
    """Section 3.3.1.5: at least 512 characters go on; the first members are the newest."""
    found = came(PARENT, b",".join(b"k%d=" % n + b"x" * 200 for n in range(4)))

    assert found is not None
    assert [member.partition("=")[0] for member in found.state.split(",")] == ["k0", "k1"]


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_header_makes_it_fail(parent: bytes, state: bytes) -> None:
    found = came(parent, state)

    assert found is None or restored(found.stored) == found


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32).filter(lambda text: text.strip("0")),
    st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda text: text.strip("0")),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from(["", "a=1", "a=b c,d=e"]),
)
def test_what_is_stored_comes_back(trace_id: str, span_id: str, flags: int, state: str) -> None:
    context = TraceContext(trace_id, span_id, flags, state)

    assert restored(context.stored) == context
    assert incoming([(name.encode(), value.encode()) for name, value in context.headers]) == context


def test_an_object_of_ours_always_begins_the_same_trace() -> None:
    """Ids from keys need no storage; a sampler by ratio needs their low bits to be as good as random."""
    keys = [new_key() for _ in range(400)]

    assert trace_id_of(keys[0]) == trace_id_of(keys[0])
    assert len({trace_id_of(key) for key in keys}) == len({span_id_of(key) for key in keys}) == 400
    low = sum(int(trace_id_of(key)[16:], 16) < 1 << 63 for key in keys)
    assert 120 < low < 280


def test_a_trace_goes_on_in_another_place() -> None:
    """W3C Trace Context: each span has an id of its own, the rest is passed on."""
    here = TraceContext("a" * 32, "b" * 16, 1, "vendor=1")

    assert here.at("c" * 16) == TraceContext("a" * 32, "c" * 16, 1, "vendor=1")


def test_a_span_has_eight_bytes_and_a_trace_sixteen() -> None:
    """W3C Trace Context sections 3.2.2.3 and 3.2.2.4."""
    key = new_key()

    assert (len(span_id_of(key)), len(trace_id_of(key))) == (16, 32)


def test_a_member_that_has_no_room_ends_the_list() -> None:
    """Section 3.3.1.1: entries are cut from the end, never from the middle."""
    long = "b=" + "x" * 250
    state = f"a=1,{long},c={'y' * 254},d=4"

    found = incoming(
        [(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), (b"tracestate", state.encode())]
    )

    assert found is not None
    assert found.state == f"a=1,{long}"
