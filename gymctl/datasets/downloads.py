"""Fetch data sets that are missing: from the Hugging Face Hub or GitLab's model registry, with a cache.

Identifiers are NeMo Gym's: ``huggingface_identifier``, ``gitlab_identifier`` or ``source`` of an entry.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gymctl.config.rows.row_files import read_rows
from gymctl.datasets.declarations import Declaration
from gymctl.datasets.entries import GitlabIdentifier, HuggingFaceIdentifier, SourceEntry
from gymctl.datasets.options import DataSource
from gymctl.datasets.output_set import OutputSet
from gymctl.errors import InputError, RunError

if TYPE_CHECKING:
    import httpx

_EXTRA = "install it with: pip install 'gymctl[data]'"
_TIMEOUT_S = 60.0
_ROWS = r"\.(?:jsonl|json|parquet|csv)(?:\.gz|\.zst)?$"


@dataclass(frozen=True)
class RegistryAccess:
    """Addresses and tokens of the registries."""

    source: DataSource
    cache: Path
    """Folder for files of GitLab."""
    hub_token: str | None = None
    hub_endpoint: str | None = None
    """Address of the Hub; None for the public one."""
    hub_cache: Path | None = None
    """Folder of the Hub's client; None for its own choice."""
    gitlab_uri: str | None = None
    gitlab_token: str | None = None


def access_of(settings: Mapping[str, Any], environ: Mapping[str, str], source: DataSource) -> RegistryAccess:
    """Access by NeMo Gym's top-level keys: ``hf_token``, ``mlflow_tracking_uri``, ``mlflow_tracking_token``."""
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".cache")
    return RegistryAccess(
        source=source,
        cache=cache / "gymctl" / "datasets",
        hub_token=settings.get("hf_token") or environ.get("HF_TOKEN"),
        hub_endpoint=environ.get("HF_ENDPOINT"),
        hub_cache=Path(environ["HF_HUB_CACHE"]) if "HF_HUB_CACHE" in environ else None,
        gitlab_uri=settings.get("mlflow_tracking_uri"),
        gitlab_token=settings.get("mlflow_tracking_token"),
    )


def fetch_missing(declarations: Sequence[Declaration], access: RegistryAccess, folder: Path) -> list[Path]:
    """Fetch every data set whose file is missing to its path below ``folder``; returns the files.

    Raises:
        InputError: a data set has no identifier, or a setting is missing; nothing was fetched.
        RunError: a registry does not have it, or does not answer.
    """
    missing = {folder / item.path: item for item in declarations if item.file is None}
    steps = [(target, item, _identifier(item, access)) for target, item in missing.items()]
    for target, item, identifier in steps:
        with OutputSet() as outputs:
            writer = outputs.create(target)
            if isinstance(identifier, GitlabIdentifier):
                sources = [_from_gitlab(identifier, access)]
            else:
                sources = _from_hub(identifier, item.entry.type, access)
            if len(sources) == 1:
                with sources[0].open("rb") as content:
                    shutil.copyfileobj(content, writer)
                continue
            for source in sources:
                for _, text in read_rows(source):
                    writer.write(text + b"\n")
    return list(missing)


def _identifier(declaration: Declaration, access: RegistryAccess) -> GitlabIdentifier | HuggingFaceIdentifier:
    entry = declaration.entry
    where = f"{declaration.place}: {entry.name}"
    if not isinstance(entry, SourceEntry):
        raise InputError(f"{where}: {entry.jsonl_fpath} is missing", f"run its prepare_script: {entry.prepare_script}")
    gitlab = entry.gitlab_identifier
    hub = entry.huggingface_identifier
    if gitlab and (not hub or access.source is DataSource.GITLAB):
        unset = [
            key
            for key, value in (
                ("mlflow_tracking_uri", access.gitlab_uri),
                ("mlflow_tracking_token", access.gitlab_token),
            )
            if not value
        ]
        if unset:
            raise InputError(f"{where}: downloading from GitLab needs {' and '.join(unset)}", "set them in env.yaml")
        return gitlab
    if hub:
        return hub
    raise InputError(f"{where}: {entry.jsonl_fpath} is missing", "add the file, or a huggingface_identifier")


def _from_hub(identifier: HuggingFaceIdentifier, split: str, access: RegistryAccess) -> list[Path]:
    """The file of the identifier, or all files of a split in order."""
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise InputError("huggingface-hub is not installed", _EXTRA) from error
    repo = identifier.repo_id
    try:
        if identifier.artifact_fpath:
            names = [identifier.artifact_fpath]
        else:
            api = HfApi(endpoint=access.hub_endpoint, token=access.hub_token or False)
            names = files_of_split(api.list_repo_files(repo, repo_type="dataset"), split)
        if not names:
            raise InputError(f"{repo} has no files of the split {split!r}", "name one with artifact_fpath")
        return [
            Path(
                hf_hub_download(
                    repo,
                    name,
                    repo_type="dataset",
                    token=access.hub_token or False,
                    endpoint=access.hub_endpoint,
                    cache_dir=access.hub_cache,
                )
            )
            for name in names
        ]
    except LocalEntryNotFoundError as error:
        raise RunError(
            f"{repo}: the Hugging Face Hub cannot be reached", "check the network and HF_ENDPOINT"
        ) from error
    except HfHubHTTPError as error:
        if error.response is not None:
            status = error.response.status_code
        else:
            status = "none"
        hint = "check repo_id and artifact_fpath, and hf_token if the data set is private"
        raise RunError(f"{repo}: the Hugging Face Hub answers with status {status}", hint) from error
    except OSError as error:
        raise RunError(f"{repo}: download failed: {error}", "check the network") from error


def files_of_split(names: Sequence[str], split: str) -> list[str]:
    """Files of a split by the Hub's conventions: ``train.jsonl``, ``data/train-00000-of-2.parquet``, ``train/*``."""
    pattern = re.compile(rf"(?:^|.*/)(?:{split}/[^/]+|{split}(?:[-_.][^/]*)?){_ROWS}")
    return sorted(name for name in names if pattern.match(name))


def _from_gitlab(identifier: GitlabIdentifier, access: RegistryAccess) -> Path:
    """The file of a version; versions do not change, so a cached one is used as it is."""
    key = f"{access.gitlab_uri}\n{identifier.dataset_name}\n{identifier.version}\n{identifier.artifact_fpath}"
    cached = access.cache / "gitlab" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if cached.is_file():
        return cached
    try:
        import httpx
    except ImportError as error:
        raise InputError("httpx is not installed", _EXTRA) from error
    name = f"{identifier.dataset_name} {identifier.version}"
    try:
        with (
            httpx.Client(
                timeout=_TIMEOUT_S, follow_redirects=True, headers={"Authorization": f"Bearer {access.gitlab_token}"}
            ) as client,
            client.stream("GET", _artifact_url(client, identifier, access)) as reply,
            OutputSet() as outputs,
        ):
            reply.raise_for_status()
            writer = outputs.create(cached)
            for block in reply.iter_bytes():
                writer.write(block)
    except httpx.HTTPStatusError as error:
        hint = "check gitlab_identifier and mlflow_tracking_token"
        raise RunError(f"{name}: GitLab answers with status {error.response.status_code}", hint) from error
    except httpx.HTTPError as error:
        raise RunError(f"{name}: GitLab cannot be reached: {error}", "check mlflow_tracking_uri") from error
    except (KeyError, TypeError, ValueError) as error:
        hint = "check mlflow_tracking_uri"
        raise RunError(f"{name}: the response is not from a GitLab model registry", hint) from error
    return cached


def _artifact_url(client: httpx.Client, identifier: GitlabIdentifier, access: RegistryAccess) -> str:
    """Address of the file: the version's run has the folder. The token goes to the configured host only."""
    uri = str(access.gitlab_uri).rstrip("/")
    of_version = {"name": identifier.dataset_name, "version": identifier.version}
    version = _json(client.get(f"{uri}/api/2.0/mlflow/model-versions/get", params=of_version))
    of_run = {"run_id": version["model_version"]["run_id"]}
    run = _json(client.get(f"{uri}/api/2.0/mlflow/runs/get", params=of_run))
    folder = run["run"]["info"]["artifact_uri"].rstrip("/")
    if urlsplit(folder).netloc != urlsplit(uri).netloc:
        place = f"GitLab points to another host: {folder}"
        raise RunError(f"{identifier.dataset_name}: {place}", "download the file manually")
    return f"{folder}/{identifier.artifact_fpath.lstrip('/')}"


def _json(reply: Any) -> Any:
    reply.raise_for_status()
    return reply.json()
