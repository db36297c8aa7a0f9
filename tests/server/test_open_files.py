"""The open files of a server are shared out between its callers and the servers that it calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gymctl.server.run.open_files import WANTED_FILES, quick_connections, slow_connections

CALLERS = 16_384


@given(st.integers(20_000, 2**20))
def test_a_rollout_in_flight_for_each_caller_fits_into_the_open_files(files: int) -> None:
    assert CALLERS + slow_connections(files) + quick_connections(files) <= files


@given(st.integers(1_024, 2**20), st.integers(0, 2**16))
def test_more_open_files_are_never_fewer_connections(files: int, more: int) -> None:
    assert slow_connections(files) <= slow_connections(files + more)


def test_every_rollout_in_flight_has_a_connection_to_the_model_with_the_limit_of_a_container() -> None:
    assert slow_connections(WANTED_FILES) == CALLERS
