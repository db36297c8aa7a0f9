"""Every route of every server of a stack, called without a token from the head's container."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

# Every route of a server that its schema lists, and some that it does not have; the head is on every network.
ROUTES = """\
import http.client, json, os, sys, yaml

def ask(host, port, method, path, token=""):
    connection = http.client.HTTPConnection(host, port, timeout=5)
    headers = {"content-type": "application/json", "x-gymctl-token": token} if token else {}
    connection.request(method, path, body=None if method == "GET" else b"{}", headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()

own, tokens = json.loads(sys.argv[1])
whole = yaml.safe_load(os.environ["NEMO_GYM_CONFIG_DICT"])
statuses = {}
for name in tokens:
    fields = whole[name] if name == own else next(iter(next(iter(whole[name].values())).values()))
    address = ("127.0.0.1" if name == own else fields["host"], fields["port"])
    schema = json.loads(ask(*address, "GET", "/openapi.json", tokens[name])[1])
    routes = {(method.upper(), path) for path, methods in schema["paths"].items() for method in methods}
    routes |= {("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nothing"), ("POST", "/")}
    statuses[name] = [[method, path, *ask(*address, method, path)] for method, path in sorted(routes)]
print(json.dumps(statuses))
"""
OPEN = {"/", "/livez", "/readyz", "/healthz", "/health"}


def routes_argument(tokens: Mapping[str, str]) -> str:
    """The argument of ``ROUTES``: the tokens of all servers, with which it reads their schemas."""
    return json.dumps(["head_server", dict(tokens)])


def check_routes(output: str, servers: Collection[str]) -> None:
    """Check what ``ROUTES`` printed: only health checks are answered without a token."""
    statuses = json.loads(output)
    assert set(statuses) == set(servers)
    for name, answers in statuses.items():
        assert len(answers) > 5, name
        for method, path, status, body in answers:
            is_open = method == "GET" and path in OPEN
            assert (status == 200) if is_open else (status == 401 and f"{name}: the header" in body), (name, path)
