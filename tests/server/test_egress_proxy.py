"""The proxy of a server with a list of hosts: what it passes on, what it refuses, and in which words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.config.egress_hosts import EgressHost, parse_egress_host
from gymctl.server.calls.proxies import proxy_for
from gymctl.server.egress import destinations
from gymctl.server.egress.destinations import CallRefused, EgressPolicy, never_reached, own_networks
from gymctl.server.egress.forward_proxy import MOST_HEAD_BYTES, ForwardProxy
from gymctl.server.egress.process import read_policy
from gymctl.server.egress.request_head import WrongRequest, parse_head
from gymctl.server.models.endpoint_probe import ProbeReply, status_problem

POLICY = EgressPolicy("env", tuple(map(parse_egress_host, ["api.test", "*.data.test", "db.test:5432", "10.9.8.7:80"])))
OWN = [ip_network("172.20.0.0/16")]

Parent = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


# what is asked for


def test_a_tunnel_is_asked_for_by_host_and_port() -> None:
    head = parse_head(b"CONNECT API.test:443 HTTP/1.1\r\nHost: other.test\r\nProxy-Authorization: Basic x\r\n\r\n")
    assert (head.host, head.port, head.path) == ("api.test", 443, "")
    assert head.to_proxy("") == b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"
    assert b"\r\nProxy-Authorization: Basic eA==\r\n" in head.to_proxy("Basic eA==")


def test_a_call_reaches_its_host_without_what_is_for_the_proxy() -> None:
    head = parse_head(
        b"POST http://API.test?q=1#part HTTP/1.1\r\nHost: other.test\r\nProxy-Connection: keep-alive\r\n"
        b"Connection: X-Hop, Content-Length\r\nX-Hop: 1\r\nContent-Length: 2\r\nX-Kept:  yes \r\n\r\n"
    )
    assert head.to_host() == (
        b"POST /?q=1 HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: 2\r\nX-Kept:  yes \r\n\r\n"
    )
    assert head.to_proxy("").startswith(b"POST http://api.test:80/?q=1 HTTP/1.1\r\nHost: api.test\r\n")


def test_addresses_and_other_ports_are_understood() -> None:
    head = parse_head(b"GET http://[2001:DB8::1]:8080/x HTTP/1.0\r\n\r\n")
    assert (head.host, head.port, head.path) == ("2001:db8::1", 8080, "/x")
    assert b"Host: [2001:db8::1]:8080\r\n" in head.to_host()


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1", b"GET https://api.test/ HTTP/1.1", b"CONNECT api.test HTTP/1.1", b"CONNECT :443 HTTP/1.1",
        b"CONNECT api.test:0 HTTP/1.1", b"CONNECT api.test:443 HTTP/2", b"GET http:///x HTTP/1.1", b"\x16\x03\x01",
        b"GET http://user@api.test/ HTTP/1.1", b"GET http://api.test/a b HTTP/1.1", b"",
        b"GET http://api.test/ HTTP/1.1\r\nno header", b"GET http://api.test/ HTTP/1.1\r\nA: 1\nHost: other.test",
        b"GET http://api.test/ HTTP/1.1\r\nA : 1", b"GET http://api.test/ HTTP/1.1\r\nA: 1\r\n folded",
    ],
)  # fmt: skip
def test_other_requests_are_wrong(text: bytes) -> None:
    with pytest.raises(WrongRequest):
        parse_head(text + b"\r\n\r\n")


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_head_or_wrong(data: bytes) -> None:
    for text in (data, b"CONNECT " + data, b"GET http://" + data + b" HTTP/1.1"):
        try:
            head = parse_head(text + b"\r\n\r\n")
        except WrongRequest:
            continue
        assert 1 <= head.port <= 65535
        assert head.to_host().count(b"\r\n\r\n") == 1


# which addresses are reached


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("2002:a9fe:a9fe::", "metadata"),
        ("100.100.100.200", "metadata"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("224.0.0.1", "not one host's"),
        ("172.20.0.7", "own networks"),
        ("::ffff:172.20.0.7", "own networks"),
    ],
)
def test_some_addresses_are_never_reached(address: str, kind: str) -> None:
    assert kind in never_reached(ip_address(address), OWN)


def test_an_address_that_is_never_reached_is_refused() -> None:
    own = [network[1] for network in own_networks() if network.version == 4]
    for address in (ip_address("fd00:ec2::254"), ip_address("127.0.0.1"), *own):
        with pytest.raises(CallRefused, match=r"^env may not call api\.test:443: its address .* never permits$"):
            POLICY.reachable("api.test", 443, [address])


@pytest.mark.parametrize("address", ["93.184.215.14", "10.1.2.3", "192.168.1.2", "2606:4700::1111", "172.21.0.1"])
def test_other_addresses_are_reached(address: str) -> None:
    assert never_reached(ip_address(address), OWN) == ""


def test_a_host_with_both_kinds_of_addresses_is_reached_at_the_others() -> None:
    both = [ip_address("169.254.169.254"), ip_address("93.184.215.14")]
    assert POLICY.reachable("api.test", 443, both) == both[1:]


def test_networks_are_read_from_the_kernels_tables() -> None:
    routes = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010013AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000013AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert list(destinations._ipv4_networks(routes)) == [ip_network("172.19.0.0/16")]
    ipv6 = "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 " + "0" * 32 + " 100 1 0 1 eth0\n"
    assert list(destinations._ipv6_networks(ipv6)) == [ip_network("fd00::/64")]


def test_hosts_are_read_from_the_environment() -> None:
    policy = read_policy({"GYMCTL_EGRESS_SERVER": "env", "GYMCTL_EGRESS_HOSTS": "api.test *.data.test db.test:5432"})
    assert policy == EgressPolicy("env", POLICY.hosts[:3])


# a running proxy: the proxy of this machine, behind it, is the only thing on a loopback address that it may call


async def parent_that_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The proxy of this machine: it answers with what it got, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"CONNECT"):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        head = b"through the tunnel: "
    else:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    writer.write(head + await reader.read())
    writer.close()


async def parent_that_refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    writer.close()


def exchange(request: bytes, then: bytes = b"", parent: Parent = parent_that_answers) -> bytes:
    """What a client gets for a request, after which it sends ``then`` and ends its side."""

    async def run() -> bytes:
        behind = await asyncio.start_server(parent, "127.0.0.1", 0)
        url = f"http://me:secret@127.0.0.1:{behind.sockets[0].getsockname()[1]}"
        proxy = ForwardProxy(POLICY, {"http_proxy": url, "https_proxy": url})
        server = await proxy.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(request + then)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        server.close()
        behind.close()
        await proxy.finish()
        return answer

    return asyncio.run(run())


def test_a_tunnel_passes_on_both_directions() -> None:
    answer = exchange(b"CONNECT api.test:443 HTTP/1.1\r\n\r\n", b"hello " * 50_000)
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nthrough the tunnel: " + b"hello " * 50_000


def test_a_call_passes_on_its_body() -> None:
    answer = exchange(b"POST http://x.data.test/a HTTP/1.1\r\nContent-Length: 5\r\n\r\n", b"12345")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n\r\nPOST http://x.data.test:80/a HTTP/1.1\r\nHost: x.data.test\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in answer
    assert answer.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize(
    ("request_line", "place"),
    [
        (b"CONNECT other.test:443 HTTP/1.1", "other.test:443"),
        (b"CONNECT api.test:22 HTTP/1.1", "api.test:22"),
        (b"CONNECT data.test:443 HTTP/1.1", "data.test:443"),
        (b"CONNECT api.test.evil.test:443 HTTP/1.1", "api.test.evil.test:443"),
        (b"CONNECT 93.184.215.14:443 HTTP/1.1", "93.184.215.14:443"),
        (b"CONNECT [::1]:443 HTTP/1.1", "[::1]:443"),
        (b"GET http://other.test/ HTTP/1.1", "other.test:80"),
        (b"GET http://api.test:8080/ HTTP/1.1", "api.test:8080"),
    ],
)
def test_other_hosts_are_refused_with_what_to_do(
    request_line: bytes, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gymctl.egress"):
        answer = exchange(request_line + b"\r\nHost: api.test\r\n\r\n").decode()
    message = f"env may not call {place}: add {place} to 'egress' of env"
    assert answer.startswith(f"HTTP/1.1 403 {message}\r\n")
    assert answer.endswith(f"\r\n\r\n{message}\n")
    assert [record.getMessage() for record in caplog.records] == [message]


def test_what_is_no_request_of_a_proxy_is_refused() -> None:
    assert exchange(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 this is a proxy")
    long = b"GET http://api.test/ HTTP/1.1\r\nA: " + b"a" * (MOST_HEAD_BYTES + 1) + b"\r\n\r\n"
    assert exchange(long).startswith(b"HTTP/1.1 431 ")
    assert exchange(b"GET http://api.test/ HTTP/1.1\r\n") == b""


def test_the_answer_of_another_proxy_is_reported() -> None:
    answer = exchange(b"CONNECT api.test:443 HTTP/1.1\r\n\r\n", parent=parent_that_refuses)
    assert answer.startswith(
        b"HTTP/1.1 502 api.test:443 cannot be reached: the proxy of this machine replied HTTP/1.1 407"
    )


def test_a_listed_name_of_the_proxy_itself_is_refused() -> None:
    """A listed name that resolves to a loopback address, without a proxy of this machine."""

    async def run() -> bytes:
        proxy = ForwardProxy(EgressPolicy("env", (EgressHost("localhost", None),)), {})
        server = await proxy.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"CONNECT localhost:443 HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        server.close()
        await proxy.finish()
        return answer

    answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 403 env may not call localhost:443: its address ")
    assert b"a loopback address, which 'egress' never permits" in answer


def test_a_server_with_a_list_uses_its_proxy_for_names_without_a_dot_too() -> None:
    environ = {"http_proxy": "http://env-egress:3128", "no_proxy": "head,policy"}
    assert proxy_for("http://host.docker.internal:8000/v1", environ) is None
    listed = {**environ, "GYMCTL_EGRESS_PROXY": "http://env-egress:3128"}
    assert proxy_for("http://host.docker.internal:8000/v1", listed) == "http://env-egress:3128"
    assert proxy_for("http://policy:8000/v1", listed) is None


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: POLICY.check("other.test", 443),
        lambda: POLICY.reachable("api.test", 443, [ip_address("127.0.0.1")]),
    ],
)
def test_a_refused_call_of_a_model_is_not_about_its_key(refuse: Callable[[], object]) -> None:
    with pytest.raises(CallRefused) as refused:
        refuse()
    reply = ProbeReply("http://other.test/v1", 403, f"{refused.value}\n".encode())
    assert status_problem(reply) == f"403: {refused.value}"
    own = ProbeReply("http://other.test/v1", 403, b"you may not call this model")
    assert status_problem(own) == "403: the key does not permit this call: you may not call this model"
