"""Which backend a session goes to."""

from __future__ import annotations

from collections import Counter

import pytest

from gymctl.server.models.affinity import Affinity

SESSIONS = [f"session-{number}" for number in range(2000)]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def urls(count: int) -> list[str]:
    return [f"http://10.0.0.{number}:8000/v1" for number in range(count)]


def chosen(affinity: Affinity) -> dict[str, str]:
    return {session: affinity.choose(session).url for session in SESSIONS}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_sessions_are_spread_evenly_and_always_the_same_way(count: int) -> None:
    first, second = chosen(Affinity(urls(count))), chosen(Affinity(reversed_urls := urls(count)[::-1]))
    assert first == second
    assert set(first.values()) == set(reversed_urls)
    each = Counter(first.values())
    assert min(each.values()) > 0.8 * len(SESSIONS) / count


def test_only_the_sessions_of_a_backend_that_is_ill_move() -> None:
    clock = Clock()
    affinity = Affinity(urls(4), rest_s=10, clock=clock)
    before = chosen(affinity)
    ill = affinity.backends[1]
    for _ in range(2):
        affinity.failed(ill)
    assert chosen(affinity) == before  # twice is chance
    affinity.failed(ill)
    during = chosen(affinity)
    assert ill.url not in during.values()
    assert all(during[session] == url for session, url in before.items() if url != ill.url)
    assert len({during[session] for session, url in before.items() if url == ill.url}) == 3
    clock.now = 11
    tried = Counter(chosen(affinity).values())
    assert tried[ill.url] == 1  # one call finds out
    affinity.worked(ill)
    assert chosen(affinity) == before


def test_one_that_fails_again_rests_again() -> None:
    clock = Clock()
    affinity = Affinity(urls(2), rest_s=10, clock=clock)
    ill = affinity.backends[0]
    for _ in range(3):
        affinity.failed(ill)
    clock.now = 10.5
    assert ill.url in chosen(affinity).values()
    affinity.failed(ill)
    clock.now = 20
    assert ill.url not in chosen(affinity).values()


def test_one_success_between_failures_clears_them() -> None:
    affinity = Affinity(urls(2))
    backend = affinity.backends[0]
    for _ in range(5):
        affinity.failed(backend)
        affinity.failed(backend)
        affinity.worked(backend)
    assert backend.url in chosen(affinity).values()


def test_when_all_are_ill_they_are_used_all_the_same() -> None:
    affinity = Affinity(urls(3), clock=Clock())
    before = chosen(affinity)
    for backend in affinity.backends:
        for _ in range(3):
            affinity.failed(backend)
    assert chosen(affinity) == before


def test_a_call_that_failed_goes_to_another() -> None:
    affinity = Affinity(urls(3))
    first = affinity.choose("s")
    second = affinity.choose("s", [first])
    third = affinity.choose("s", [first, second])
    assert len({first, second, third}) == 3
    assert affinity.choose("s", [first, second, third]) is first


def test_one_address_given_twice_is_one() -> None:
    assert len(Affinity(["http://a/v1", "http://a/v1/", "http://b/v1"]).backends) == 2
