"""Words that a configuration knows: the kinds of servers, the keys with a meaning, the ports that are taken as read.

Servers need these and no more of what a configuration means: this module imports next to nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from gymctl.config import upstream


class ServerKind(StrEnum):
    """The kinds of named servers; the value is the key that marks them in YAML and the folder they live in."""

    MODEL = "responses_api_models"
    AGENT = "responses_api_agents"
    RESOURCES = "resources_servers"
    ENVIRONMENT = "environment_servers"
    """Of NeMo Gym 0.7: takes a rollout to its agent."""


_KINDS = frozenset(kind.value for kind in ServerKind)


class Role(StrEnum):
    """The role of a machine in a stack on several machines; ``ALL``: the stack is on this machine only."""

    ALL = "all"
    COORDINATOR = "coordinator"
    WORKER = "worker"
    HEAD = "head"


MISSING = "???"  # a value that is still to be given
HEAD_NAME = "head_server"  # the head's key in a configuration, and its name among the addresses of a stack
HEAD_PORT = 11000
MOST_REPLICAS = 100  # of one server: the number of addresses that fit into one UDP answer of Docker's DNS
NODE_PORT = 11001  # of the server that registers a worker with the head; only its own container's
# Additional keys for servers: the node server's own entry, and the servers of other machines (name -> kind).
NODE_KEY = "gymctl_node"
REMOTE_KEY = "gymctl_remote"
HEAD_TOKEN = "GYMCTL_HEAD_TOKEN"  # noqa: S105 - the name of a secret
# Additional key for model servers whose endpoints may be replaced through the head, and the secret that allows it
POLICY_WATCH_KEY = "gymctl_policy_watch"
POLICY_TOKEN = "GYMCTL_POLICY_TOKEN"  # noqa: S105 - the name of a secret
# Additional key of the head's own entry: where clients outside of the stack reach its servers
OUTSIDE_KEY = "gymctl_outside"
# Additional key of the head's own entry: the folders of servers that are not where gymctl's own are
FOLDERS_KEY = "gymctl_folders"
# Additional key for servers that listen to clients outside of the stack: the networks of those that are accepted
EXPOSED_TO_KEY = "gymctl_exposed_to"
DEFAULT_NETWORK = "default"  # of a stack on several machines
EGRESS_NETWORK = "stack-egress"  # the beginning of the names of networks with outbound access
HOSTS_NETWORK = "stack-hosts"  # the beginning of the names of networks of a server with a list of hosts and its proxy
EGRESS_PROXY_SUFFIX = "-egress"  # of the name of the proxy of a server with a list of hosts
# The variable with the URL of the proxy that a server's calls to the outside must use, those to this machine included
EGRESS_PROXY_VARIABLE = "GYMCTL_EGRESS_PROXY"
# The variables of that proxy: the server's name, and its hosts with spaces between them
EGRESS_SERVER_VARIABLE = "GYMCTL_EGRESS_SERVER"
EGRESS_HOSTS_VARIABLE = "GYMCTL_EGRESS_HOSTS"
EGRESS_PROXY_PORT = 3128
SERVERS_NETWORK = "stack-servers"
MODELS_NETWORK = "stack-models"
REPLICA_SUFFIX = "-replica"  # of the name of a server's replicas, where a proxy has the server's own name
RAY_BLOCK = "ray"  # the key of the stack's own cluster
RAY_ADDRESS_KEY = "ray_head_node_address"  # the key of a cluster that is already there
RAY_CLIENT_PORT = 10001  # of a cluster, for clients that are not nodes of it
RAY_DASHBOARD_PORT = 8265

# Hosts that only this machine can reach, and hosts that mean every address of this machine.
LOOPBACK = "127.0.0.1"
LOOPBACK_HOSTS = (LOOPBACK, "localhost", "::1")
EVERY_INTERFACE = "0.0.0.0"
EVERY_INTERFACE_HOSTS = (EVERY_INTERFACE, "::")
ALLOWED_HOSTS_KEY = "allowed_hosts"  # names, with a dot in them, by which callers may reach servers
LOG_FORMAT_KEY = "log_format"
LOGS_BLOCK = "logs"  # the key of the log driver of all containers
EDGE_BLOCK = "edge"  # the key of the published port with TLS
EDGE_PORT = 8443
EDGE_TOKEN = "GYMCTL_EDGE_TOKEN"  # noqa: S105 - the name of a secret
EDGE_CERTIFICATE = "GYMCTL_EDGE_CERTIFICATE"  # the name of a secret: certificate, chain and key
OBSERVE_KEY = "observe"
TOKENS_KEY = "tokens"  # the key of tokens for the calls between servers
TELEMETRY_BLOCK = "telemetry"  # the key of the traces of rollouts
COLLECTOR_ALIAS = "gymctl-collector"  # of the container of a collection, on the network of its stack
ALERTMANAGER_PORT = 9093
COLLECTOR_PORT = 9464  # on which a collection answers /metrics
RUNTIMES = ("gymctl", "nemo-gym")  # the values of `runtime`; otherwise the location of a server's code decides

# Model servers that try their endpoints when they are asked to
PROBED = frozenset({"openai_model", "azure_openai_model", "vllm_model"})
ENDPOINT_PROBE = "/endpoint_probe"  # the path at which they are asked

# Top-level keys with a meaning of their own, NeMo Gym's and gymctl's; any other key may hold anything.
RESERVED_KEYS = upstream.RESERVED_KEYS | {
    "ray", "gymctl", "silence", "runtime", "placement", "vllm", ALLOWED_HOSTS_KEY, LOG_FORMAT_KEY,
    OBSERVE_KEY, LOGS_BLOCK, EDGE_BLOCK, TOKENS_KEY,
}  # fmt: skip
# Those of them that were free to be a server's name, and still are: with a kind key below it, it is a server.
BLOCK_KEYS = frozenset({"vllm", "ray", LOGS_BLOCK, EDGE_BLOCK, TOKENS_KEY})


def is_this_machine(host: str | None) -> bool:
    """Whether a configured host means the machine itself: none, a loopback address, or every interface."""
    return host is None or host in LOOPBACK_HOSTS or host in EVERY_INTERFACE_HOSTS


def is_server_entry(name: object, value: Any) -> bool:
    """Whether a top-level entry is meant as a server: not reserved, and it has one of the kind keys."""
    if name in RESERVED_KEYS and name not in BLOCK_KEYS:
        return False
    return isinstance(value, dict) and not _KINDS.isdisjoint(value)


def base_url(host: str, port: int | str) -> str:
    """``http://HOST:PORT``; an IPv6 address is put in brackets."""
    if ":" in host and not host.startswith("["):
        return f"http://[{host}]:{port}"
    return f"http://{host}:{port}"


DRAIN_FILE = "/tmp/gymctl-drain"  # noqa: S108 - a container's own
"""Asks a server in a container to end after the sessions that it has."""
SESSIONS_FILE = "/tmp/gymctl-sessions"  # noqa: S108 - a container's own
"""Number of sessions of a server that drains; empty before that; absent if it keeps none."""
