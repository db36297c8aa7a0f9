"""The top-level ``logs:`` block: which drivers, options and addresses it takes."""

from __future__ import annotations

from typing import Any

import pytest
from config_files import SHORT_MODEL, Folder

from gymctl.config.blocks.log_shipping import keeps_copy, log_destination, read_logs
from gymctl.config.diagnostics import Findings
from gymctl.engines.local.ignored_settings import ignored_settings
from gymctl.errors import ConfigError


def options_of(driver: str, options: dict[str, Any]) -> dict[str, str]:
    findings = Findings()
    block = read_logs({"logs": {"driver": driver, "options": options}}, (), findings)
    assert block is not None, findings.problems
    return block.all_options


def test_a_stack_without_the_block_has_the_default(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL)
    assert folder.load("stack.yaml").logs is None


def test_the_drivers_get_the_defaults_that_a_stack_needs() -> None:
    assert options_of("json-file", {}) == {"max-size": "20m", "max-file": "5"}
    assert options_of("json-file", {"max-file": 2, "compress": True}) == {
        "max-size": "20m",
        "max-file": "2",
        "compress": "true",
    }
    assert options_of("local", {}) == {}
    assert options_of("syslog", {"syslog-address": "udp://logs:514"}) == {
        "syslog-address": "udp://logs:514",
        "tag": "{{.Name}}",
        "mode": "non-blocking",
    }
    assert options_of("fluentd", {"tag": "mine"})["tag"] == "mine"
    assert options_of("fluentd", {})["fluentd-async"] == "true"


@pytest.mark.parametrize(
    ("driver", "address"),
    [
        *(("syslog", f"{scheme}://10.0.0.5:601") for scheme in ("udp", "tcp", "tcp+tls")),
        *(("syslog", address) for address in ("udp://logs", "tcp://[::1]:514", "unixgram:///dev/log", "unix:///run/l")),
        *(("gelf", address) for address in ("udp://logs:12201", "tcp://logs.example.com:12201")),
        *(("fluentd", address) for address in ("logs:24224", "logs", "tls://logs:24224", "unix:///run/fluentd.sock")),
    ],
)
def test_addresses_that_docker_takes_are_taken(driver: str, address: str) -> None:
    assert options_of(driver, {f"{driver}-address": address})[f"{driver}-address"] == address


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ({"driver": "splunk"}, "driver"),
        ({"drivers": "local"}, "drivers"),
        ({"driver": "local", "options": ["max-size"]}, "options"),
        ({"driver": "local", "options": {"max-size": ["1m"]}}, "options"),
        ({"driver": "local", "options": {"tag": "x"}}, "local has no option 'tag'"),
        ({"driver": "syslog", "options": {"syslog-adress": "udp://a:1"}}, "did you mean 'syslog-address'"),
        ({"driver": "syslog", "options": {"gelf-address": "udp://a:1"}}, "syslog has no option 'gelf-address'"),
        *(
            ({"driver": "syslog", "options": {"syslog-address": address}}, "is not an address")
            for address in ("logs:514", "http://logs:514", "udp://", "udp://a:b", "tcp://a b:1", "unix://relative")
        ),
        ({"driver": "gelf"}, "needs gelf-address"),
        ({"driver": "gelf", "options": {"gelf-address": "udp://logs"}}, "is not an address"),
        ({"driver": "fluentd", "options": {"fluentd-address": "udp://logs:1"}}, "is not an address"),
        ({"driver": "syslog", "options": {"mode": "fast"}}, "one of blocking, non-blocking"),
        ({"driver": "json-file", "options": {"max-buffer-size": "4m"}}, "no effect with mode blocking"),
        ({"driver": "syslog", "options": {"mode": "blocking", "max-buffer-size": "4m"}}, "no effect"),
    ],
)
def test_what_docker_would_refuse_is_a_problem_at_its_line(folder: Folder, logs: Any, message: str) -> None:
    folder.write_block("logs", logs)
    with pytest.raises(ConfigError, match=r"stack.yaml:\d+: .*; ") as caught:
        folder.load("stack.yaml")
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_an_option_is_reported_at_its_own_line(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL + "logs:\n  driver: local\n  options:\n    max-size: 1m\n    tags: x\n")
    with pytest.raises(ConfigError, match=r"stack.yaml:8: "):
        folder.load("stack.yaml")


def test_a_server_may_still_have_the_name(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL.replace("policy_model", "logs"))
    config = folder.load("stack.yaml")
    assert list(config.servers) == ["logs"]
    assert config.logs is None


def test_the_local_engine_reports_that_it_ignores_the_block(folder: Folder) -> None:
    folder.write_block("logs", {"driver": "journald"})
    config = folder.load("stack.yaml")
    assert config.notes == ()
    assert any(line.startswith("logs has no effect") for line in ignored_settings(config))


def test_destinations_are_named_with_their_address() -> None:
    assert log_destination("syslog", {"tag": "x", "syslog-address": "udp://a:1"}) == "syslog (udp://a:1)"
    assert log_destination("journald", {"tag": "x"}) == "journald"


@pytest.mark.parametrize(
    ("driver", "options", "readable"),
    [
        ("json-file", {}, True),
        ("syslog", {}, True),
        ("syslog", {"cache-disabled": "false"}, True),
        ("syslog", {"cache-disabled": "True"}, False),
        ("none", {}, False),
    ],
)
def test_docker_reads_back_what_it_keeps(driver: str, options: dict[str, str], readable: bool) -> None:
    assert keeps_copy(driver, options) is readable
