"""The index follows its file: extended, made again for another file, usable where nothing can be written."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from result_rows import append, failure, result, write

from gymctl.errors import GymctlError, InputError
from gymctl.results import Index, Outcome, Query, Sort, builder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def names(index: Index, **query: Any) -> list[str]:
    return [rollout.name for rollout in index.rollouts(Query(**query)).rollouts]


def indexed(path: Path, **query: Any) -> list[str]:
    with Index.open(path) as index:
        return names(index, **query)


def test_the_index_is_beside_the_file_and_has_what_the_row_has(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(3, 1, 0.5, accuracy=True, note="text", score=2)])
    with Index.open(path) as index:
        (rollout,) = index.rollouts().rollouts
        assert index.place == tmp_path / "r.index.sqlite"
        assert index.read(rollout) == path.read_bytes().rstrip()
    assert (rollout.name, rollout.agent, rollout.reward, rollout.model) == ("3:1", "weather_agent", 0.5, "m")
    assert (rollout.turns, rollout.tool_calls, rollout.tools) == (2, 1, ("get_weather",))
    assert (rollout.tokens_in, rollout.tokens_out, rollout.total_ms) == (13, 5, 103.0)
    assert rollout.hops == {"model": 60.0, "tool": 10.0}
    assert rollout.numbers == {"accuracy": 1.0, "score": 2.0}


def test_it_is_extended_from_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(5)])
    assert len(indexed(path)) == 5
    read: list[bytes] = []
    real = builder.read_row  # type: ignore[attr-defined]

    def watched(line: bytes) -> Any:
        read.append(line)
        return real(line)

    monkeypatch.setattr(builder, "read_row", watched)
    append(path, result(5))
    assert indexed(path)[-1] == "5:0"
    assert [line for line in read if line] == [path.read_bytes().splitlines(keepends=True)[-1]]


def test_nothing_is_read_again_when_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(5)])
    indexed(path)
    monkeypatch.setattr(builder, "update", lambda *_: pytest.fail("indexed again"))
    monkeypatch.setattr("gymctl.results.index.update", lambda *_: pytest.fail("indexed again"))
    assert len(indexed(path)) == 5


def test_a_torn_last_line_is_left_for_later(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    whole = json.dumps(result(1)) + "\n"
    with path.open("a") as out:
        out.write(whole[:40])
    assert indexed(path) == ["0:0"]
    with path.open("a") as out:
        out.write(whole[40:])
    assert indexed(path) == ["0:0", "1:0"]


def test_a_torn_line_that_is_cut_off_and_replaced_costs_no_new_index(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    size = path.stat().st_size
    with path.open("a") as out:
        out.write('{"reward": 1')
    with Index.open(path) as index:
        os.truncate(path, size)
        append(path, result(1))
        assert not index.refresh()
        assert names(index) == ["0:0", "1:0"]


def test_a_whole_last_line_without_a_newline_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(result(0)) + "\n" + json.dumps(result(1)))
    assert indexed(path) == ["0:0", "1:0"]
    with path.open("a") as out:
        out.write("\n" + json.dumps(result(2)) + "\n")
    assert indexed(path) == ["0:0", "1:0", "2:0"]


def _replace(path: Path) -> None:
    other = write(path.with_name("other.jsonl"), [result(7), result(8)])
    other.replace(path)


def _reorder_in_place(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2] + lines[1] + b"".join(lines[3:]))
    os.utime(path, ns=(1, 1))


def _shrink(path: Path) -> None:
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])


def _rewrite_longer(path: Path) -> None:
    path.write_text("".join(json.dumps(result(task)) + "\n" for task in range(20, 30)))


def _rewrite_the_middle_and_append(path: Path) -> None:
    """As a new file may look that the file system gave the number of the old one."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"reward": 1.0', b'"reward": 0.0')
    path.write_bytes(b"".join(lines) + lines[0].replace(b'"_ng_task_index": 0', b'"_ng_task_index": 9'))


@pytest.mark.parametrize(
    "change", [_rewrite_the_middle_and_append, _replace, _reorder_in_place, _shrink, _rewrite_longer]
)
def test_it_is_made_again_for_another_file(tmp_path: Path, change: Any) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(4)])
    with Index.open(path) as index:
        change(path)
        assert index.refresh()
        expected = [f"{json.loads(line)['_ng_task_index']}:0" for line in path.read_bytes().splitlines()]
        assert names(index) == expected
        assert [index.transcript(row).task for row in index.rollouts().rollouts] == [
            int(name.partition(":")[0]) for name in expected
        ]


def test_an_index_can_be_read_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "_BATCH_ROWS", 10)
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(30)])
    with Index.open(path, complete=False) as reader, Index.open(path, complete=False) as writer:
        assert names(reader) == []
        seen: list[int] = []
        writer.refresh(lambda done, total: seen.append(len(names(reader))))
        assert seen[:3] == [10, 20, 30]


def test_a_row_of_a_file_that_was_replaced_is_an_error_not_another_row(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(4)])
    with Index.open(path) as index:
        rows = index.rollouts().rollouts
        _replace(path)
        with pytest.raises(GymctlError, match="replaced while it was being read"):
            index.read(rows[3])


def test_failures_are_the_state_of_rollouts_without_a_result(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.jsonl",
        [result(0), result(1)],
        [failure(1), failure(2, failure_class="connect"), failure(2, attempt=1)],
    )
    with Index.open(path) as index:
        assert names(index) == ["0:0", "1:0", "2:0"]
        assert names(index, outcome=Outcome.FAILED) == ["2:0"]
        assert names(index, failure_classes=("timeout",)) == ["2:0"]
        assert names(index, failure_classes=("connect",)) == []
        assert len(names(index, attempts=True)) == 5
        append(path, result(2))
        index.refresh()
        assert names(index, outcome=Outcome.FAILED) == []
        assert len(names(index)) == 3


def test_failures_that_come_later_are_indexed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    with Index.open(path) as index:
        write(path, [result(0)], [failure(5)])
        index.refresh()
        assert names(index, outcome=Outcome.FAILED) == ["5:0"]
        path.with_name("r_failures.jsonl").unlink()
        index.refresh()
        assert names(index) == ["0:0"]


def test_the_first_of_two_results_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0, reward=1.0), result(0, reward=0.0)])
    with Index.open(path) as index:
        append(path, result(0, reward=0.25))
        index.refresh()
        assert [row.reward for row in index.rollouts().rollouts] == [1.0]
        assert [row.reward for row in index.rollout(0, 0)] == [1.0, 0.0, 0.25]


def test_filters_and_order(tmp_path: Path) -> None:
    rows = [result(task, reward=task / 4) for task in range(5)]
    rows[2]["response"]["output"][1]["name"] = "search"
    rows[3]["response"]["output"][2]["output"] = '{"error": "no such city"}'
    rows[4]["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
    rows[1]["agent_ref"] = {"name": "other"}
    with Index.open(write(tmp_path / "r.jsonl", rows)) as index:
        assert names(index, outcome=Outcome.PASSED) == ["4:0"]
        assert names(index, outcome=Outcome.PASSED, pass_threshold=0.5) == ["2:0", "3:0", "4:0"]
        assert names(index, outcome=Outcome.NOT_PASSED, pass_threshold=0.5) == ["0:0", "1:0"]
        assert names(index, min_reward=0.25, max_reward=0.5) == ["1:0", "2:0"]
        assert names(index, agents=("other",)) == ["1:0"]
        assert names(index, tasks=(0, 3)) == ["0:0", "3:0"]
        assert names(index, tools=("search", "unused")) == ["2:0"]
        assert names(index, tool_errors=True) == ["3:0"]
        assert names(index, truncated=True) == ["4:0"]
        assert names(index, min_tokens=18, max_tokens=18) == ["3:0"]
        assert names(index, min_ms=103, max_ms=200) == ["3:0", "4:0"]
        assert names(index, text="Question 2?") == ["2:0"]
        assert names(index, text="QUESTION 2?") == []
        assert names(index, text="QUESTION 2?", ignore_case=True) == ["2:0"]
        assert names(index, sort=Sort.REWARD, descending=True, limit=2, offset=1) == ["3:0", "2:0"]
        page = index.rollouts(Query(sort=Sort.TIME, descending=True, limit=1))
        assert (page.rollouts[0].name, page.total) == ("4:0", 5)


def test_a_masked_reward_is_neither_filtered_nor_sorted_by(tmp_path: Path) -> None:
    rows = [result(0, reward=0.5), result(1, reward=0.0, mask_sample=True), result(2, reward=0.25)]
    with Index.open(write(tmp_path / "r.jsonl", rows)) as index:
        assert names(index, sort=Sort.REWARD) == ["2:0", "0:0", "1:0"]
        assert names(index, max_reward=0.25) == ["2:0"]
        assert names(index, failure_classes=("masked",)) == ["1:0"]


def test_masked_rollouts_are_an_outcome_of_their_own(tmp_path: Path) -> None:
    rows = [
        result(0, reward=1),
        result(1, reward=0),
        result(2, reward=1, mask_sample=True, failure_kind="judge_failed"),
        result(3, reward=0, mask_sample=True),
    ]
    with Index.open(write(tmp_path / "r.jsonl", rows, [failure(4), failure(2)])) as index:
        listed = {outcome: names(index, outcome=outcome) for outcome in Outcome}
    assert listed == {
        Outcome.PASSED: ["0:0"],
        Outcome.NOT_PASSED: ["1:0"],
        Outcome.MASKED: ["2:0", "3:0"],
        Outcome.FAILED: ["4:0"],
    }


@pytest.mark.parametrize("sort", list(Sort))
def test_every_order_lists_every_rollout_those_without_the_value_last(tmp_path: Path, sort: Sort) -> None:
    bare = {"_ng_task_index": 9, "_ng_rollout_index": 0, "reward": None}
    path = write(tmp_path / "r.jsonl", [bare, result(1), result(0)])
    for descending in (False, True):
        listed = indexed(path, sort=sort, descending=descending)
        assert sorted(listed) == ["0:0", "1:0", "9:0"]
        if sort in (Sort.REWARD, Sort.TOKENS, Sort.TIME):
            assert listed[-1] == "9:0"


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(json.dumps(result(task)).encode() + b"\r\n" for task in range(2)))
    with Index.open(path) as index:
        assert names(index) == ["0:0", "1:0"]
        assert index.unreadable_lines == 0
        assert [index.transcript(row).task for row in index.rollouts().rollouts] == [0, 1]


def test_lines_that_are_not_objects_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    with path.open("ab") as out:
        out.write(b'\n[1]\n"text"\n\xff\xfe{\n' + json.dumps(result(1)).encode() + b"\n")
    with Index.open(path) as index:
        assert names(index) == ["0:0", "1:0"]
        assert index.unreadable_lines == 3


@pytest.mark.parametrize("content", [b"# A page\n\nText\n", b"a,b\n1,2\n", b"\x00\x01\n\x02\n"])
def test_another_kind_of_file_is_refused_and_leaves_nothing_behind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.md"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a JSON object"):
        Index.open(path)
    assert list(tmp_path.iterdir()) == [path]


def test_missing_files_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.jsonl", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError):
            Index.open(path)


def test_an_empty_file_has_no_rollouts(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    assert indexed(path) == []


def test_a_link_has_its_index_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    path = write(tmp_path / "runs" / "r.jsonl", [result(0)], [failure(1)])
    link = tmp_path / "latest.jsonl"
    link.symlink_to(path)
    assert indexed(link) == ["0:0", "1:0"]
    assert path.with_name("r.index.sqlite").exists()


def _unwritable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a read-only file system; permissions alone do not stop root."""
    connect = sqlite3.connect

    def refusing(address: str, **options: Any) -> sqlite3.Connection:
        if f"{folder}/" in address and "mode=ro" not in address:
            raise sqlite3.OperationalError("unable to open database file")
        connection: sqlite3.Connection = connect(address, **options)
        return connection

    monkeypatch.setattr(sqlite3, "connect", refusing)


def test_a_read_only_folder_has_its_index_in_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    _unwritable(monkeypatch, tmp_path)
    with Index.open(path) as index:
        assert index.place.is_relative_to(cache)
        append(path, result(1))
        index.refresh()
        assert names(index) == ["0:0", "1:0"]


def test_without_a_cache_the_index_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    _unwritable(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    with Index.open(path) as index:
        place = index.place
        assert names(index) == ["0:0"]
        assert place.exists()
    assert not place.parent.exists()


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o640, 0o640), (0o440, 0o640)])
def test_an_index_is_as_private_as_its_file(tmp_path: Path, mode: int, expected: int) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    path.chmod(mode)
    indexed(path)
    assert (tmp_path / "r.index.sqlite").stat().st_mode & 0o777 == expected


def test_a_folder_of_the_users_is_never_removed(tmp_path: Path) -> None:
    folder = tmp_path / "gymctl-results-of-monday"
    folder.mkdir()
    path = write(folder / "r.jsonl", [result(0)])
    indexed(path)
    assert sorted(file.name for file in folder.iterdir()) == ["r.index.sqlite", "r.jsonl"]


def test_an_index_that_cannot_be_written_is_used_while_it_is_complete(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    indexed(path)
    place = tmp_path / "r.index.sqlite"
    monkeypatch.setattr(os, "access", lambda name, _: name != place)
    with Index.open(path) as index:
        assert index.place == place
    append(path, result(1))
    with Index.open(path) as index:
        assert index.place.is_relative_to(cache)
        assert names(index) == ["0:0", "1:0"]


@pytest.mark.parametrize("content", [b"not a database, but longer than its header would be " * 4, b"short"])
def test_a_file_of_the_users_under_the_indexs_name_is_left_alone(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    (tmp_path / "r.index.sqlite").write_bytes(content)
    with Index.open(path) as index:
        assert index.place.is_relative_to(cache)
    assert (tmp_path / "r.index.sqlite").read_bytes() == content


def test_another_database_under_the_indexs_name_is_left_alone(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    with sqlite3.connect(tmp_path / "r.index.sqlite") as theirs:
        theirs.execute("CREATE TABLE rows (precious)")
    theirs.close()
    with Index.open(path) as index:
        assert index.place.is_relative_to(cache)


def test_an_index_of_another_version_is_made_again(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(0)])
    indexed(path)
    with sqlite3.connect(tmp_path / "r.index.sqlite") as database:
        database.execute("PRAGMA user_version = 999")
        database.execute("DROP TABLE marks")
    database.close()
    assert indexed(path) == ["0:0"]


def test_a_damaged_index_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(200)])
    indexed(path)
    place = tmp_path / "r.index.sqlite"
    data = bytearray(place.read_bytes())
    data[16384:] = b"\x55" * (len(data) - 16384)
    place.write_bytes(data)
    assert len(indexed(path)) == 200
    with Index.open(path) as index:
        assert index.place == place


def test_readers_and_several_writers_at_once_see_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "_BATCH_ROWS", 7)
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(100)])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with Index.open(path) as index:
                for _ in range(5):
                    index.refresh()
                    rows = index.rollouts().rollouts
                    assert [row.task for row in rows] == list(range(len(rows)))
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    append(path, *(result(task) for task in range(100, 150)))
    for thread in threads:
        thread.join()
    assert not errors
    assert len(indexed(path)) == 150


@pytest.mark.processes
def test_a_process_that_is_killed_while_it_indexes_leaves_an_index_that_can_be_used(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [result(task) for task in range(300)])
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom gymctl.results import Index, builder\n"
        "builder._BATCH_ROWS = 50\ncount = 0\nreal = builder.read_row\n"
        "def dying(line):\n    global count\n    count += 1\n    if count == 220: os._exit(9)\n    return real(line)\n"
        "builder.read_row = dying\nIndex.open(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 9
    assert [int(name.partition(":")[0]) for name in indexed(path)] == list(range(300))


MEMORY_OF_WRITING = """
import sys
from pathlib import Path
from gymctl.results import database

def peak_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

connection = database.connect(Path(sys.argv[1]))
before = peak_kb()
with connection:
    connection.execute("BEGIN")
    for _ in range(50_000):
        connection.execute("INSERT INTO rows (tools) VALUES (?)", ("x" * 1000,))
print(peak_kb() - before)
"""


@pytest.mark.processes
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_new_index_is_written_with_bounded_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEMORY_OF_WRITING, str(tmp_path / "index.sqlite")]
    grown_kb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (tmp_path / "index.sqlite").stat().st_size > 50_000_000
    assert grown_kb < 16_000, "SQLite's cache has more than 8 MB"
