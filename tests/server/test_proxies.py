"""Calls to the outside go through the proxy that the environment names; calls to what is near do not."""

import pytest

from gymctl.server.calls.proxies import proxy_for

PROXY = "http://proxy.test:3128"
SET = {"http_proxy": PROXY, "HTTPS_PROXY": "http://secure.test:3128"}


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("http://api.test/v1", SET, PROXY),
        ("https://api.test/v1", SET, "http://secure.test:3128"),
        ("https://api.test/v1", {"HTTPS_PROXY": "proxy.test:1"}, "http://proxy.test:1"),
        ("https://api.test/v1", {"ALL_PROXY": PROXY}, PROXY),
        ("https://api.test/v1", {"http_proxy": PROXY}, None),
        ("http://api.test/v1", {"http_proxy": "", "HTTP_PROXY": PROXY}, PROXY),
        ("http://api.test/v1", {"http_proxy": PROXY, "HTTP_PROXY": "http://other.test"}, PROXY),
        ("http://10.1.2.3:8000/v1", SET, PROXY),
        ("http://[2001:db8::1]:8000/v1", SET, PROXY),
        ("http://api.test/v1", {}, None),
    ],
)
def test_what_the_environment_says_of_an_endpoint(url: str, environ: dict[str, str], expected: str | None) -> None:
    assert proxy_for(url, environ) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("http://localhost:1", "http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:1", "http://a.localhost:1"),
        *("http://policy-vllm:8000/v1", "http://host.docker.internal:8000/v1", "http://head:11000"),
    ],
)
def test_this_machine_and_the_stack_are_called_directly(url: str) -> None:
    assert proxy_for(url, SET) is None


@pytest.mark.parametrize(
    ("exceptions", "host", "is_direct"),
    [
        ("api.test", "api.test", True),
        ("api.test", "v2.api.test", True),
        ("api.test", "myapi.test", False),
        (".test", "api.test", True),
        ("*.test", "api.test", True),
        ("other, api.test ", "API.test", True),
        ("*", "api.test", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "api.test", False),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("api.test:8000", "api.test:8000", True),
        ("api.test:8000", "api.test:9000", False),
        ("", "api.test", False),
        ("nonsense/99", "api.test", False),
    ],
)
def test_exceptions(exceptions: str, host: str, is_direct: bool) -> None:
    assert (proxy_for(f"http://{host}/v1", {**SET, "NO_PROXY": exceptions}) is None) == is_direct
