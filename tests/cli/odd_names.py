"""A stack whose servers have names that no host may have, and its rows."""

from __future__ import annotations

import json
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "services"
LONG = "example_multi_step_resources_server_with_a_name_that_is_far_beyond_what_a_dns_label_takes"
AGENT = "litmus/agent"
SESSIONS = "sessions; of=two"
STACK = f"""\
"policy model/v1":
  responses_api_models:
    scripted_model: {{entrypoint: app.py}}
{LONG}:
  resources_servers:
    example_multi_step: {{entrypoint: app.py, domain: instruction_following}}
"{AGENT}":
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: {LONG}}}
      model_server: {{type: responses_api_models, name: policy model/v1}}
"{SESSIONS}":
  resources_servers:
    example_session_state_mgmt: {{entrypoint: app.py, domain: agent}}
head:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: "{SESSIONS}"}}
      model_server: {{type: responses_api_models, name: policy model/v1}}
"""


def write_odd_stack(folder: Path) -> int:
    """Write ``stack.yaml`` and ``rows.jsonl``; returns the number of rows."""
    (folder / "stack.yaml").write_text(STACK)
    rows = []
    for environment, agent in (("example_multi_step", AGENT), ("example_session_state_mgmt", "head")):
        lines = (SERVICES / "resources_servers" / environment / "data" / "example.jsonl").read_text().splitlines()
        reference = {"type": "responses_api_agents", "name": agent}
        rows += [json.dumps({**json.loads(line), "agent_ref": reference}) for line in lines]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    return len(rows)


def rewards_of(results: Path) -> dict[str, list[float]]:
    """The rewards of a results file, sorted, by agent."""
    rewards: dict[str, list[float]] = {}
    for line in results.read_text().splitlines():
        result = json.loads(line)
        rewards.setdefault(result["agent_ref"]["name"], []).append(result["reward"])
    return {agent: sorted(values) for agent, values in rewards.items()}
