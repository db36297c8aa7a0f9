"""What the record of a run keeps of how it was started."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gymctl import __version__
from gymctl.config.secrets import masked_argument
from gymctl.engines.image_digests import image_digests
from gymctl.engines.state import StackState, load_configuration
from gymctl.errors import EngineError


def run_manifest(state: StackState, directory: Path) -> dict[str, Any]:
    """The command, the stack's configuration with secrets masked, versions, and the images of the stack."""
    images: dict[str, str] = {}
    with suppress(EngineError):  # an engine that does not answer is reported when the run starts there
        images = image_digests(state)
    return {
        "command": [Path(sys.argv[0]).name, *(masked_argument(argument) for argument in sys.argv[1:])],
        "configuration": load_configuration(directory, state.config_digest),
        "versions": {
            "gymctl": __version__,
            "stack": state.version or __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "engine": state.engine,
        "images": images,
    }
