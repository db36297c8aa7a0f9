"""Which server wrote a line of a local stack's log."""

from __future__ import annotations

import asyncio
import io
import logging

from hypothesis import given
from hypothesis import strategies as st

from gymctl.engines.local.log import AttributedStream, LevelFilter, is_of, last_of_each, written_by

NAMES = st.sampled_from(["math", "math_agent", "a"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=20))
def test_every_line_begins_with_the_server_that_wrote_it(writes: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    stream = AttributedStream(file)
    for name, text in writes:
        with written_by(name):
            stream.write(text)
    lines = file.getvalue().split("\n")[:-1]
    for name in ("math", "math_agent", "a"):
        written = "".join(text for writer, text in writes if writer == name).split("\n")[:-1]
        assert [line.partition(" | ")[2] for line in lines if is_of(line, [name])] == written
    assert all(is_of(line, ["math", "math_agent", "a"]) for line in lines)


def test_a_name_that_another_begins_with_is_another() -> None:
    assert not is_of("math_agent | started", ["math"])
    assert not is_of("a line that names math | and more", ["math"])


def test_tasks_and_threads_of_a_server_write_its_lines() -> None:
    file = io.StringIO()
    stream = AttributedStream(file)

    async def work() -> None:
        with written_by("math"):
            task = asyncio.create_task(asyncio.to_thread(stream.write, "from a thread\n"))
        stream.write("from nobody\n")
        await task

    asyncio.run(work())
    assert sorted(file.getvalue().splitlines()) == ["from nobody", "math | from a thread"]


def test_the_last_lines_are_counted_for_each_server() -> None:
    lines = ["a | 1", "b | 1", "nobody", "a | 2", "a | 3", "b | 2"]
    assert last_of_each(lines, 1) == ["nobody", "a | 3", "b | 2"]
    assert last_of_each(lines, 2) == ["b | 1", "nobody", "a | 2", "a | 3", "b | 2"]
    assert last_of_each(lines, 0) == []


def test_each_server_logs_as_much_as_it_is_configured_to() -> None:
    level_filter = LevelFilter({"math": logging.WARNING}, logging.INFO)
    record = logging.LogRecord("x", logging.INFO, "x", 1, "text", (), None)
    with written_by("math"):
        assert not level_filter.filter(record)
    with written_by("math_agent"):
        assert level_filter.filter(record)
