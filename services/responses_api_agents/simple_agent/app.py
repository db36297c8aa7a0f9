"""The loop between a model and an environment's tools: call, run the tools asked for, repeat until it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from pydantic import Field

from gymctl.server import AgentConfig, AgentServer, Conversation, Rollout
from gymctl.server.models.weight_version import weight_version_of, with_weight_versions
from gymctl.server.responses import add_usage, function_call_output, function_calls
from gymctl.server.tool_calls import ArgumentsError, answer_text, parse_arguments, unknown_tool

MAX_STEPS_REACHED = "max_steps_reached"  # in a response's metadata, whose values are texts


class SimpleAgentConfig(AgentConfig):
    """Bounds of a rollout."""

    max_steps: int | None = Field(512, ge=1)
    """Maximum number of model calls in one rollout; null: no limit. If hit, ``metadata`` has ``max_steps_reached``."""
    max_idle_steps: int = Field(8, ge=1)
    """Maximum number of consecutive model calls that return only reasoning; then the rollout ends."""


class SimpleAgent(AgentServer):
    """``/run`` is the base's: seed the session, ``respond``, verify."""

    config: SimpleAgentConfig

    async def respond(self, params: dict[str, Any], rollout: Rollout) -> dict[str, Any]:
        """Run the loop; the last reply comes back with everything that was put out and the summed usage."""
        conversation = Conversation(params)
        items: list[dict[str, Any]] = []
        usage: dict[str, Any] | None = None
        versions: list[str] = []
        idle = 0
        for step in count(1):
            reply = await rollout.model(conversation)
            items += reply["output"]
            conversation.add(reply["output"])
            usage = add_usage(usage, reply.get("usage"))
            versions.append(weight_version_of(reply))
            calls = function_calls(reply["output"])
            if calls:
                idle = 0
            else:
                idle = idle + 1
            if self.finished(reply, calls, idle):
                break
            for call in calls:  # one after the other: the environment's session may depend on the order
                output = function_call_output(call["call_id"], await self.run_tool(call, rollout))
                items.append(output)
                conversation.add([output])
            if step == self.config.max_steps:
                reply["metadata"] = {**(reply.get("metadata") or {}), MAX_STEPS_REACHED: str(step)}
                break
        return with_weight_versions({**reply, "output": items, "usage": usage}, versions)

    def finished(self, reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], idle: int) -> bool:
        """Whether a reply ends the loop: cut short, or an answer, or too many in a row that are neither."""
        if reply.get("incomplete_details") or reply.get("status") == "incomplete":
            return True
        answered = any(item.get("type") == "message" for item in reply["output"])
        return not calls and (answered or idle >= self.config.max_idle_steps)

    async def run_tool(self, call: Mapping[str, Any], rollout: Rollout) -> str:
        """The text a tool answers with; whatever the model got wrong is text too, for the model to see."""
        name: str = call["name"]
        if name not in rollout.offered:
            return unknown_tool(name, rollout.offered)
        try:
            arguments = parse_arguments(call["arguments"])
        except ArgumentsError as error:
            return answer_text(f"Invalid tool call arguments: {error}; send them as a JSON object")
        return await rollout.tool(name, arguments)


if __name__ == "__main__":
    SimpleAgent.serve()
