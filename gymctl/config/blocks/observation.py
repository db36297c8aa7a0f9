"""The top-level ``observe:`` key: metrics of servers, and the Prometheus and Alertmanager that watch a stack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, WithJsonSchema, model_validator

from gymctl.config.blocks.block import Block, ImageName, Must, Port, Text, wrong
from gymctl.config.blocks.block_reader import read_block
from gymctl.config.diagnostics import Findings
from gymctl.config.vocabulary import OBSERVE_KEY

_OF_SERVICES = ("prometheus_image", "alertmanager_image", "port", "retention", "webhook", "alertmanager")
_LEAST_TOKEN = 16
Retention = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[hdwy]$"), Must("a time such as 12h, 15d or 4w")]
ScrapeToken = Annotated[
    str, Field(pattern=rf"^[!-~]{{{_LEAST_TOKEN},}}$"), Must(f"{_LEAST_TOKEN} or more printable ASCII characters")
]


class ObserveKeys(Block):
    """Metrics for Prometheus. `observe: true` is the block with its defaults."""

    services: bool = Field(True, description="Whether a stack of containers includes Prometheus and Alertmanager.")
    prometheus_image: ImageName | None = Field(
        None, description="Image of Prometheus; by default gymctl builds one with Debian's package."
    )
    alertmanager_image: ImageName | None = Field(
        None, description="Image of Alertmanager; by default gymctl builds one with Debian's package."
    )
    port: Port | None = Field(
        None, description="Port of this machine's loopback address for Prometheus; by default it is not published."
    )
    retention: Retention = Field("15d", description="How long Prometheus keeps metrics.")
    token: ScrapeToken | None = Field(
        None, description="Token that `/metrics` requires, as `Authorization: Bearer TOKEN`."
    )
    webhook: Text | None = Field(None, description="URL that Alertmanager posts alerts to.")
    alertmanager: Annotated[dict[str, Any], WithJsonSchema({"type": "object"})] | None = Field(
        None, description="Configuration of Alertmanager, with receivers and routes, instead of `webhook`."
    )

    @property
    def of_servers(self) -> bool | dict[str, str]:
        """What servers need of the block: whether they measure, and the token that reads what they measured."""
        if self.token is None:
            return True
        return {"token": self.token}

    @model_validator(mode="after")
    def _has_services_for_their_keys(self) -> ObserveKeys:
        if self.services:
            return self
        for key in _OF_SERVICES:
            if key in self.model_fields_set:
                raise wrong("has no effect with services: false", f"remove {key}, or services: false", key)
        return self

    @model_validator(mode="after")
    def _has_one_receiver(self) -> ObserveKeys:
        if self.webhook is None:
            return self
        if self.alertmanager is not None:
            message = "webhook has no effect with a configuration of Alertmanager"
            raise wrong(message, "remove it, or add it to the receivers of `alertmanager`", "webhook")
        url = urlsplit(self.webhook)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise wrong("webhook is not a URL", "such as https://alerts.example.com/hook", "webhook")
        return self


def read_observe(resolved: Mapping[str, Any], findings: Findings) -> ObserveKeys | None:
    """The block; None where nothing is measured: without the key, and with ``observe: false``."""
    value = resolved.get(OBSERVE_KEY)
    if value is None or value is False:
        return None
    if value is True:
        return ObserveKeys()
    if not isinstance(value, Mapping):
        findings.problem((OBSERVE_KEY,), f"{OBSERVE_KEY} is {value!r}", "it must be true, false, or a block")
        return None
    return read_block(ObserveKeys, value, (OBSERVE_KEY,), findings)
