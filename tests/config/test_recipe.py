"""A recipe of many files loads fast, and loading it imports no more than it needs."""

from __future__ import annotations

import subprocess
import sys
import time

from config_files import MODEL, Folder

ENVIRONMENT = """
rs{n}:
  resources_servers:
    example_multi_step:
      entrypoint: app.py
      domain: instruction_following
      verified: false
      description: Environment {n}
      limits: {{temperature: 0.5, top_p: 1.0, prompts: [a, b, c], note: "${{policy_model_name}}"}}
      judge_model_server:
        type: responses_api_models
        name: policy_model
agent{n}:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server:
        type: resources_servers
        name: rs{n}
      model_server:
        type: responses_api_models
        name: policy_model
      datasets:
      - name: example
        type: example
        jsonl_fpath: resources_servers/example_multi_step/data/example.jsonl
      - name: train
        type: train
        license: Apache 2.0
        jsonl_fpath: resources_servers/example_multi_step/data/train.jsonl
"""


def test_a_recipe_of_85_servers_in_43_files(folder: Folder) -> None:
    for number in range(42):
        folder.write(f"environments/{number:02}.yaml", ENVIRONMENT.format(n=number))
    folder.write("model.yaml", MODEL + "policy_model_name: m\n")
    started = time.process_time()
    config = folder.load("model.yaml", "environments/*.yaml", "+silence=[unread-key]")
    seconds = time.process_time() - started
    assert len(config.servers) == 85
    assert config.servers["rs7"].fields["limits"]["note"] == "m"
    assert seconds < 1.0  # about 0.1 on an idle machine; the bound is for a busy one


def test_importing_the_configuration_needs_no_heavy_library() -> None:
    heavy = ("omegaconf", "pydantic", "typer", "antlr4")
    code = f"import sys, gymctl.config; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
