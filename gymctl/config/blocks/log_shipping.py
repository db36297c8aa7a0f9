"""The top-level ``logs:`` block: the log driver of all containers of a stack."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gymctl.config.blocks.block import Block, Must, choice, wrong
from gymctl.config.blocks.block_reader import read_stack_block
from gymctl.config.blocks.container_settings import texts
from gymctl.config.choices import LogDriver
from gymctl.config.diagnostics import Findings
from gymctl.config.vocabulary import LOGS_BLOCK
from gymctl.config.wording import suggestion

BOUNDED_OPTIONS = {"max-size": "20m", "max-file": "5"}
"""Options of ``json-file``, which has no limit of its own."""

_FILES = ("max-size", "max-file", "compress")
_BUFFER = ("mode", "max-buffer-size")
_FIELDS = ("tag", "labels", "labels-regex", "env", "env-regex")
_COPY = ("cache-disabled", "cache-max-size", "cache-max-file", "cache-compress")
_SYSLOG_TLS = ("syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify")
_GELF = ("gelf-compression-level", "gelf-compression-type", "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay")
_FLUENTD = (
    "fluentd-async", "fluentd-async-reconnect-interval", "fluentd-buffer-limit", "fluentd-max-retries",
    "fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision",
)  # fmt: skip
_ADDRESS_OPTIONS = {
    LogDriver.SYSLOG: "syslog-address",
    LogDriver.GELF: "gelf-address",
    LogDriver.FLUENTD: "fluentd-address",
}
OPTIONS: dict[LogDriver, tuple[str, ...]] = {
    LogDriver.JSON_FILE: (*_FILES, *_FIELDS, *_BUFFER),
    LogDriver.LOCAL: (*_FILES, *_BUFFER),
    LogDriver.JOURNALD: (*_FIELDS, *_BUFFER),
    LogDriver.SYSLOG: (
        "syslog-address", "syslog-facility", "syslog-format", *_SYSLOG_TLS, *_FIELDS, *_BUFFER, *_COPY,
    ),
    LogDriver.GELF: ("gelf-address", *_GELF, *_FIELDS, *_BUFFER, *_COPY),
    LogDriver.FLUENTD: ("fluentd-address", *_FLUENTD, *_FIELDS, *_BUFFER, *_COPY),
}  # fmt: skip
"""The options of each driver that Docker accepts."""
_HOST = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)"
_PORT = r":\d{1,5}"
_SOCKET = r"/\S+"
_ADDRESSES = {
    LogDriver.SYSLOG: re.compile(rf"(tcp|udp|tcp\+tls)://{_HOST}({_PORT})?|(unix|unixgram)://{_SOCKET}"),
    LogDriver.GELF: re.compile(rf"(tcp|udp)://{_HOST}{_PORT}"),
    LogDriver.FLUENTD: re.compile(rf"((tcp|tls)://)?{_HOST}({_PORT})?|unix://{_SOCKET}"),
}
_EXAMPLES = {
    LogDriver.SYSLOG: "udp://logs.example.com:514, tcp://..., tcp+tls://... or unixgram:///dev/log",
    LogDriver.GELF: "udp://logs.example.com:12201 or tcp://...",
    LogDriver.FLUENTD: "logs.example.com:24224, tls://... or unix:///run/fluentd.sock",
}
_SHIPPED = {"tag": "{{.Name}}", "mode": "non-blocking"}
_DEFAULTS: dict[LogDriver, dict[str, str]] = {
    LogDriver.JSON_FILE: BOUNDED_OPTIONS,
    LogDriver.LOCAL: {},
    LogDriver.JOURNALD: _SHIPPED,
    LogDriver.SYSLOG: _SHIPPED,
    LogDriver.GELF: _SHIPPED,
    LogDriver.FLUENTD: {**_SHIPPED, "fluentd-async": "true"},
}
"""What Docker does not do by itself: name the container, and go on when the receiver is slow or absent."""


class LogsKeys(Block):
    """The log driver of every container of the stack that has no `logging` of its own."""

    driver: Annotated[str, choice(*LogDriver)] = Field(LogDriver.JSON_FILE.value, description="Docker's log driver.")
    options: Annotated[
        dict[str, str],
        BeforeValidator(texts),
        Must("a mapping of option names to strings or numbers"),
        WithJsonSchema({"type": "object"}),
    ] = Field({}, description="Options of the driver.")

    @property
    def all_options(self) -> dict[str, str]:
        """The options with the defaults for the driver."""
        return {**_DEFAULTS[LogDriver(self.driver)], **self.options}

    @model_validator(mode="after")
    def _has_options_of_its_driver(self) -> Self:
        known = OPTIONS[LogDriver(self.driver)]
        for name in self.options:
            if name not in known:
                message = f"the log driver {self.driver} has no option {name!r}"
                raise wrong(message, suggestion(name, known), "options", name)
        return self

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        driver = LogDriver(self.driver)
        if driver not in _ADDRESSES:
            return self
        option = _ADDRESS_OPTIONS[driver]
        address = self.options.get(option)
        if address is None:
            if driver is LogDriver.GELF:
                raise wrong(f"the log driver gelf needs {option}", f"add {option}: udp://HOST:12201", "options")
        elif not _ADDRESSES[driver].fullmatch(address):
            raise wrong(f"{option} {address!r} is not an address", f"such as {_EXAMPLES[driver]}", "options", option)
        return self

    @model_validator(mode="after")
    def _buffers_only_without_blocking(self) -> Self:
        mode = self.all_options.get("mode", "blocking")
        if mode not in ("blocking", "non-blocking"):
            raise wrong(f"mode {mode!r} is unknown", "one of blocking, non-blocking", "options", "mode")
        if mode == "blocking" and "max-buffer-size" in self.options:
            message = "max-buffer-size has no effect with mode blocking"
            raise wrong(message, "remove it, or set mode: non-blocking", "options", "max-buffer-size")
        return self


def read_logs(resolved: Mapping[str, Any], servers: Collection[str], findings: Findings) -> LogsKeys | None:
    """The top-level ``logs:``; as ``read_stack_block``."""
    return read_stack_block(LogsKeys, LOGS_BLOCK, resolved, servers, findings)


def log_destination(driver: str, options: dict[str, str]) -> str:
    """Where a driver sends log lines, such as ``syslog (udp://10.0.0.5:514)``."""
    address = next((value for name, value in options.items() if name.endswith("-address")), "")
    if address:
        return f"{driver} ({address})"
    return driver


def keeps_copy(driver: str, options: dict[str, str]) -> bool:
    """Whether Docker can read log lines back: from its own files, the journal, or its copy of what it sent."""
    return driver != "none" and options.get("cache-disabled", "").lower() not in ("true", "1", "t")
