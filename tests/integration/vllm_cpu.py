"""vLLM on the CPU for tests: its image, a model that is made on the spot (and kept), and a stack of both."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx

from gymctl import __version__, assets
from gymctl.engines.build.images import build_images
from gymctl.stack import ImagePlan

IMAGE = f"gymctl-vllm-cpu:{__version__}"
MAKER = Path(__file__).with_name("tiny_model.py")
ROWS = assets.folder("services") / "resources_servers" / "example_single_tool_call" / "data" / "example.jsonl"
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gymctl-ci"

EXAMPLE = assets.folder("examples") / "vllm-cpu" / "stack.yaml"


def overrides(model: Path, port: int) -> list[str]:
    """What makes two instances of the tiny model of the example's stack; ``port`` and the next one are published."""
    return [
        f"++vllm.model={model}",
        "++vllm.served_model_name=tiny",
        "++vllm.instances=2",
        "++vllm.tool_call_parser=hermes",
        "++vllm.max_model_len=1024",
        f"++vllm.port={port}",
        "++vllm.environment={OMP_NUM_THREADS: 1, VLLM_CPU_KVCACHE_SPACE: 1}",
    ]


def missing() -> str:
    """Why the image cannot be built here; empty when it can."""
    wheels = os.environ.get("GYMCTL_WHEELS", "")
    if "://" in wheels or (wheels and list(Path(wheels).glob("torch-*cpu*.whl"))):
        return ""
    return "GYMCTL_WHEELS names neither an index nor a folder with the CPU build of torch"


def tiny_model() -> Path:
    """The folder of the model; made in the image of vLLM unless an earlier run made the very same."""
    build_images([ImagePlan(IMAGE, dockerfile="vllm-cpu")])
    digest = hashlib.sha256(MAKER.read_bytes() + ROWS.read_bytes()).hexdigest()[:12]
    folder = KEPT / f"tiny-model-{digest}"
    if not (folder / "tokenizer_config.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        mounts = {MAKER: "/make.py:ro", ROWS: "/rows.jsonl:ro", folder: "/out"}
        volumes = [word for path, place in mounts.items() for word in ("--volume", f"{path}:{place}")]
        user = ("--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp", "--network", "none")
        run(
            "docker", "run", "--rm", *user, *volumes, "--entrypoint", "python", IMAGE, "/make.py", "/rows.jsonl", "/out"
        )
    return folder


def run(*argv: str, timeout: float = 300) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Direct:
    """vLLM asked by itself, without anything of gymctl's between."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def prompt_ids(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[int]:
        """The token ids of a conversation, up to where the model begins."""
        body = {"model": "tiny", "messages": messages, "tools": tools}
        return list(self._post("/tokenize", body)["tokens"])

    def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[list[int], list[float]]:
        """Token ids and log-probs of what follows, at temperature 0."""
        body = {"model": "tiny", "messages": messages, "tools": tools, "temperature": 0, "max_tokens": 100}
        reply = self._post("/v1/chat/completions", {**body, "logprobs": True, "return_token_ids": True})
        (choice,) = reply["choices"]
        return list(choice["token_ids"]), [token["logprob"] for token in choice["logprobs"]["content"]]

    def text(self, ids: list[int]) -> str:
        """The text of token ids."""
        return str(self._post("/detokenize", {"model": "tiny", "tokens": ids})["prompt"])

    def calls(self) -> float:
        """Chat completions that it has ended."""
        lines = self._client.get("/metrics").text.splitlines()
        counters = [line for line in lines if line.startswith("vllm:request_success_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counters)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())


def rows_at_temperature_0() -> list[dict[str, Any]]:
    """The bundled rows, as they are asked."""
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    for row in rows:
        row["responses_create_params"] |= {"temperature": 0, "max_output_tokens": 100}
    return rows
