"""What is written for a user's own Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from gymctl.config import load_config
from gymctl.operations.render import render
from gymctl.stack.addons.monitoring import ScrapeTarget, container_targets, local_targets, monitoring_files

ROOT = Path(__file__).parents[2]


def rendered(example: str, *overrides: str) -> dict[str, bytes]:
    folder = ROOT / "examples" / example
    config = load_config([str(folder), *overrides], cwd=folder, environ={"OPENAI_API_KEY": "k", "HF_TOKEN": "h"})
    return dict(render(config, directory=folder).files)


def test_nothing_is_written_without_observe() -> None:
    assert rendered("quickstart") == {}


def test_every_server_and_the_collector_are_targets() -> None:
    files = rendered("quickstart", "++observe=true")
    groups = json.loads(files["observability/targets.json"])
    jobs = {group["labels"]["job"]: group["targets"] for group in groups}
    assert jobs["gymctl-collector"] == ["gymctl-collector:9464"]
    assert "head:11000" in jobs["gymctl"] and "policy_model:8000" in jobs["gymctl"]
    assert len(jobs["gymctl"]) == 6
    assert set(files) == {
        f"observability/{name}" for name in ("alerts.yaml", "dashboard.json", "prometheus.yaml", "targets.json")
    }


def test_replicas_are_found_by_dns() -> None:
    targets = [ScrapeTarget("gymctl", "one", 8080), ScrapeTarget("gymctl", "many", 8081, replicas=3)]
    files = monitoring_files(targets)
    assert json.loads(files["observability/targets.json"]) == [{"targets": ["one:8080"], "labels": {"job": "gymctl"}}]
    _, replicas = yaml.safe_load(files["observability/prometheus.yaml"])["scrape_configs"]
    assert replicas["dns_sd_configs"][0]["names"] == ["many"]
    assert replicas["dns_sd_configs"][0]["port"] == 8081
    assert replicas["relabel_configs"] == [{"target_label": "job", "replacement": "gymctl"}]


def test_vllm_is_a_target_with_alerts_of_its_own() -> None:
    files = rendered("vllm", "++observe=true")
    jobs = {group["labels"]["job"] for group in json.loads(files["observability/targets.json"])}
    assert "vllm" in jobs
    assert yaml.safe_load(files["observability/prometheus.yaml"])["rule_files"] == ["alerts.yaml", "vllm-alerts.yaml"]


def test_a_local_stack_is_scraped_on_loopback() -> None:
    *_, collector = local_targets([("127.0.0.1", 10001)], 9500)
    assert (collector.job, collector.host, collector.port) == ("gymctl-collector", "127.0.0.1", 9500)


def test_the_collector_is_no_server_that_may_be_missing() -> None:
    (target,) = container_targets([])
    assert target.job != "gymctl"
