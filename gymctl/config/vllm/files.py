"""Files of a vLLM block on this machine: a model's folder, its config.json, a chat template."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection
from pathlib import Path

from gymctl.config.diagnostics import Findings
from gymctl.config.vllm.served_model import VllmBlock


def with_files(block: VllmBlock, cwd: Path, findings: Findings) -> VllmBlock:
    """The block with absolute paths; a folder without a model, or a missing file, is a problem."""
    if block.is_local:
        folder = _absolute(block.model, cwd)
        if not (folder / "config.json").is_file():
            if not folder.is_dir():
                problem = "is not a directory"
            else:
                problem = "has no config.json, so it is not a model"
            hint = "use a directory written by `save_pretrained`; names of models on the hub do not start with / or ."
            findings.problem((*block.path, "model"), f"{block.title}.model: {folder} {problem}", hint)
        elif hidden := _hidden(folder):
            problem = (
                f"{block.title}.model: {hidden} is readable only by its owner, but the container runs as another user"
            )
            findings.problem((*block.path, "model"), problem, f"chmod -R a+rX {folder}")
        block = block.model_copy(update={"model": str(folder), "served_model_name": block.served_name})
    if block.chat_template is not None:
        template = _absolute(block.chat_template, cwd)
        if not template.is_file():
            path = (*block.path, "chat_template")
            findings.problem(
                path, f"{block.title}.chat_template: file {template} does not exist", "give the path of a Jinja file"
            )
        block = block.model_copy(update={"chat_template": str(template)})
    return block


def _hidden(folder: Path) -> Path | None:
    """A file of the folder that not everybody may read; ``save_pretrained`` writes weights so."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return next((path for path in files if not path.stat().st_mode & stat.S_IROTH), None)


def _absolute(text: str, cwd: Path) -> Path:
    return (cwd / Path(text).expanduser()).resolve()


def check_heads(blocks: Collection[VllmBlock], findings: Findings) -> None:
    """Models in folders of this machine whose attention heads do not fit the tensor parallel size."""
    for block in blocks:
        if block.is_local and (problem := heads_problem(block, Path(block.model) / "config.json")):
            findings.problem((*block.path, "tensor_parallel_size"), *problem)


def heads_problem(block: VllmBlock, config_json: Path) -> tuple[str, str] | None:
    """The problem and its fix if a model's attention heads cannot be divided evenly.

    vLLM refuses to start then, after the weights are there. Unreadable files are ignored.
    """
    size = block.tensor_parallel_size
    if size > 1:
        heads = attention_heads(config_json)
    else:
        heads = None
    if heads is None or heads % size == 0:
        return None
    fitting = [number for number in (2, 3, 4, 5, 6, 7, 8, 16) if heads % number == 0]
    problem = f"{block.title}: GYM033 tensor_parallel_size is {size}, but the model has {heads} attention heads"
    return problem, f"it must be a divisor: {', '.join(map(str, [1, *fitting]))}"


def attention_heads(config_json: Path) -> int | None:
    """``num_attention_heads`` of a model's ``config.json``; of its text part, when it has several."""
    try:
        known = json.loads(config_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if isinstance(known, dict):
        parts = [known, known.get("text_config")]
    else:
        parts = []
    counts = [part.get("num_attention_heads") for part in parts if isinstance(part, dict)]
    return next((heads for heads in counts if isinstance(heads, int)), None)
