"""What the tests of data commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_folder import DataFolder


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> DataFolder:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("NEMO_GYM_EXTRA_ROOTS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return DataFolder(tmp_path, monkeypatch, capsys)
