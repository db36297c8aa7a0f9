"""A report of a run: one HTML file that shows it from disk, without a request, whatever its size was."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gymctl import __version__, assets
from gymctl.errors import InputError
from gymctl.results.choices import GroupSort
from gymctl.results.distribution import Measure, read_histogram, read_stretches, read_totals
from gymctl.results.groups import read_groups
from gymctl.results.index import Index
from gymctl.results.payload import encode, rollout_payload, transcript_payload
from gymctl.results.query import DEFAULT_PASS_THRESHOLD
from gymctl.results.rollout import RolloutRecord
from gymctl.results.selection import select_rollouts
from gymctl.results.statistics import summarise

MOST_BYTES = 2_000_000
"""Of the file."""
_MOST_ROLLOUTS = 50
_MOST_GROUPS = 20
_MOST_REPEATS = 64
_MOST_ITEMS = 60
# How long texts may be and how many items are shown, tried in turn until the file is small enough.
_SIZES = ((20_000, _MOST_ITEMS), (4_000, _MOST_ITEMS), (1_000, 30), (300, 10), (100, 4))
_LARGEST_LINE = 64 << 20  # a rollout with a longer line is not among those that are shown
_MOST_AGENTS = 20
_MOST_FAILURES = 30
_MOST_HOPS = 30
# The modules of the page in the order of their imports; all of them are below the folder of the web page.
_MODULES = ("vendor/lit-html.js", "text.js", "format.js", "charts.js", "panels.js", "transcript.js")
_IMPORT = re.compile(r"""from '\./([\w./-]+)'""")


@dataclass(frozen=True)
class ReportPage:
    """A report that was written."""

    path: Path
    size: int
    """Bytes."""
    rollouts: int
    """Rollouts that are in it with their conversation."""


def report_path(results: Path) -> Path:
    """Path of the report of a results file: ``rollouts_report.html`` next to ``rollouts.jsonl``."""
    return results.with_name(f"{results.stem}_report.html")


def write_report_page(index: Index, output: Path, pass_threshold: float = DEFAULT_PASS_THRESHOLD) -> ReportPage:
    """Write the report of a run atomically.

    Raises:
        InputError: the file cannot be written.
        GymctlError: the results were replaced meanwhile.
    """
    aggregates = _aggregates(index, pass_threshold)
    selected = select_rollouts(index, _MOST_ROLLOUTS)
    chosen = [(reason, rollout) for reason, rollout in selected if rollout.length <= _LARGEST_LINE]
    page = _fitting(index, aggregates, chosen, pass_threshold)
    _write(output, page)
    return ReportPage(output, len(page), len(chosen))


def _aggregates(index: Index, pass_threshold: float) -> dict[str, Any]:
    statistics = asdict(summarise(index, pass_threshold))
    statistics["agents"] = statistics["agents"][:_MOST_AGENTS]
    for agent in statistics["agents"]:
        agent["failures"] = agent["failures"][:_MOST_FAILURES]
        agent["times"] = agent["times"][:_MOST_HOPS]
    groups = read_groups(
        index, pass_threshold=pass_threshold, sort=GroupSort.SPREAD, descending=True, limit=_MOST_GROUPS
    )
    rows = [asdict(group) for group in groups.groups]
    histograms = [asdict(read_histogram(index, measure)) for measure in Measure]
    return {
        "label": index.path.name,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "totals": asdict(read_totals(index, pass_threshold)),
        "statistics": statistics,
        "histograms": [{**histogram, "measure": histogram["measure"].value} for histogram in histograms],
        "stretches": [asdict(stretch) for stretch in read_stretches(index, pass_threshold=pass_threshold)],
        "groups": {
            "total": groups.total,
            "groups": [{**group, "repeats": group["repeats"][:_MOST_REPEATS]} for group in rows],
        },
    }


def _fitting(
    index: Index, aggregates: dict[str, Any], chosen: list[tuple[str, RolloutRecord]], pass_threshold: float
) -> bytes:
    """The page with as much text as fits; without rollouts where nothing else does."""
    for most_text, most_items in _SIZES:
        rollouts = [
            {
                "reason": reason,
                "rollout": rollout_payload(rollout, pass_threshold),
                "transcript": transcript_payload(index.transcript(rollout), limit=most_items, most_text=most_text),
            }
            for reason, rollout in chosen
        ]
        page = _page({**aggregates, "rollouts": rollouts, "most_text": most_text})
        if len(page) <= MOST_BYTES:
            return page
    return _page({**aggregates, "rollouts": [], "most_text": 0})


def _page(data: dict[str, Any]) -> bytes:
    """The HTML: modules as data addresses in an import map, styles inline, the data compressed."""
    top = assets.viewer_files()
    styles = "\n".join((top / name).read_text(encoding="utf-8") for name in ("style.css", "vendor/uPlot.min.css"))
    plot = (top / "vendor" / "uPlot.iife.min.js").read_text(encoding="utf-8")
    imports = {f"gymctl/{name}": _module_address(top / name) for name in _MODULES}
    import_map = json.dumps({"imports": imports})
    script = _with_named_imports((top / "report.js").read_text(encoding="utf-8"))
    scripts = " ".join(f"'sha256-{_digest(text)}'" for text in (plot, import_map, script))
    policy = (
        f"default-src 'none'; script-src data: {scripts}; style-src 'sha256-{_digest(styles)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    packed = base64.b64encode(gzip.compress(encode(data), 9, mtime=0)).decode()
    title = html.escape(f"{data['label']} - gymctl report".encode("utf-8", "replace").decode())
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n<link rel="icon" href="data:,">',
            f"<style>{styles}</style>\n<script>{plot}</script>",
            f'<script type="importmap">{import_map}</script>\n</head>\n<body>',
            '<div id="page"><noscript><p>This page needs JavaScript.</p></noscript></div>',
            f'<script type="application/gzip" id="data">{packed}</script>',
            f'<script type="module">{script}</script>\n</body>\n</html>\n',
        )
    ).encode()


def _module_address(path: Path) -> str:
    text = _with_named_imports(path.read_text(encoding="utf-8"))
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"


def _with_named_imports(text: str) -> str:
    """A module that imports by the names of the import map: a data address has no folder to be relative to."""
    return _IMPORT.sub(r"from 'gymctl/\1'", text)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _write(output: Path, page: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}", "choose another file with --output") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(output)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"{output}: {error.strerror}", "choose another file with --output") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
