"""The stack's Ray cluster: what a ``ray:`` block means, and when there is one.

With a ``ray_head_node_address`` the cluster is the user's; then only the block's ``version`` has a meaning.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gymctl.config import upstream
from gymctl.config.blocks.block import Block, Must, Port, Size
from gymctl.config.blocks.block_reader import read_block
from gymctl.config.blocks.placement import Placement
from gymctl.config.diagnostics import Findings, Location, NoteCode
from gymctl.config.validation import is_port
from gymctl.config.vocabulary import RAY_ADDRESS_KEY, RAY_BLOCK, RAY_CLIENT_PORT, RAY_DASHBOARD_PORT
from gymctl.errors import Problem

NEEDS_KEY = "needs_ray"  # in a server's fields
VERSION = upstream.DEFAULT.ray

_MOST = 1000  # nodes, and task slots of one
# of a cluster, for its clients: the only form that a container can dial
CLIENT_ADDRESS = re.compile(r"ray://(?P<host>\[[^\]]+\]|[^/:@\[\]\s]+):(?P<port>\d{1,5})/?")

_NODES_ADDRESS = re.compile(CLIENT_ADDRESS.pattern.removeprefix("ray://"))
_HERE = ("auto", "local")  # Ray's words for a cluster of this machine
_VERSION = re.compile(r"\d+(?:\.\d+){1,2}")


def _version(value: Any) -> str:
    """A version as text: YAML reads 2.60 as a number."""
    if isinstance(value, bool) or not _VERSION.fullmatch(str(value)):
        raise ValueError("not a version")
    return str(value)


class RayKeys(Block):
    """The stack's own Ray cluster: a head, and nodes on which servers run their checks."""

    workers: Annotated[int, Field(ge=0, le=_MOST), Must(f"a number of nodes from 0 (the head alone) to {_MOST}")] = (
        Field(1, description="Nodes that tasks run on; with 0 they run on the head.")
    )
    cpus: (
        Annotated[int, Field(ge=1, le=_MOST), Must(f"a number of task slots for each node, from 1 to {_MOST}")] | None
    ) = Field(None, description="Concurrent tasks on each node; by default the number of cores of its machine.")
    object_store: Size = Field("200mb", description="Size of each node's object store.")
    shm_size: Size = Field("512mb", description="Shared memory of each node; contains the object store.")
    memory: Size | None = Field(None, description="Memory limit of the head and of each node.")
    dashboard: Annotated[bool | Port, Must("true, false, or a port")] = Field(
        True,
        description=f"true (port {RAY_DASHBOARD_PORT} on this machine's loopback interface), another port, or false.",
    )
    version: Annotated[str, BeforeValidator(_version), Must(f"a version of Ray in quotes, such as '{VERSION}'")] = (
        Field(VERSION, description="Version of Ray in the images of the nodes and of the servers.")
    )
    placement: Placement | None = Field(
        None, description="Placement of the nodes, in addition to `placement.addons`, which also applies to the head."
    )


class RayBlock(RayKeys):
    """The cluster of a configuration; ``location`` is the place of its block."""

    location: Location | None = None

    @property
    def dashboard_port(self) -> int | None:
        """The port of this machine's loopback interface that the dashboard has; None without one."""
        if self.dashboard is True:
            return RAY_DASHBOARD_PORT
        return self.dashboard or None


def read_ray(written: Any, address: Any, findings: Findings) -> RayBlock | None:
    """The ``ray:`` block; None when there is none. What is wrong becomes problems.

    ``address`` is the configuration's ``ray_head_node_address``: then the stack starts no cluster.
    """
    if written is None:
        return None
    block = read_block(RayKeys, written, (RAY_BLOCK,), findings)
    for key in sorted(block.model_fields_set - {"version"}) if block and address else ():
        message = f"ray.{key} is set, but {RAY_ADDRESS_KEY} names an external cluster, which the stack does not start"
        findings.problem((RAY_BLOCK, key), message, "remove one of them")
    if block is None:
        return RayBlock()
    return RayBlock(
        **{key: getattr(block, key) for key in block.model_fields_set}, location=findings.origins.of((RAY_BLOCK,))
    )


def cluster_address(
    resolved: Mapping[str, Any], has_block: bool, environ: Mapping[str, str], findings: Findings
) -> str | None:
    """The address to add as ``ray_head_node_address``: ``RAY_ADDRESS``, where the configuration has no cluster.

    Ray's other forms of it (``auto``, ``HOST:6379``) are for nodes of the cluster, which no container is.
    """
    address = environ.get("RAY_ADDRESS", "")
    if has_block or not address or resolved.get(RAY_ADDRESS_KEY) is not None:
        return None
    if not address.startswith("ray://"):
        problem = f"RAY_ADDRESS is {address}, an address for cluster nodes; containers do not use it"
        hint = f"to use that cluster: {RAY_ADDRESS_KEY}: ray://HOST:{RAY_CLIENT_PORT}"
        findings.note_at(NoteCode.RAY_ADDRESS, "", f"{problem}; {hint}")
        return None
    findings.note_at(NoteCode.RAY_ADDRESS, "", f"RAY_ADDRESS names the Ray cluster: {address}")
    return address


def check_address(address: Any, findings: Findings) -> None:
    """See that it is of a form that Ray knows: a container needs that for clients, a process here may have others."""
    if address in (None, "", *_HERE):
        return
    match = CLIENT_ADDRESS.fullmatch(str(address)) or _NODES_ADDRESS.fullmatch(str(address))
    if match is None or not is_port(int(match["port"])):
        hint = (
            f"use ray://HOST:PORT; the client port of a cluster is {RAY_CLIENT_PORT}, "
            "unless it was started with a different one"
        )
        where = findings.place((RAY_ADDRESS_KEY,)) or "RAY_ADDRESS"
        message = f"{RAY_ADDRESS_KEY} is {address!r}, which is not a cluster address"
        findings.problems.append(Problem(where, message, hint))
