"""The application behind the page: its files, its data as JSON, and events while a run is being collected."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gymctl.errors import GymctlError
from gymctl.results.payload import encode
from gymctl.viewer import questions
from gymctl.viewer.access import Access, AccessMiddleware
from gymctl.viewer.answers import NO_STORE, answers_json, json_response, ndjson, position_json, run_json
from gymctl.viewer.indexes import RunIndex
from gymctl.viewer.live import Workers
from gymctl.viewer.page_files import page_files
from gymctl.viewer.parameters import PAGE, threshold, whole
from gymctl.viewer.runs import Run, Runs
from gymctl.viewer.stack import StackView

_HEARTBEAT_S = 15.0
_MOST_COMPARISONS = 4

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(paths: Sequence[Path], access: Access, directory: Path | None = None) -> Starlette:
    """The application.

    Args:
        paths: results files, and folders to look for them.
        access: who may use it.
        directory: where the stack runs whose servers are shown; by default the working directory or one above it.
    """
    page = ViewerPage(Runs(paths), StackView(directory))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        """Close the worker threads when the application ends."""
        try:
            yield
        finally:
            page.workers.close()

    app = Starlette(routes=page.routes(), middleware=[Middleware(AccessMiddleware, access=access)], lifespan=lifespan)
    app.state.end_streams = page.end_streams
    return app


class ViewerPage:
    """The endpoints. Each reads in a thread; the event loop only waits."""

    def __init__(self, runs: Runs, stack: StackView) -> None:
        self.workers = Workers()
        self._runs = runs
        self._stack = stack
        self._files = page_files()
        self._comparisons: OrderedDict[object, dict[str, Any]] = OrderedDict()
        self._is_ending = asyncio.Event()

    def end_streams(self) -> None:
        """End the streams of events, so that the server can stop while pages are open."""
        self._is_ending.set()

    def routes(self) -> list[Route]:
        """All addresses."""
        run = "/api/runs/{run}"
        about_run = {
            "rollouts": questions.rollouts,
            "distributions": questions.distributions,
            "summary": questions.summary,
            "stretches": questions.stretches,
            "groups": questions.groups,
            "rollout": questions.rollout,
        }
        return [
            Route("/", self.file),
            Route("/static/{path:path}", self.file),
            Route("/api/runs", self.runs),
            *(Route(f"{run}/{name}", self._about(question)) for name, question in about_run.items()),
            Route(run, self.run),
            Route(f"{run}/names", self._about(lambda index, _: questions.names(index))),
            Route(f"{run}/raw", self.raw),
            Route(f"{run}/find", self.find),
            Route(f"{run}/events", self.events),
            Route("/api/compare", self.compare),
            Route("/api/stack", self.stack),
            Route("/api/stack/log", self.log),
        ]

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        file = self._files.get(request.path_params.get("path", "index.html"))
        if file is None:
            return json_response({"error": "not found"}, 404)
        headers = {"etag": file.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    @answers_json
    async def runs(self, _: Request) -> Any:
        """Every run; nothing is indexed for it."""
        runs = await self.workers.read(lambda: [self._listed(run) for run in self._runs.all()])
        return {"runs": runs}

    @answers_json
    async def run(self, request: Request) -> Any:
        """The counts of a run, as far as it is indexed."""
        run = await self._run(request)
        if request.query_params.get("index"):
            await self.workers.ready(run)

        def work() -> dict[str, Any]:
            """Totals of the run and the position of its index, as JSON."""
            totals = questions.totals(self.workers.indexes.of(run), request.query_params)
            return {**run_json(run), **totals, **position_json(self.workers.position(run))}

        return await self.workers.read(work)

    @answers_json
    async def compare(self, request: Request) -> Any:
        """Two runs joined by task, and a page of the pairs."""
        values = request.query_params
        run_a = await self.workers.read(lambda: self._runs.get(values.get("a", "")))
        run_b = await self.workers.read(lambda: self._runs.get(values.get("b", "")))
        offset = whole(values, "offset")
        for run in (run_a, run_b):
            await self.workers.ready(run)
        data = await self.workers.read(lambda: self._compared(run_a, run_b, request))
        pairs = data["pairs"]
        total = {"total": len(pairs), "offset": offset, "a": run_json(run_a), "b": run_json(run_b)}
        return {**data, **total, "pairs": pairs[offset : offset + PAGE]}

    @answers_json
    async def stack(self, _: Request) -> Any:
        """The servers of the stack."""
        return await self.workers.read(self._stack.status)

    @answers_json
    async def log(self, request: Request) -> Any:
        """The last lines of a server's log."""
        server = request.query_params.get("server", "")
        tail = whole(request.query_params, "tail", 50)
        return {"lines": await self.workers.read(lambda: self._stack.log(server, tail))}

    async def raw(self, request: Request) -> Response:
        """The line of a rollout as text; with ``full`` as a download."""
        try:
            run = await self._run(request)
            await self.workers.ready(run)

            def work() -> tuple[bytes, int]:
                """The rollout's line, and its length in bytes."""
                return questions.raw(self.workers.indexes.of(run), request.query_params)

            line, length = await self.workers.read(work)
        except GymctlError as error:
            return json_response({"error": str(error)}, 400)
        headers = {**NO_STORE, "x-length": str(length)}
        if request.query_params.get("full"):
            headers["content-disposition"] = 'attachment; filename="rollout.json"'
        return Response(line, media_type="text/plain; charset=utf-8", headers=headers)

    async def find(self, request: Request) -> Response:
        """The rollouts that contain a text, a line of JSON for each batch of hits."""
        try:
            run = await self._run(request)
            await self.workers.ready(run)
            index = await self.workers.read(lambda: self.workers.indexes.of(run))
        except GymctlError as error:
            return json_response({"error": str(error)}, 400)
        lines = ndjson(questions.find(index, request.query_params))
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=NO_STORE)

    async def events(self, request: Request) -> Response:
        """New rows and the progress of indexing, as server-sent events."""
        try:
            run = await self._run(request)
            last_id = whole(request.query_params, "after")
            least = threshold(request.query_params)
        except GymctlError as error:
            return json_response({"error": str(error)}, 400)
        stream = self._events(run, last_id, least)
        return StreamingResponse(stream, media_type="text/event-stream", headers=NO_STORE)

    async def _events(self, run: Run, last_id: int, least: float) -> AsyncIterator[bytes]:
        """An event for each change of the run's position, with the rows since ``last_id``."""
        positions = self.workers.follower(run).positions()
        following = asyncio.ensure_future(anext(positions))
        ending = asyncio.ensure_future(self._is_ending.wait())
        try:
            while True:
                await asyncio.wait([following, ending], timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    return
                if not following.done():
                    yield b": still here\n\n"
                    continue
                position = following.result()
                following = asyncio.ensure_future(anext(positions))
                rows: list[dict[str, Any]] = []
                if position.last_id > last_id:
                    rows = await self._new(run, last_id, least)
                    last_id = position.last_id
                yield b"data: " + encode({**position_json(position), "rows": rows}) + b"\n\n"
        finally:
            following.cancel()
            ending.cancel()
            await asyncio.wait([following, ending])
            await positions.aclose()  # type: ignore[attr-defined]

    async def _new(self, run: Run, last_id: int, least: float) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            """Rollouts that were written after ``last_id``, as JSON."""
            return questions.new_rollouts(self.workers.indexes.of(run), last_id, least)

        return await self.workers.read(work)

    def _about(self, question: Callable[[RunIndex, Any], Any]) -> Endpoint:
        """An endpoint that answers a question about a run."""

        @answers_json
        async def answer(_: Any, request: Request) -> Any:
            """The answer to ``question`` about the run that the request names."""
            run = await self._run(request)
            await self.workers.ready(run)
            return await self.workers.read(lambda: question(self.workers.indexes.of(run), request.query_params))

        async def endpoint(request: Request) -> Response:
            """``answer``, as Starlette calls it."""
            return await answer(self, request)

        return endpoint

    async def _run(self, request: Request) -> Run:
        run_id = request.path_params["run"]
        return await self.workers.read(lambda: self._runs.get(run_id))

    def _compared(self, run_a: Run, run_b: Run, request: Request) -> dict[str, Any]:
        values = request.query_params
        last_ids = tuple(self.workers.position(run).last_id for run in (run_a, run_b))
        options = tuple(values.get(name) for name in ("join", "agent", "threshold"))
        key = (run_a.id, run_b.id, last_ids, options)
        if key not in self._comparisons:
            self._comparisons[key] = questions.comparison(self.workers.indexes, run_a, run_b, values)
            if len(self._comparisons) > _MOST_COMPARISONS:
                self._comparisons.popitem(last=False)
        return self._comparisons[key]

    def _listed(self, run: Run) -> dict[str, Any]:
        try:
            status = run.path.stat()
        except OSError:
            return {**run_json(run), "size": 0, "changed": 0}
        return {**run_json(run), "size": status.st_size, "changed": status.st_mtime}
