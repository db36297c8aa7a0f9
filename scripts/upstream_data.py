"""What NeMo Gym's own data preparation writes for its own configurations. Run it with NeMo Gym's interpreter.

    PYTHON_WITH_NEMO_GYM scripts/upstream_data.py FOLDER [CONFIG...] > prepared.jsonl

Every configuration with example data of the installed package, or each CONFIG, is prepared in ``example_validation``
mode, all in this one process. What is written goes to FOLDER/NUMBER, which is then the current directory, and where a
CONFIG may lie with its data.

The first line has ``root``, where the package is, and its ``version``. Each further one has ``config``, ``folder`` and
``error``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

from upstream_configs import MODELS, completed, emit


def main() -> None:
    """Prepare all, one line each."""
    folder = Path(sys.argv[1]).resolve()
    with contextlib.redirect_stdout(io.StringIO()):
        from nemo_gym import PARENT_DIR
    emit({"root": str(PARENT_DIR), "version": version("nemo-gym")})
    for number, config in enumerate(sys.argv[2:] or configs(PARENT_DIR)):
        place = folder / str(number)
        place.mkdir(parents=True, exist_ok=True)
        os.chdir(place)
        emit({"config": config, "folder": str(place), "error": prepared(config)})


def configs(root: Path) -> list[str]:
    """Configurations that declare example data, below the package."""
    paths = [*root.glob("resources_servers/*/configs/**/*.yaml"), *root.glob("responses_api_agents/*/configs/*.yaml")]
    pattern = re.compile(r"type:\s*example\b")
    return sorted(str(path.relative_to(root)) for path in paths if pattern.search(path.read_text(encoding="utf-8")))


def prepared(config: str) -> str:
    """Prepare the data of one configuration into ``out``; returns the error, or nothing."""
    from nemo_gym.train_data_utils import TrainDataProcessor
    from omegaconf import OmegaConf

    result = completed([MODELS[0], config])
    if result["resolved"] is None:
        return f"configuration: {result['error']}"
    options = {"mode": "example_validation", "output_dirpath": "out"}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            TrainDataProcessor().run(OmegaConf.create({**result["resolved"], **options}))
    except Exception as error:  # noqa: BLE001 - whatever upstream raises is what is compared
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main()
