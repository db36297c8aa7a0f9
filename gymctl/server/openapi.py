"""The FastAPI application of a server: built for ``/docs``, and for routes of the user's own."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from fastapi import Body, FastAPI, Request, Response
from pydantic import BaseModel

from gymctl import __version__
from gymctl.server.endpoints import Endpoint
from gymctl.server.message import Call

if TYPE_CHECKING:
    from gymctl.server.hosting import HostedServer


def build_application(server: HostedServer) -> FastAPI:
    """An application that shows every endpoint in its schema and answers it through the same dispatch."""
    app = FastAPI(title=server.name, version=__version__, description=inspect.getdoc(type(server)) or "")
    for item in server.endpoints.values():
        app.add_api_route(
            item.path,
            _route(server, item),
            methods=[item.method],
            summary=item.path.strip("/").replace("_", " ") or "alive",
            description=inspect.getdoc(item.documented) if item.documented else None,
            operation_id=f"{item.method.lower()}{item.path.replace('/', '_')}",
        )
    server.routes(app)
    return app


def _route(server: HostedServer, item: Endpoint) -> Any:
    async def answer(request: Request) -> Response:
        """Handle a request as the server itself does, without its hot path."""
        call = Call(item.path, await request.body(), item.method, request.cookies)
        reply = await server.handle(call)
        response = Response(reply.body, reply.status, reply.headers, reply.media_type)
        for name, value in reply.cookies.items():
            response.set_cookie(name, value, max_age=1209600, httponly=True, samesite="lax")
        return response

    parameters = [inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
    if item.method == "POST":
        shape: Any
        if item.body is not None and issubclass(item.body, BaseModel):
            shape = item.body
        else:
            shape = dict[str, Any]
        parameters.append(
            inspect.Parameter("body", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=shape, default=Body(...))
        )

        async def documented(request: Request, body: Any) -> Response:
            """The same, with the body that ``/docs`` describes."""
            return await answer(request)

        documented.__doc__ = None  # a page of the server's users: FastAPI would show it there
        documented.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return documented
    answer.__doc__ = None
    answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return answer
