"""How servers reach what is outside of the stack: through the proxy of this machine, trusting its certificates.

Addresses of the stack itself never go through a proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from gymctl.config import ServerKind
from gymctl.config.vocabulary import LOOPBACK_HOSTS
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY, reroute_address

CERTIFICATES = "gymctl-ca"
"""Name of the secret that holds certificates; lower case, so that no variable is made of it."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_EXCEPTIONS = "NO_PROXY"
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OUTSIDE = frozenset({ServerKind.MODEL.value, ServerKind.RESOURCES.value})
_VLLM = "vllm"


@dataclass(frozen=True)
class Egress:
    """A machine's environment variables for calls to the outside.

    ``proxies`` are URLs by ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``; ``exceptions`` is the text of ``NO_PROXY``;
    ``certificates`` is PEM text that servers trust, empty for those of their images.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    exceptions: str = ""
    certificates: str = field(default="", repr=False)

    @property
    def secrets(self) -> dict[str, str]:
        """What containers get as files: proxies whose URL holds a password, and the certificates."""
        secrets = {name: url for name, url in self._rerouted.items() if _has_password(url)}
        return {**secrets, **({CERTIFICATES: self.certificates} if self.certificates else {})}

    @property
    def _rerouted(self) -> dict[str, str]:
        return {name: reroute_address(url, GATEWAY) or url for name, url in self.proxies.items()}

    def adapt(self, service: ServicePlan, peers: Sequence[str]) -> ServicePlan:
        """A service with what it needs to reach the outside; ``peers`` are services that it calls directly."""
        if service.kind not in _OUTSIDE and service.kind != _VLLM:
            return service
        return self.with_certificates(self.with_proxies(service, peers))

    def with_proxies(self, service: ServicePlan, peers: Sequence[str]) -> ServicePlan:
        """A service that uses the proxies of this machine, except for calls to ``peers``."""
        if not self.proxies:
            return service
        secrets = [name for name in self.secrets if name in _PROXIES and service.kind != _VLLM]
        needs_gateway = any(GATEWAY in url for url in self._rerouted.values()) and EXTRA_HOST not in service.extra_hosts
        return replace(
            service,
            environment=tuple({**self._proxy_environment(peers), **dict(service.environment)}.items()),
            secrets=(*service.secrets, *secrets),
            extra_hosts=(*service.extra_hosts, *((EXTRA_HOST,) if needs_gateway else ())),
        )

    def with_certificates(self, service: ServicePlan) -> ServicePlan:
        """A service that trusts the certificates, if it is of a kind that calls the outside."""
        if not self.certificates or (service.kind not in _OUTSIDE and service.kind != _VLLM):
            return service
        variables = dict.fromkeys(_CERTIFICATE_VARIABLES, f"/run/secrets/{CERTIFICATES}")
        return replace(
            service,
            environment=tuple({**variables, **dict(service.environment)}.items()),
            secrets=(*service.secrets, CERTIFICATES),
        )

    def notes(self) -> Iterator[str]:
        """What containers are given that the configuration does not name."""
        if self.proxies:
            listed = ", ".join(f"{name} ({_without_password(url)})" for name, url in self.proxies.items())
            yield f"model and resources servers call endpoints outside the stack through {listed}"
            if hidden := [name for name, url in self.proxies.items() if _has_password(url)]:
                yield f"vllm services do not use {', '.join(hidden)}: its URL contains a password"

    def _proxy_environment(self, peers: Sequence[str]) -> dict[str, str]:
        """In upper and lower case: programs differ in which they read, and Docker may set either."""
        exceptions = no_proxy(self.exceptions, (*LOOPBACK_HOSTS, GATEWAY, *peers))
        open_urls = {name: url for name, url in self._rerouted.items() if not _has_password(url)}
        values = {**open_urls, _EXCEPTIONS: exceptions}
        return {**values, **{name.lower(): value for name, value in values.items()}}


def read_egress(environ: Mapping[str, str], docker: Mapping[str, str], certificates: str = "") -> Egress:
    """The proxies of an environment (lower case wins, as in curl and Python), else those of ``docker``.

    ``docker`` are the ``proxies.default`` of Docker's own configuration, which it would give to containers itself.
    """
    spelled = {"HTTP_PROXY": "httpProxy", "HTTPS_PROXY": "httpsProxy", "ALL_PROXY": "allProxy", _EXCEPTIONS: "noProxy"}
    proxies = {name: _variable(environ, name) or docker.get(spelled[name], "") for name in spelled}
    exceptions = proxies.pop(_EXCEPTIONS)
    return Egress({name: url for name, url in proxies.items() if url}, exceptions, certificates)


def no_proxy(exceptions: str, hosts: Sequence[str]) -> str:
    """The text of ``NO_PROXY`` with ``hosts`` added, each once."""
    own = [item.strip() for item in exceptions.split(",") if item.strip()]
    return ",".join(dict.fromkeys((*own, *hosts)))


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.lower()) or environ.get(name, "")


def _has_password(url: str) -> bool:
    return "@" in url


def _without_password(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}"
