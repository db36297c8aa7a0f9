"""Addresses as URLs have them."""

from __future__ import annotations


def base_url(host: str, port: int | str) -> str:
    """``http://HOST:PORT``; an IPv6 address stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"
