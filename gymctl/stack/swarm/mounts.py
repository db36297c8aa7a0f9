"""Memory and volumes of a service: ``tmpfs`` and ``shm_size`` become mounts, and node-local data is reported."""

from __future__ import annotations

from gymctl.config.sizes import size_in_bytes
from gymctl.stack.compose.model import Mount, Service, Tmpfs
from gymctl.stack.swarm.report import TranslationReport

_SHM = "/dev/shm"  # noqa: S108 - the container's own


def translate_mounts(service: Service, report: TranslationReport) -> list[str | Mount] | None:
    """The volumes of a service, memory among them."""
    mounts = [_volume(item, report) for item in service.volumes or ()]
    mounts += [_tmpfs(item, report) for item in service.tmpfs or ()]
    if service.shm_size is not None:
        size = size_in_bytes(service.shm_size)
        mounts.append(Mount(type="tmpfs", target=_SHM, tmpfs=Tmpfs(size=size)))
        report.translated("shm_size", f"a tmpfs mount of {size:,} bytes on {_SHM}")
    return mounts or None


def _volume(item: str | Mount, report: TranslationReport) -> str | Mount:
    if isinstance(item, str):
        source, colon, _ = item.partition(":")
        named = bool(colon) and source[0] not in "./~"
        if named or not colon:
            kind = "volume"
        else:
            kind = "bind"
    else:
        kind = item.type
        source = item.source or ""
    if kind == "bind":
        report.lost("volumes", f"{source} must exist on every node that it can run on; Swarm does not copy files")
    elif kind == "volume" and source:
        detail = (
            f"the volume {source} is local to each node: a task that moves gets another one; use "
            "`placement` to keep it on one node"
        )
        report.lost("volumes", detail)
    if isinstance(item, Mount) and item.tmpfs is not None:
        return item.model_copy(update={"tmpfs": _options(item.tmpfs, report)})
    return item


def _options(tmpfs: Tmpfs, report: TranslationReport) -> Tmpfs:
    if tmpfs.mode is not None:
        report.lost("volumes", f"a tmpfs mount has no mode {tmpfs.mode:o} in Swarm; it is world-writable")
    if tmpfs.size is None:
        return Tmpfs()
    size = size_in_bytes(tmpfs.size)
    if size != tmpfs.size:
        report.translated("volumes", f"a tmpfs of {tmpfs.size} is one of {size:,} bytes")
    return Tmpfs(size=size)


def _tmpfs(item: str, report: TranslationReport) -> Mount:
    """The short form of ``tmpfs:``, ``/tmp:size=64m,mode=1777``."""
    target, _, options = item.partition(":")
    size = None
    others = []
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "size":
            size = size_in_bytes(value)
        else:
            others.append(option)
    report.translated("tmpfs", f"a tmpfs mount on {target}")
    if others:
        report.lost("tmpfs", f"{','.join(others)} on {target}: a mount in Swarm has only a size")
    return Mount(type="tmpfs", target=target, tmpfs=Tmpfs(size=size) if size is not None else None)
