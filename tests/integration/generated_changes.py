"""Changes of a small stack, drawn one after another: of its configuration, of its code, and by hand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from free_ports import free_port
from small_stack import SmallStack

from gymctl import assets
from gymctl.engines.docker.containers import Container, find_containers
from gymctl.engines.docker.daemon import connect

MODEL, JUDGE, OWN, AGENT = "policy_model", "judge_model", "own_tool", "own_agent"
BUNDLED = "example_single_tool_call"
_MOST_EXTRA = 2
_VALUES = {
    "memory": ("512mb", "1gb", "2gb", None),
    "pids": (300, 500, None),
    "tmp": ("32mb", "64mb", None),
    "cpus": (0.5, 1, None),
}
_LOGS = (
    None,
    {"driver": "local"},
    {"driver": "json-file", "options": {"max-size": "1m"}},
    {"driver": "json-file", "options": {"max-size": "2m", "max-file": "2"}},
)


class ChangingStack:
    """A stack whose configuration is kept as data, and written after each change."""

    def __init__(self, stack: SmallStack, seed: int) -> None:
        self.stack = stack
        self.random = random.Random(seed)
        self.ports = [stack.port, free_port()]
        self.key = 0
        self.code = 0
        self.comment = 0
        self.extra = 0
        self.override: dict[str, Any] = {}
        self.top: dict[str, Any] = {"head_server": {"host": "127.0.0.1", "port": stack.port}}
        self.servers: dict[str, dict[str, Any]] = {
            MODEL: {"responses_api_models": {"scripted_model": {"entrypoint": "app.py"}}},
            JUDGE: {
                "responses_api_models": {
                    "openai_model": {
                        "entrypoint": "app.py",
                        "openai_model": "x",
                        "openai_base_url": "http://127.0.0.1:9/v1",
                        "openai_api_key": "${judge_api_key}",
                    }
                }
            },
            OWN: {"resources_servers": {"own": {"entrypoint": "app.py", "domain": "agent"}}},
            AGENT: {
                "responses_api_agents": {
                    "simple_agent": {
                        "entrypoint": "app.py",
                        "resources_server": {"type": "resources_servers", "name": OWN},
                        "model_server": {"type": "responses_api_models", "name": MODEL},
                    }
                }
            },
        }
        (stack.directory / "data").mkdir()
        self.write()

    def write(self) -> None:
        """Write the configuration, its key and the code of the stack's own server."""
        directory = self.stack.directory
        configuration = json.dumps({**self.top, **self.servers}, indent=1)
        (directory / "stack.yaml").write_text(f"# {self.comment}\n{configuration}\n")
        (directory / "env.yaml").write_text(f"judge_api_key: sk-{self.key}-0123456789\n")
        own = directory / "resources_servers" / "own"
        own.mkdir(parents=True, exist_ok=True)
        source = assets.folder("services") / "resources_servers" / BUNDLED / "app.py"
        (own / "app.py").write_text(f"{source.read_text()}\n# {self.code}\n")
        override = directory / "compose.override.yaml"
        if self.override:
            override.write_text(json.dumps({"services": self.override}))
        else:
            override.unlink(missing_ok=True)

    def change(self) -> str:
        """Make one to three changes; what was changed, in words."""
        changes: list[Callable[[], str]] = [
            self.set_field,
            self.set_steps,
            self.set_variable,
            self.set_replicas,
            self.set_resources,
            self.set_logs,
            self.set_stack_logs,
            self.set_mount,
            self.set_workers,
            self.set_stack_key,
            self.set_tokens,
            self.set_override,
            self.change_secret,
            self.change_code,
            self.change_comment,
            self.add_server,
            self.remove_server,
            self.rename_server,
            self.move_head,
            self.stop_by_hand,
            self.remove_by_hand,
            self.change_nothing,
        ]
        drawn = self.random.sample(changes, self.random.choice((1, 1, 2, 3)))
        text = "; ".join(change() for change in drawn)
        self.write()
        return text

    # the configuration

    def fields(self, name: str) -> dict[str, Any]:
        """The fields of a server's implementation."""
        (kind,) = (key for key in self.servers[name] if key.startswith(("responses_api", "resources_servers")))
        fields: dict[str, Any] = next(iter(self.servers[name][kind].values()))
        return fields

    def server(self) -> str:
        """A server's name."""
        return self.random.choice(list(self.servers))

    def put(self, settings: dict[str, Any], key: str, value: object) -> str:
        """Set a key, or remove it with None; both in words."""
        if value is None:
            settings.pop(key, None)
        else:
            settings[key] = value
        return f"{key} = {value}"

    def set_field(self) -> str:
        name = self.server()
        return f"{name}: {self.put(self.fields(name), 'description', f'text {self.random.randrange(3)}')}"

    def set_steps(self) -> str:
        return self.put(self.fields(AGENT), "max_steps", self.random.randrange(5, 9))

    def set_variable(self) -> str:
        name = self.server()
        return (
            f"{name}: {self.put(self.servers[name], 'environment', self.random.choice(({'A': '1'}, {'A': '2'}, None)))}"
        )

    def set_replicas(self) -> str:
        name = self.server()
        return f"{name}: {self.put(self.servers[name], 'replicas', self.random.randrange(1, 4))}"

    def set_resources(self) -> str:
        name, key = self.server(), self.random.choice(list(_VALUES))
        value = self.random.choice(_VALUES[key])
        return f"{name}: {self.put(self.servers[name].setdefault('resources', {}), key, value)}"

    def set_logs(self) -> str:
        name = self.server()
        return f"{name}: {self.put(self.servers[name], 'logging', self.random.choice(_LOGS))}"

    def set_stack_logs(self) -> str:
        return self.put(self.top, "logs", self.random.choice(_LOGS))

    def set_mount(self) -> str:
        name = self.server()
        value = self.random.choice((["./data:/data:ro"], ["./data:/data"], None))
        return f"{name}: {self.put(self.servers[name], 'volumes', value)}"

    def set_workers(self) -> str:
        name = self.random.choice((MODEL, AGENT))
        return f"{name}: {self.put(self.fields(name), 'num_workers', self.random.choice((2, None)))}"

    def set_stack_key(self) -> str:
        values = {"log_format": ("json", "text", None), "observe": ({"services": False}, None)}
        key = self.random.choice(list(values))
        return self.put(self.top, key, self.random.choice(values[key]))

    def set_tokens(self) -> str:
        return self.put(self.top, "tokens", self.random.choice((True, None)))

    def set_override(self) -> str:
        service = self.random.choice(("head", AGENT))
        return self.put(self.override, service, self.random.choice(({"labels": {"a": "b"}}, {"domainname": "c"}, None)))

    def change_secret(self) -> str:
        self.key += 1
        return "another key"

    def change_code(self) -> str:
        self.code += 1
        return f"the code of {OWN}"

    def change_comment(self) -> str:
        self.comment += 1
        return "a comment"

    def change_nothing(self) -> str:
        return "nothing"

    def extras(self) -> list[str]:
        """Servers that may be removed."""
        return [name for name in self.servers if name.startswith("extra")]

    def add_server(self) -> str:
        if len(self.extras()) == _MOST_EXTRA:
            return "nothing, there are enough servers"
        self.extra += 1
        name = f"extra_{self.extra}"
        self.servers[name] = {"resources_servers": {BUNDLED: {"entrypoint": "app.py", "domain": "agent"}}}
        return f"{name} added"

    def remove_server(self) -> str:
        if not self.extras():
            return "nothing, there is no server to remove"
        name = self.random.choice(self.extras())
        del self.servers[name]
        return f"{name} removed"

    def rename_server(self) -> str:
        if not self.extras():
            return "nothing, there is no server to rename"
        name = self.random.choice(self.extras())
        self.extra += 1
        other = f"extra_{self.extra}"
        self.servers[other] = self.servers.pop(name)
        return f"{name} renamed to {other}"

    def move_head(self) -> str:
        port = self.random.choice(self.ports)
        return f"head: {self.put(self.top['head_server'], 'port', port)}"

    # by hand

    def containers(self) -> list[Container]:
        """The stack's containers."""
        return sorted(find_containers(connect(""), self.stack.name), key=lambda item: item.name)

    def stopped(self) -> Counter[str]:
        """How many containers of each service exist and do not run."""
        return Counter(item.service for item in self.containers() if item.state != "running")

    def stop_by_hand(self) -> str:
        container = self.random.choice(self.containers())
        connect("").api.stop(container.id, timeout=1)
        return f"{container.name} stopped by hand"

    def remove_by_hand(self) -> str:
        container = self.random.choice(self.containers())
        connect("").api.remove_container(container.id, force=True)
        return f"{container.name} removed by hand"
