"""Lists of hosts that a server may reach: what an entry is, and which calls it permits."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.egress_hosts import EgressHost, is_host, is_permitted, parse_egress_host, plain_host

LABELS = st.from_regex(r"[a-z](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.endswith("localhost"))
PORTS = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("api.example.com", "api.example.com", None),
        ("API.Example.COM.", "api.example.com", None),
        ("*.example.com", "*.example.com", None),
        ("db.example.com:5432", "db.example.com", 5432),
        ("host.docker.internal:8000", "host.docker.internal", 8000),
        ("db", "db", None),
        ("10.1.2.3:80", "10.1.2.3", 80),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
        ("[::ffff:10.1.2.3]", "10.1.2.3", None),
    ],
)
def test_an_entry_is_a_host_or_a_domain_with_or_without_a_port(text: str, host: str, port: int | None) -> None:
    entry = parse_egress_host(text)
    assert entry == EgressHost(host, port)
    assert parse_egress_host(str(entry)) == entry


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "*.", "*:443", "a.*.com", "*example.com", "https://example.com", "example.com/path", "a@b.com",
        "example.com:0", "example.com:65536", "example.com:", "a..b", "-a.example", "a b", "é.example", "*.10.1.2.3",
        "127.1", "0x7f.1", "2130706433", "127.0.0.1", "0.0.0.0:80", "[::1]:80", "[::ffff:127.0.0.1]", "localhost:8000",
        "*.localhost", "169.254.169.254", "[fe80::1]", "x" * 64, ".".join(["a" * 60] * 5), "example.com\n",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_other_texts_are_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        parse_egress_host(text)
    with pytest.raises(ValidationError):
        ContainerSettings.model_validate({"egress": [text]})


def test_the_key_is_true_false_or_a_list() -> None:
    listed = ContainerSettings.model_validate({"egress": ["A.example", "a.example", "b.example:1"]})
    assert listed.egress_hosts == ("a.example", "b.example:1")
    for value in (True, False, None):
        settings = ContainerSettings.model_validate({"egress": value})
        assert settings.egress is value
        assert settings.egress_hosts == ()
    for wrong in ("a.example", 1, {"a.example": True}, [1], [["a.example"]]):
        with pytest.raises(ValidationError):
            ContainerSettings.model_validate({"egress": wrong})


@given(NAMES, PORTS, PORTS)
def test_a_host_permits_itself_at_its_port_only(name: str, port: int, other: int) -> None:
    entry = parse_egress_host(f"{name}:{port}")
    assert entry.permits(plain_host(name.upper()), port)
    assert entry.permits(name, other) is (other == port)
    without_port = parse_egress_host(name)
    assert without_port.permits(name, port) is (port in (80, 443))


@given(NAMES, NAMES)
def test_a_host_permits_no_other_host(name: str, other: str) -> None:
    entry = parse_egress_host(name)
    assert entry.permits(other, 443) is (name == other)
    assert not entry.permits(f"{other}.{name}", 443)
    assert not entry.permits(f"{name}.{other}", 443)
    assert not entry.permits(f"{other}{name}", 443)


@given(NAMES, NAMES)
def test_a_domain_permits_every_host_below_it_and_nothing_else(domain: str, below: str) -> None:
    entry = parse_egress_host(f"*.{domain}")
    assert entry.permits(f"{below}.{domain}", 443)
    assert not entry.permits(domain, 443)
    assert not entry.permits(f"{below}{domain}", 443)
    assert not entry.permits(f".{domain}", 443) or not is_host(f".{domain}")
    assert entry.permits(below, 443) is below.endswith(f".{domain}")


@given(st.lists(NAMES, max_size=3), st.text(max_size=40), PORTS)
def test_what_is_permitted_is_always_a_host(names: list[str], text: str, port: int) -> None:
    entries = [parse_egress_host(f"*.{name}") for name in names]
    for host in (text, *(f"{text}.{name}" for name in names)):
        if is_permitted(entries, plain_host(host), port):
            assert is_host(plain_host(host))
            assert host.isascii()
            assert host.isprintable()


@given(st.ip_addresses(v=4), st.integers(1, 3))
def test_no_domain_has_addresses_below_it(address: IPv4Address, labels: int) -> None:
    end = ".".join(str(address).split(".")[-labels:])
    with pytest.raises(ValueError):
        parse_egress_host(f"*.{end}")
