from __future__ import annotations

import subprocess
import sys


def test_planning_and_rendering_import_nothing_heavy() -> None:
    code = (
        "import sys, gymctl.stack;"
        "heavy = {'docker', 'aiohttp', 'fastapi', 'ray', 'openai', 'uvicorn', 'typer', 'rich', 'jsonschema_rs'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
