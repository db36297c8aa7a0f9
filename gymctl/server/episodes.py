"""The episode protocol of NeMo Gym 0.7, in which an environment server takes a rollout through agent and verifier.

An environment server seeds the resources server itself, gives the agent access to that session, asks it for a response,
and closes both. What the agent must remember between these calls are the cookies of the session: they are sent to the
caller as the agent's own, so that an agent keeps nothing (base_resources_server.py, base_responses_api_agent.py).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gymctl.config import exact_json
from gymctl.config.upstream import ROLLOUT_PREFIX, TOKEN_CAPTURE_SEGMENT
from gymctl.server.message import Call, Reply, json_reply

NO_TOOLS = "gymctl_no_tools"
"""Cookie of an episode in which the agent was given no access to tools."""
_MOST_CLOSED = 100_000


class ToolAccess(BaseModel):
    """Access to the tools of one server."""

    kind: Literal["direct_http", "mcp"] = "direct_http"
    name: str
    required: bool = True
    base_url: str = ""
    cookies: dict[str, str] = Field(default_factory=dict)


class AgentSessionRequest(BaseModel):
    """Begin or close an agent's part of an episode."""

    model_config = ConfigDict(extra="allow")

    agent_session_id: str = Field(min_length=1)
    episode_id: dict[str, Any]
    tool_accesses: list[ToolAccess] = []
    sandbox_access: dict[str, Any] | None = None


def plain_path(path: str) -> str:
    """A path without the name of the rollout that a caller may put before it: ``/ng-rollout/7-0/v1/responses``."""
    if not path.startswith(ROLLOUT_PREFIX):
        return path
    _, _, rest = path.removeprefix(ROLLOUT_PREFIX).partition("/")
    return "/" + rest.removeprefix(f"{TOKEN_CAPTURE_SEGMENT}/")


def begin_agent_session(request: AgentSessionRequest, resources_url: str) -> Reply:
    """Accept an episode: the cookies of its resources session become the caller's.

    ``resources_url`` is the resources server of this agent, the only one that it calls.
    """
    direct = [access for access in request.tool_accesses if access.kind == "direct_http"]
    others = [access.name for access in request.tool_accesses if access.kind != "direct_http" and access.required]
    problem = ""
    if others:
        problem = f"tools over MCP are not supported: {', '.join(others)}"
    elif request.sandbox_access is not None:
        problem = "sandbox access is not supported"
    elif len(direct) > 1 or any(access.base_url.rstrip("/") != resources_url for access in direct):
        problem = f"this agent calls only the tools of its resources server, {resources_url}"
    if problem:
        return json_reply({"detail": problem}, 422)
    reply = json_reply({"agent_session_id": request.agent_session_id})
    reply.cookies = dict(direct[0].cookies) if direct else {NO_TOOLS: "1"}
    return reply


def close_agent_session(request: AgentSessionRequest, call: Call) -> Reply:
    """Give the caller the cookies of the resources session as they are after the last tool call."""
    cookies = {name: value for name, value in call.cookies.items() if name != NO_TOOLS}
    answer: dict[str, Any] = {"agent_session_id": request.agent_session_id, "agent_observations": None}
    if NO_TOOLS not in call.cookies:
        answer["resources_cookies"] = cookies
    return json_reply(answer)


class ResourcesSessions:
    """The typed sessions of a resources server: which were closed, so that a late seed does not begin them again."""

    def __init__(self) -> None:
        self._closed: OrderedDict[str, None] = OrderedDict()

    def is_closed(self, name: str) -> bool:
        """Whether a session of this name was closed."""
        return name in self._closed

    def close(self, name: str) -> None:
        """Remember that a session is closed; of very many the oldest are forgotten."""
        self._closed[name] = None
        if len(self._closed) > _MOST_CLOSED:
            self._closed.popitem(last=False)


def typed_session(call: Call) -> tuple[str, dict[str, Any]]:
    """The name of the session that a typed request is for, and the whole request; an empty name for any other body."""
    if b'"resources_session_id"' not in call.body:
        return "", {}
    try:
        body = exact_json.loads(call.body)
    except ValueError:
        return "", {}
    name = body.get("resources_session_id") if isinstance(body, dict) else None
    return (name, body) if isinstance(name, str) and "episode_id" in body else ("", {})
