"""What costs time to import stays out of the commands that one waits for at a prompt."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

HEAVY = {"ray", "fastapi", "openai", "docker", "aiohttp", "uvicorn", "httpx", "jinja2", "requests", "prometheus_client"}

ENVIRONMENT = """\
tools_{n}:
  resources_servers:
    example_single_tool_call: {{entrypoint: app.py, domain: agent}}
agent_{n}:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: tools_{n}}}
      model_server: {{type: responses_api_models, name: model_{n}}}
model_{n}:
  responses_api_models:
    scripted_model: {{entrypoint: app.py}}
"""

COMMANDS = {
    "help": (["--help"], 0),
    "help of a command": (["up", "--help"], 0),
    "render": (["render", "stack.yaml"], 0),
    "render to a file": (["render", "stack.yaml", "-o", "compose.yaml"], 0),
    "config check": (["config", "check", "stack.yaml"], 0),
    "no stack": (["status"], 2),
    "completion": (["--show-completion", "bash"], 0),
}


@pytest.mark.parametrize(("arguments", "code"), COMMANDS.values(), ids=COMMANDS)
def test_nothing_heavy_is_imported(folder, arguments, code):
    (folder / "stack.yaml").write_text("".join(ENVIRONMENT.format(n=n) for n in range(4)))
    script = (
        "import sys\n"
        "from gymctl.cli.main import main\n"
        f"sys.argv = ['gymctl', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        f"print('\\nheavy:', code, sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"heavy: {code} []"
