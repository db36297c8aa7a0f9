"""Endpoints: a path and a coroutine that takes a ``Call`` and gives a ``Reply``, typed ones made from a signature."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

import orjson
from pydantic import BaseModel, ValidationError, create_model

from gymctl.config import exact_json
from gymctl.server.message import Call, Reply
from gymctl.server.sessions import Session

Invoke = Callable[[Call, Session], Awaitable[Reply]]
Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__gym_endpoint__"


@dataclass(frozen=True)
class Endpoint:
    """One route. ``documented`` is the function whose signature ``/docs`` shows; ``body`` its request model, if any.

    ``uses_session``: the call is rejected if its session is lost; without it, no session is started.
    ``begins_session``: a caller's session that is lost is replaced by a new one here, and refused elsewhere.
    ``ends_session``: the session ends with a reply of status 200.
    ``while_wanted``: a call is dropped when its caller hangs up.
    """

    path: str
    invoke: Invoke
    method: str = "POST"
    documented: Callable[..., Any] | None = None
    body: type[BaseModel] | None = None
    uses_session: bool = True
    begins_session: bool = False
    ends_session: bool = False
    while_wanted: bool = False


def endpoint(
    path: str, method: str = "POST", *, while_wanted: bool = False, uses_session: bool = True
) -> Callable[[Function], Function]:
    """Mark a method ``async (self, call: Call, session: Session) -> Reply`` as the route ``method path``.

    ``uses_session=False`` is for what belongs to no rollout.

    With ``while_wanted`` a call is cancelled where it waits when its caller hangs up: for what costs much and serves
    only who asked. It holds for what a subclass puts in the method's place too.
    """

    def mark(function: Function) -> Function:
        """Mark a method as an endpoint, for ``endpoints_of`` to find."""
        setattr(function, _MARK, (path, method, False, while_wanted, uses_session))
        return function

    return mark


def tool(function: Function) -> Function:
    """Mark a method as a tool: ``POST /<its name>``, the JSON arguments are its parameters.

    A parameter annotated ``Session`` receives the caller's session, one annotated ``Call`` the call itself (its
    deadline); one of a pydantic model alone receives the whole body. Plain functions run in a thread.
    """
    setattr(function, _MARK, (f"/{function.__name__}", "POST", True, False, True))
    return function


def marked_endpoints(owner: object) -> list[Endpoint]:
    """The endpoints that ``owner``'s class marks with ``endpoint`` and ``tool``, base classes first."""
    endpoints: dict[str, Endpoint] = {}
    for cls in reversed(type(owner).__mro__):
        for name, attribute in vars(cls).items():
            mark = getattr(attribute, _MARK, None)
            if mark:
                path, method, typed, while_wanted, session = mark
                while_wanted = while_wanted or (name in endpoints and endpoints[name].while_wanted)
                bound = getattr(owner, name)
                if typed:
                    endpoints[name] = typed_endpoint(path, bound)
                else:
                    endpoints[name] = Endpoint(
                        path, bound, method, bound, uses_session=session, while_wanted=while_wanted
                    )
    return list(endpoints.values())


def typed_endpoint(path: str, function: Callable[..., Any]) -> Endpoint:
    """An endpoint from a bound method's signature: its parameters are validated from the JSON body."""
    signature = _read_signature(function)
    whole = _whole_body(signature.body)
    model: type[BaseModel]
    if whole:
        model = whole[1]
    else:
        model = create_model(f"{function.__name__}_arguments", **signature.body)
    is_async = inspect.iscoroutinefunction(function)
    keeps_raw = hasattr(model, "keep_raw")

    async def invoke(call: Call, session: Session) -> Reply:
        """Validate the body of ``call`` and pass its parts on; invalid ones are answered with 422."""
        try:
            body = model.model_validate_json(call.body or b"{}")
        except ValidationError as error:
            return invalid(error)
        if keeps_raw:
            body.keep_raw(call.body)  # type: ignore[attr-defined]
        arguments: dict[str, Any] = dict.fromkeys(signature.sessions, session) | dict.fromkeys(signature.calls, call)
        if whole:
            arguments[whole[0]] = body
        else:
            arguments |= {name: getattr(body, name) for name in signature.body}
        result = function(**arguments) if is_async else asyncio.to_thread(function, **arguments)
        return reply_of(await result)

    return Endpoint(path, invoke, "POST", function, model, uses_session=bool(signature.sessions))


@dataclass
class _Signature:
    """Parameters of an endpoint's method, by where their values come from."""

    body: dict[str, Any] = field(default_factory=dict)
    """Type and default of each that the JSON body holds, as pydantic's ``create_model`` takes them."""
    sessions: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


def _read_signature(function: Callable[..., Any]) -> _Signature:
    owner = getattr(function, "__self__", None)
    hints = get_type_hints(function, localns=dict(vars(type(owner))))  # a class may hold its own request models
    signature = _Signature()
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name, Any)
        if annotation is Session:
            signature.sessions.append(name)
        elif annotation is Call:
            signature.calls.append(name)
        elif parameter.default is parameter.empty:
            signature.body[name] = (annotation, ...)
        else:
            signature.body[name] = (annotation, parameter.default)
    return signature


def _whole_body(parameters: dict[str, Any]) -> tuple[str, type[BaseModel]] | None:
    if len(parameters) == 1:
        (name, (annotation, _)) = next(iter(parameters.items()))
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            return name, annotation
    return None


def reply_of(value: Any) -> Reply:
    """A handler's return value as a reply: a ``Reply``, a model, JSON-ready data, or None for ``{}``.

    Raises:
        NotFiniteError: it holds NaN or an infinity.
    """
    if isinstance(value, Reply):
        return value
    to_bytes = getattr(value, "to_json_bytes", None)
    if to_bytes is not None:
        return Reply(200, to_bytes())
    if isinstance(value, BaseModel):
        text = value.model_dump_json().encode()  # in which NaN would be null
        return Reply(200, exact_json.dumps_finite(value.model_dump(mode="json")) if b"null" in text else text)
    return Reply(200, b"{}" if value is None else exact_json.dumps_finite(value, default=plain))


def plain(value: Any) -> Any:
    """A value that JSON has no type for as one that it has: models and sets.

    Raises:
        TypeError: there is none.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def invalid(error: ValidationError) -> Reply:
    """422 with FastAPI's body, so that callers of either see one shape."""
    detail = [
        {**problem, "loc": ["body", *problem["loc"]]}
        for problem in error.errors(include_url=False, include_context=False)
    ]
    return Reply(422, orjson.dumps({"detail": detail}, default=str))
