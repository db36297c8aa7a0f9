"""Have the proxies of a running stack use the present tokens, without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gymctl.config.blocks.hop_tokens import secret_name
from gymctl.engines.docker.containers import PROJECT, SERVICE
from gymctl.engines.docker.daemon import connect, spoken_errors
from gymctl.errors import EngineError
from gymctl.stack.addons.haproxy import TOKENS_PORT
from gymctl.stack.labels import IMPLEMENTATION
from gymctl.stack.service import PROXY_IMPLEMENTATION

if TYPE_CHECKING:
    import docker

    from gymctl.engines.state import StackState

# HAProxy reads a map once; each of its values can be set over a socket that only its container reaches
_SET = (
    'while read -r key value rest; do case $key in "#"*) continue ;; esac; '
    f"exec 3<>/dev/tcp/127.0.0.1/{TOKENS_PORT} || exit 1; "
    'printf "set map %s %s %s\\n" "$1" "$key" "$value" >&3; cat <&3; done < "$1"'
)


@spoken_errors()
def update_proxies(state: StackState) -> None:
    """Set the tokens in the files of a stack's proxies in their running processes.

    Raises:
        EngineError: the engine does not answer, or a proxy does not take them.
    """
    client = connect("")
    for container in client.api.containers(filters={"label": f"{PROJECT}={state.name}"}):
        file = f"/run/secrets/{secret_name(container['Labels'][SERVICE])}"
        has_file = any(mount["Destination"] == file for mount in container["Mounts"])
        if has_file and container["State"] == "running" and container["Labels"][IMPLEMENTATION] == PROXY_IMPLEMENTATION:
            _update(client, container, file)


def _update(client: docker.DockerClient, container: dict[str, Any], file: str) -> None:
    started = client.api.exec_create(container["Id"], ["bash", "-c", _SET, "bash", file])
    output = client.api.exec_start(started["Id"]).decode(errors="replace").strip()
    if output or client.api.exec_inspect(started["Id"])["ExitCode"] != 0:
        name = container["Names"][0].lstrip("/")
        raise EngineError(f"{name} does not take new tokens: {output or 'it does not answer'}", "run the command again")
