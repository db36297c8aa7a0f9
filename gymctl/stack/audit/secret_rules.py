"""Rules about keys and tokens, and about the software in a container."""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from gymctl.config.blocks.hop_tokens import SECRET_PREFIX
from gymctl.config.secrets import holds_credential
from gymctl.stack.audit.rule import Evidence, Rule, Severity, each, when
from gymctl.stack.audit.subject import ENVIRONMENTS, HEAD, AuditedContainer, AuditedStack

_NO_SECRETS = frozenset({"", "empty", "none", "null", "false", "true", "dummy", "token", "disabled"})
"""Values of credentials that open nothing, in lower case."""
_REFERENCE = re.compile(r"\$\{|^\*+$|^/")
"""A reference to a variable, a masked value, or a path of a file."""
_URL_WITH_PASSWORD = re.compile(r"://[^/@:\s]+:(?!\$\{)[^/@\s]+@")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_LOCKED_IMAGE = re.compile(r"(^|/)gymctl-server[:@]")
"""The image whose packages are all in the lock file."""
_SLICE = "NEMO_GYM_CONFIG_DICT"
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH


def _is_secret(key: str, value: Any) -> bool:
    """Whether a value is a credential in plain text."""
    if not isinstance(value, str) or not holds_credential(key):
        return False
    return value.lower() not in _NO_SECRETS and _REFERENCE.search(value) is None


def _in_environment(container: AuditedContainer) -> Iterator[str]:
    for key, value in container.environment.items():
        is_secret = _is_secret(key, value) or _URL_WITH_PASSWORD.search(value)
        if is_secret and key != _SLICE:
            yield f"environment.{key}"


def _in_command(container: AuditedContainer) -> Iterator[str]:
    for word, following in pairwise((*container.command, "")):
        flag, _, value = word.lstrip("-").partition("=")
        if word.startswith("-") and _is_secret(flag, value or following):
            yield f"--{flag} in its command"
        elif _URL_WITH_PASSWORD.search(word):
            yield "a URL with a password in its command"


def _in_configuration(container: AuditedContainer) -> Iterator[str]:
    for path in _secrets_in(container.slice, ()):
        yield f"{'.'.join(path)} is in plain text"


def _secrets_in(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where a configuration has credentials in plain text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets_in(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets_in(item, path)
    elif path and (_is_secret(path[-1], value) or (isinstance(value, str) and _URL_WITH_PASSWORD.search(value))):
        yield path


def _secrets_of_environment(container: AuditedContainer) -> Iterator[str]:
    if container.kind in ENVIRONMENTS:
        for name in container.secrets:
            if not name.startswith(SECRET_PREFIX):  # which opens no more than its code may call anyway
                yield f"secrets: {name}"


def _readable_files(stack: AuditedStack) -> Iterator[Evidence]:
    for name, path in stack.secret_files.items():
        try:
            is_readable = bool(path.stat().st_mode & _OTHERS_READ)
            folders = [folder.stat().st_mode for folder in path.parents]
        except OSError:  # not written yet, or on another machine
            continue
        if is_readable and all(mode & _OTHERS_ENTER for mode in folders):
            yield Evidence(name, f"{path} can be read by other users")


def _shared_secrets(stack: AuditedStack) -> Iterator[Evidence]:
    users = Counter(name for container in stack.containers if container.kind != HEAD for name in set(container.secrets))
    for name, count in sorted(users.items()):
        if count > 1:
            yield Evidence(name, f"{count} services have this secret")


def _has_no_ray_token(container: AuditedContainer) -> bool:
    return container.kind == "ray" and container.environment.get("RAY_AUTH_MODE") == "disabled"


def _ray_dashboard(container: AuditedContainer) -> Iterator[str]:
    if container.kind == "ray":
        yield from (f"port {port.published} takes jobs without a token" for port in container.ports)


def _has_no_vllm_key(container: AuditedContainer) -> bool:
    serves = container.kind == "vllm" and not container.completes
    return serves and not any(word.startswith("--api-key") for word in container.command)


def _moving_tag(container: AuditedContainer) -> Iterator[str]:
    name, _, tag = container.image.rpartition("/")[2].partition(":")
    if name and "@" not in name and tag in ("", "latest"):
        yield f"image {container.image}"


def _without_digest(container: AuditedContainer) -> Iterator[str]:
    if container.is_built or container.pull_policy == "never":
        return
    if container.image and not _DIGEST.search(container.image):
        yield f"image {container.image}"


def _pulled(container: AuditedContainer) -> Iterator[str]:
    if container.pull_policy not in (None, "never") and container.image.startswith("gymctl-"):
        yield f"pull_policy: {container.pull_policy}"


def _unlocked_packages(stack: AuditedStack) -> Iterator[Evidence]:
    images = sorted({container.image for container in stack.containers if container.is_built})
    if images and not stack.requires_package_lock:
        yield Evidence("", "GYMCTL_PACKAGE_LOCK is not 'required': packages may be installed without hashes")
    if images and not _DIGEST.search(stack.base_image):
        yield Evidence("", "GYMCTL_BASE_IMAGE is not set to an image with a digest")
    for image in images:
        if not _LOCKED_IMAGE.search(image):
            yield Evidence("", f"{image} may contain packages that gymctl's lock file does not list")


SECRET_RULES = (
    Rule(
        id="secret-in-environment",
        severity=Severity.CRITICAL,
        title="every user who can inspect a container can read a key",
        cure="put the key into a field of the server: gymctl passes it as a file",
        check=each(_in_environment),
    ),
    Rule(
        id="secret-in-command",
        severity=Severity.CRITICAL,
        title="every user who can list processes can read a key",
        cure="pass the key as a file under secrets",
        check=each(_in_command),
    ),
    Rule(
        id="secret-in-configuration",
        severity=Severity.CRITICAL,
        title="the rendered file contains a key",
        cure="put the key into env.yaml and refer to it: ${NAME}",
        check=each(_in_configuration),
    ),
    Rule(
        id="secret-files",
        severity=Severity.HIGH,
        title="other users of the machine can read a secret",
        cure="chmod 700 .gymctl/secrets",
        check=_readable_files,
    ),
    Rule(
        id="ray-token",
        severity=Severity.HIGH,
        title="every client that reaches the Ray cluster can run code on it",
        cure="this version starts Ray without a token: keep other containers off its networks",
        check=when(_has_no_ray_token, "RAY_AUTH_MODE: disabled"),
    ),
    Rule(
        id="ray-dashboard",
        severity=Severity.HIGH,
        title="every user of the machine can run code on the Ray cluster",
        cure="ray: {dashboard: false}",
        check=each(_ray_dashboard),
    ),
    Rule(
        id="environment-secret",
        severity=Severity.MEDIUM,
        title="an environment has a key that code in it can read",
        cure="give the key to another server, such as a model server, and refer to that server",
        check=each(_secrets_of_environment),
    ),
    Rule(
        id="pulled-image",
        severity=Severity.MEDIUM,
        title="a registry's image of the same name would run in place of the one that gymctl builds",
        cure="pull_policy: never",
        check=each(_pulled),
    ),
    Rule(
        id="image-digest",
        severity=Severity.MEDIUM,
        title="the content of an image can change under its tag",
        cure="image: NAME@sha256:DIGEST",
        check=each(_without_digest),
    ),
    Rule(
        id="unlocked-packages",
        severity=Severity.MEDIUM,
        title="a changed package or base image can be built into an image without notice",
        cure="set GYMCTL_PACKAGE_LOCK=required and GYMCTL_BASE_IMAGE=NAME@sha256:DIGEST",
        check=_unlocked_packages,
    ),
    Rule(
        id="moving-tag",
        severity=Severity.LOW,
        title="an image has no tag, or the tag latest",
        cure="image: NAME:VERSION",
        check=each(_moving_tag),
        docker_bench="5.28",
    ),
    Rule(
        id="vllm-key",
        severity=Severity.LOW,
        title="vLLM answers every container on its networks",
        cure="this version gives vLLM no key: keep the networks as they are rendered",
        check=when(_has_no_vllm_key, "serves without --api-key"),
    ),
    Rule(
        id="shared-secret",
        severity=Severity.LOW,
        title="several services have the same key",
        cure="use one key per server in env.yaml",
        check=_shared_secrets,
    ),
)
