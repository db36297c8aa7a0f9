"""Programs that a model writes, run against unit tests in a sandbox. LiveCodeBench's rows and rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from solution_sandbox import all_sources, sweep
from solution_tests import code_of, shortened, tested

from gymctl.errors import InputError
from gymctl.server import Client, ResourcesServer, ServerConfig, Settings, VerifyRequest, VerifyResponse
from gymctl.server.checks.runner import CheckFailed, Work
from gymctl.server.responses import output_text

_MEGABYTE = 1 << 20
_START_S = 60.0  # on top of the tests' own time: the sandbox starts, on a machine that may be busy
_FENCE = "```"
_MESSAGES = {"wrong": "Wrong Answer", "time": "Time Limit Exceeded"}


class CodingConfig(ServerConfig):
    """Limits are those of one test; ``debug`` puts whole outputs into the reply."""

    unit_test_timeout_secs: float = Field(10.0, gt=0)
    """Time limit of one unit test, in seconds."""
    num_processes: int | None = Field(None, ge=1)
    """Maximum number of concurrent programs; by default one per processor."""
    memory_limit_mb: int = Field(1024, ge=64)
    """Memory limit of one program, in MB."""
    disk_limit_mb: int = Field(16, ge=1)
    """Maximum disk space of one program's scratch directory, in MB."""
    output_limit_mb: int = Field(4, ge=1)
    """Maximum output that is read from a program, in MB."""
    thread_limit: int = Field(64, ge=1)
    """Maximum number of threads of one program."""
    allowed_packages: list[str] = Field(default_factory=list)
    """Installed packages that programs may import, in addition to the standard library."""
    stop_at_first_failure: bool = True
    """Whether the remaining tests are skipped after a failed one."""
    reasoning_format_penalty: float | None = 0.0
    """Reward of an answer that contains think tags; null: only the tests decide."""
    debug: bool = False
    """Whether replies contain the complete outputs."""


class UnitTests(BaseModel):
    """Inputs and expected outputs as text; with ``fn_name`` they are JSON, one argument per line."""

    model_config = ConfigDict(extra="allow")

    inputs: list[str] = Field(min_length=1)
    outputs: list[str]
    fn_name: str | None = None

    @model_validator(mode="after")
    def _as_many(self) -> UnitTests:
        if len(self.inputs) != len(self.outputs):
            raise ValueError(f"{len(self.inputs)} inputs and {len(self.outputs)} outputs")
        return self


class Metadata(BaseModel):
    """The row's ``verifier_metadata``."""

    model_config = ConfigDict(extra="allow")

    unit_tests: UnitTests
    difficulty: str | None = None


class CodingVerify(VerifyRequest):
    """The row's fields the code is tested with."""

    verifier_metadata: Metadata


class CompCoding(ResourcesServer):
    """No tools: a program and a verdict."""

    config: CodingConfig
    stateless = True

    def __init__(self, settings: Settings, client: Client) -> None:
        super().__init__(settings, client)
        self._work = Work(self, processes=self.config.num_processes)
        self._sources = all_sources({})  # sent to where the check runs, which may have no files of ours

    async def startup(self) -> None:
        """Run an empty program, unless that is the business of other machines.

        Raises:
            InputError: the sandbox cannot be set up.
        """
        if self._work.is_remote:
            return
        sweep()
        try:
            await self._work.run(tested, "", [("", "")], None, self._limits(), self._sources, seconds=_START_S)
        except CheckFailed as failure:
            raise InputError(
                f"{self.name}: cannot sandbox submitted code on this machine: {failure.message}",
                "use Linux 5.13 or later with Landlock (lsm=landlock,...), or a Ray cluster of such machines",
            ) from failure

    async def shutdown(self) -> None:
        """End the worker processes, and remove what they leave when they are killed."""
        await self._work.close()
        if not self._work.is_remote:
            sweep()

    async def verify(self, body: CodingVerify) -> VerifyResponse:
        """Reward 1.0 when the last fenced block of the response passes every test."""
        text = output_text(body.response)
        code = extract_code(text)
        verdict: dict[str, Any] = {"result": None, "metadata": None, "unit_tests": None, "unit_tests_time_taken": None}
        if code:
            verdict = await self._tested(code, body.verifier_metadata.unit_tests)
        tests = verdict["unit_tests"] or []
        passed = len(tests) == len(body.verifier_metadata.unit_tests.inputs) and all(test["passed"] for test in tests)
        reward = float(passed)
        violation = has_format_violation(body.response)
        if code and violation and self.config.reasoning_format_penalty is not None:
            reward = self.config.reasoning_format_penalty
        return VerifyResponse.of(
            body,
            reward,
            **verdict,
            extracted_model_output=text or None,
            extracted_model_code=code or None,
            reasoning_format_violation_rate=float(violation),
            difficulty=body.verifier_metadata.difficulty,
        )

    async def _tested(self, code: str, tests: UnitTests) -> dict[str, Any]:
        pairs = list(zip(tests.inputs, tests.outputs, strict=True))
        seconds = _START_S + (len(pairs) + 2) * (self.config.unit_test_timeout_secs + 1)  # two more: see tested()
        arguments = (code, pairs, tests.fn_name, self._limits(), self._sources)
        try:
            done = await self._work.run(tested, *arguments, seconds=seconds)
        except CheckFailed as failure:
            if failure.reason == "raised":
                raise RuntimeError(f"the code was not run: {failure.message}") from failure
            raise
        results = done.value
        failed = next(((place, each) for place, each in enumerate(results) if each["outcome"] != "passed"), None)
        outputs: tuple[str, ...]
        if self.config.debug:
            outputs = ("stdout", "stderr")
        else:
            outputs = ()
        return {
            "result": [True if each["outcome"] == "passed" else code_of(each) for each in results],
            "metadata": _describe(failed[1], failed[0], *pairs[failed[0]]) if failed else {},
            "unit_tests": [
                {"passed": each["outcome"] == "passed", "outcome": each["outcome"], "seconds": each["seconds"]}
                | {key: each[key] for key in outputs}
                for each in results
            ],
            "unit_tests_time_taken": round(sum(each["seconds"] for each in results), 4),
            **done.reply_fields,
        }

    def _limits(self) -> dict[str, Any]:
        config = self.config
        return {
            "seconds": config.unit_test_timeout_secs,
            "memory": config.memory_limit_mb * _MEGABYTE,
            "disk": config.disk_limit_mb * _MEGABYTE,
            "output": config.output_limit_mb * _MEGABYTE,
            "threads": config.thread_limit,
            "packages": config.allowed_packages,
            "stop_early": config.stop_at_first_failure,
            "debug": config.debug,
        }


def _describe(result: dict[str, Any], place: int, stdin: str, expected: str) -> dict[str, Any]:
    """The first test that did not pass, texts shortened."""
    outcome = result["outcome"]
    return {
        "test": place,
        "error_code": code_of(result),
        "error_message": _MESSAGES.get(outcome, "Runtime Error"),
        "outcome": outcome,
        "error": result["stderr"].strip().rpartition("\n")[2][:300],
        "inputs": shortened(stdin),
        "output": shortened(result["value"] or result["stdout"]),
        "expected": shortened(expected),
    }


def extract_code(text: str) -> str:
    """The text between the last two fences; empty if there are fewer than two."""
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if _FENCE in line]
    if len(fences) > 1:
        return "\n".join(lines[fences[-2] + 1 : fences[-1]]).strip("\n")
    return ""


def has_format_violation(response: dict[str, Any]) -> bool:
    """Whether think tags show in the answer, or more than one in the reasoning."""
    text = output_text(response)
    reasoning = "".join(_thoughts(response))
    return bool(re.search("</?think>", text)) or any(reasoning.count(tag) > 1 for tag in ("<think>", "</think>"))


def _thoughts(response: dict[str, Any]) -> Iterator[str]:
    """The texts of a response's reasoning items; what has another shape has none."""
    for item in response.get("output") or ():
        if not isinstance(item, dict) or item.get("type") != "reasoning":
            continue
        for part in item.get("summary") or ():
            if isinstance(part, dict):
                yield str(part.get("text", ""))


if __name__ == "__main__":
    CompCoding.serve()
