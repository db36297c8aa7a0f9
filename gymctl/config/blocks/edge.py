"""The top-level ``edge:`` block: one published port with TLS and a token, for clients outside of the stack."""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from gymctl.config.blocks.block import Block, HostName, Must, Port, PositiveCount, Text, wrong
from gymctl.config.blocks.block_reader import read_stack_block
from gymctl.config.choices import ExposedGroup
from gymctl.config.diagnostics import Findings
from gymctl.config.vocabulary import EDGE_BLOCK, EDGE_PORT, LOOPBACK, ServerKind


def _ipv4(value: str) -> str:
    IPv4Address(value)  # AddressValueError is a ValueError
    return value


def _ipv4_network(value: str) -> str:
    return str(IPv4Network(value))


class EdgeKeys(Block):
    """One published port with TLS and a token, with routes to the head and to servers."""

    port: Port = Field(EDGE_PORT, description="Port of this machine on which clients call the edge.")
    address: Annotated[str, AfterValidator(_ipv4), Must("an IPv4 address of this machine, or 0.0.0.0")] = Field(
        LOOPBACK, description="IPv4 address of this machine on which the port is published; 0.0.0.0 for all addresses."
    )
    servers: Annotated[list[str], Must("a list of servers, or of the groups agents and servers")] | None = Field(
        None,
        description="Servers that clients may call in addition to the head: names, or the groups `agents` and "
        "`servers`; by default all agents.",
    )
    clients: Annotated[
        list[Annotated[str, AfterValidator(_ipv4_network)]],
        Must("a list of IPv4 addresses and networks, such as [10.0.0.0/8]"),
    ] = Field([], description="IPv4 addresses and networks of the clients that may call; by default all.")
    names: Annotated[list[HostName], Must("a list of host names or IPv4 addresses, such as [gym.example.com]")] = Field(
        [], description="Names and addresses by which clients call the edge, for the certificate that gymctl creates."
    )
    certificate_file: Text | None = Field(
        None, description="PEM file with your certificate and its chain; by default gymctl creates one, and a CA."
    )
    key_file: Text | None = Field(None, description="PEM file with the private key of `certificate_file`.")
    rate_limit: PositiveCount = Field(
        1000, description="Requests a second that the edge accepts from one client address; others get status 429."
    )

    @model_validator(mode="after")
    def _has_certificate_and_key(self) -> Self:
        if self.certificate_file is None and self.key_file is None:
            return self
        for key, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if getattr(self, other) is None:
                raise wrong(f"{key} needs {other}", f"add {other}, or remove {key}", key)
        if self.names:
            message = "names has no effect with certificate_file, which has its own names"
            raise wrong(message, "remove one of them", "names")
        return self


def read_edge(resolved: Mapping[str, Any], servers: Collection[str], findings: Findings) -> EdgeKeys | None:
    """The top-level ``edge:``; as ``read_stack_block``."""
    return read_stack_block(EdgeKeys, EDGE_BLOCK, resolved, servers, findings)


def edge_selection(keys: EdgeKeys, kinds: Collection[ServerKind]) -> tuple[str, ...]:
    """The names and groups of the servers behind an edge; ``kinds`` are those of the stack's servers."""
    if keys.servers is not None:
        return tuple(keys.servers)
    if ServerKind.AGENT in kinds or ServerKind.ENVIRONMENT in kinds:
        return (ExposedGroup.AGENTS.value,)
    return ()
