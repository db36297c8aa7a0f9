"""How to fix a failure of the configuration that makes every rollout fail."""

from __future__ import annotations

from gymctl.config.egress_hosts import is_refusal
from gymctl.rollouts.failures import Failure
from gymctl.server.calls.client import NO_ANSWER, NOT_HTTP

_BY_WORDS = (
    (
        ("name or service not known", "temporary failure in name resolution", "no address", "getaddrinfo"),
        "the host name cannot be resolved: check the base URL of {hop}",
    ),
    (
        (NOT_HTTP.lower(),),
        "check the scheme (http or https) and the port in the base URL of {hop}",
    ),
    (
        ("certificate", "ssl", "tls"),
        "the certificate is not trusted: check the base URL of {hop}, or pass the CA with --ca-bundle",
    ),
)
_BY_STATUS = {
    401: "the API key was rejected: check the API key of {hop} (env.yaml or its environment variable)",
    402: "the account is out of credit: check the plan of the API key of {hop}",
    403: "the API key lacks permission: check the API key of {hop} and its permissions",
    404: "unknown address or model: check the base URL and the model name of {hop}",
    405: "the address does not support this call: check the base URL of {hop}",
    407: "a proxy requires credentials: check HTTPS_PROXY and NO_PROXY",
    410: "the address or the model was withdrawn: check the base URL and the model name of {hop}",
    421: "the host does not serve this name: check the base URL of {hop}",
    501: "the endpoint does not support this call: check the base URL and the kind of model server of {hop}",
}

_BY_CLASS = {
    "reset": "check the log of the endpoint of {hop}, and the scheme (http or https) and the port in its base URL",
    NO_ANSWER: "check the base URL of {hop}, which must be the address of an OpenAI-style API",
}


def remedy(failure: Failure) -> str:
    """What to change; empty when the cause is unknown."""
    hop = failure.hop or "the server"
    if 300 <= failure.status < 400:
        return f"the address redirects: use its target as the base URL of {hop}"
    if failure.status == 403 and is_refusal(failure.body):
        return f"the host is not in the list of hosts that {hop} may call: change 'egress' of {hop}"
    if failure.status in _BY_STATUS:
        return _BY_STATUS[failure.status].format(hop=hop)
    if failure.failure_class != "connect":
        return _BY_CLASS.get(failure.failure_class, "").format(hop=hop)
    text = f"{failure.message} {failure.body}".lower()
    for words, advice in _BY_WORDS:
        if any(word in text for word in words):
            return advice.format(hop=hop)
    return f"nothing listens there: check that the endpoint of {hop} is running and the port in its base URL"
