"""What docs/configuration.md says is so."""

from __future__ import annotations

from pathlib import Path

from config_files import Folder

from gymctl.config import CODES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_every_code_is_explained() -> None:
    for code in CODES:
        assert f"| `{code}` |" in PAGE


def test_the_overlay_means_what_the_page_says(folder: Folder) -> None:
    overlay = PAGE.split("```yaml\n# configs/prod.yaml\n")[1].split("```")[0]
    folder.write("configs/prod.yaml", overlay)
    folder.write(
        "configs/base/models/policy_model.yaml",
        """
        policy_model:
          responses_api_models:
            openai_model:
              entrypoint: app.py
              openai_base_url: http://u
              openai_api_key: k
              openai_model: m
              max_concurrent_requests: 8
        """,
    )
    folder.write("configs/base/resources/math.yaml", "who: math\n")
    config = folder.load("configs/prod.yaml")
    assert config.servers["policy_model"].fields["max_concurrent_requests"] == 512
    assert config.notes == ()
    plain = folder.load("configs/prod.yaml", "+gymctl.merge_order=includes-last")
    assert plain.servers["policy_model"].fields["max_concurrent_requests"] == 8
    assert [str(note.code) for note in plain.advice] == ["include-won"]
