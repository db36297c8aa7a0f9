"""What to change when no rollout can succeed: the words for a failure of the configuration."""

from __future__ import annotations

from gymctl.rollouts.failures import Failure

_NAME = ("name or service not known", "temporary failure in name resolution", "no address", "getaddrinfo")
_CERTIFICATE = ("certificate", "ssl", "tls")
_BY_STATUS = {
    401: "the key is refused: check the API key of {hop} (env.yaml or its environment variable)",
    402: "the account has no credit: check the plan of the API key of {hop}",
    403: "the key is not allowed to do this: check the API key of {hop} and what it may use",
    404: "there is no such address or model: check the base URL and the model name of {hop}",
    405: "the address takes no such call: check the base URL of {hop}",
    407: "a proxy asks for credentials: check HTTPS_PROXY and NO_PROXY",
    421: "the host answers for another name: check the base URL of {hop}",
}


def remedy(failure: Failure) -> str:
    """What to change; empty when the failure does not tell."""
    hop = failure.hop or "the server"
    if 300 <= failure.status < 400:
        return f"the address answers with a redirect: put its target into the base URL of {hop}"
    if failure.status in _BY_STATUS:
        return _BY_STATUS[failure.status].format(hop=hop)
    if failure.failure_class != "connect":
        return ""
    text = f"{failure.message} {failure.body}".lower()
    if any(words in text for words in _NAME):
        return f"the host name cannot be resolved: check the base URL of {hop}"
    if any(words in text for words in _CERTIFICATE):
        return f"the certificate is not trusted: check the base URL of {hop}, or give the CA with --ca-bundle"
    return f"nothing listens there: check that the endpoint of {hop} runs and that its base URL has the right port"
