"""The reply header with spans: what is written can be read, whatever the names, and nothing else breaks the reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gymctl.server.span_header import MOST_HEADER_CHARACTERS, MeasuredSpan, RecordedCall, read_spans, write_spans

NAMES = st.text(max_size=24)
SECONDS = st.floats(0, 4000)
OUTCOMES = st.sampled_from(["200", "404", "503", "timeout", "connect", "cancelled"])


@st.composite
def calls(draw: st.DrawFn, began: float = 0.0) -> RecordedCall:
    return RecordedCall(
        path=f"/{draw(NAMES)}",
        server=draw(NAMES),
        started=began + draw(SECONDS),
        seconds=draw(SECONDS),
        outcome=draw(OUTCOMES),
    )


@st.composite
def headers(draw: st.DrawFn, depth: int = 2) -> tuple[str, RecordedCall, str, list[RecordedCall]]:
    """A header, and what it was written from."""
    own = draw(calls())
    below = draw(st.lists(calls(own.started), max_size=4))
    for call in below:
        if depth and draw(st.booleans()):
            call.spans = draw(headers(depth=depth - 1))[0]
    session = draw(st.text("0123456789abcdef", max_size=8))
    return write_spans(own, session, below), own, session, below


def plain(name: str) -> str:
    """A name as it can be written in UTF-8."""
    return name.encode("utf-8", "replace").decode()


def assert_is(span: MeasuredSpan, call: RecordedCall, start_us: int) -> None:
    assert (span.path, span.server, span.outcome) == (plain(call.path), plain(call.server), call.outcome)
    assert (span.start_us, span.duration_us) == (start_us, int(call.seconds * 1e6))


@given(headers())
def test_what_is_written_can_be_read(written: tuple[str, RecordedCall, str, list[RecordedCall]]) -> None:
    text, own, session, below = written
    assert text.isascii() and text.isprintable() and " " not in text
    assert len(text) <= MOST_HEADER_CHARACTERS
    span = read_spans(text)
    assert span is not None
    assert_is(span, own, 0)
    assert (span.session, span.dropped) == (session, 0)
    assert len(span.children) == len(below)
    for child, call in zip(span.children, below, strict=True):
        assert_is(child, call, int((call.started - own.started) * 1e6))
        assert isinstance(call.spans, str)
        assert child.children == ([read_spans(call.spans)] if call.spans else [])


@given(st.text(min_size=25, max_size=400))
def test_a_long_name_is_shortened(name: str) -> None:
    span = read_spans(write_spans(RecordedCall(name, name, 0.0, 0.0, "200"), "", []))
    assert span is not None and span.path == span.server
    assert 25 <= len(span.path) <= 100
    assert plain(name).startswith(span.path)


@given(st.text(max_size=200) | st.text("0123;(),ab/%", max_size=200))
def test_any_other_text_is_no_header(text: str) -> None:
    span = read_spans(text)
    assert span is None or text.count("(") == text.count(")")


@given(headers(), st.integers(0, 400), st.text("();,0a", max_size=3))
def test_a_header_that_was_changed_on_its_way_does_no_harm(
    written: tuple[str, RecordedCall, str, list[RecordedCall]], at: int, change: str
) -> None:
    text = written[0]
    read_spans(text[:at] + change + text[at + 1 :])


def test_the_header_is_bounded_and_keeps_the_first_calls() -> None:
    own = RecordedCall("/run", "agent", 0.0, 9.0, "200")
    below = [RecordedCall(f"/tool_{number}", "tools", number, 0.5, "200") for number in range(500)]
    text = write_spans(own, "", below, uncounted=7)
    assert MOST_HEADER_CHARACTERS - 1000 < len(text) <= MOST_HEADER_CHARACTERS
    span = read_spans(text)
    assert span is not None
    kept = len(span.children)
    assert [child.path for child in span.children] == [f"/tool_{number}" for number in range(kept)]
    assert span.dropped == 507 - kept


def test_what_a_callee_returns_is_left_out_where_it_does_not_fit_or_is_no_header() -> None:
    own = RecordedCall("/run", "agent", 0.0, 1.0, "200")
    large = write_spans(own, "", [RecordedCall("/t", "s" * 90, 0.0, 0.1, "200") for _ in range(500)])
    for spans in (large, "1;2", "0;0;200;/x;y)", "(" * 50, "0;0;200;a;b\r\nx: y"):
        below = [RecordedCall("/v1/responses", "model", 0.0, 0.5, "200", spans) for _ in range(2)]
        span = read_spans(write_spans(own, "", below))
        assert span is not None and len(span.children) == 2
        assert all(not child.children for child in span.children)


def test_a_deeply_nested_header_is_read_without_recursion() -> None:
    depth = 5000
    text = "0;0;200;/a;b(" * depth + "0;0;200;/a;b" + ")" * depth
    span = read_spans(text)
    for _ in range(depth):
        assert span is not None
        (span,) = span.children
