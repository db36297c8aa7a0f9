"""A counter belongs to its session, and the row says where it starts and ends."""

from pathlib import Path

from gymctl.server.testing import episode

FOLDER = Path(__file__).parents[1]


def test_a_counter_belongs_to_its_session() -> None:
    with episode(FOLDER) as rollout:
        assert rollout.seed({"initial_count": 10}).status == 200
        rollout.tool("increment_counter", count=5)
        rollout.tool("increment_counter", count=-3)
        assert rollout.tool("get_counter_value") == {"count": 12}
        assert rollout.verify({"expected_count": 12})["reward"] == 1.0
    with episode(FOLDER) as stranger:
        assert stranger.verify({"expected_count": 0})["reward"] == 0.0


def test_a_row_must_say_where_the_counter_starts() -> None:
    with episode(FOLDER) as rollout:
        reply = rollout.seed({})
    assert reply.status == 422
    assert reply.json()["detail"][0]["loc"] == ["body", "initial_count"]
