"""Questions to answer with a search engine and a browser: `/search`, `/browse`, and a reward for the boxed answer.

Whatever goes wrong with a search or a page is a text for the model that asked (``Error: ...``), never a failed rollout:
which pages there are is none of the server's doing.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import aiohttp
import orjson
from cachetools import TTLCache
from pacing import Pace
from page_fetching import PageError, PageLimits, fetch, open_session, read_body
from page_text import Extraction, decode, is_html, shortened
from pydantic import Field

from gymctl.errors import InputError
from gymctl.server import (
    ApiKey,
    Client,
    EndpointUrl,
    ResourcesServer,
    ServerConfig,
    Settings,
    VerifyRequest,
    VerifyResponse,
    tool,
)
from gymctl.server.calls.proxies import proxy_for
from gymctl.server.calls.public_addresses import Network
from gymctl.server.responses import output_text

NO_TEXT = "No text found"
_LONGEST_QUERY = 2048
_MOST_RESULT_BYTES = 2_000_000
_SHOWN = ("title", "link", "displayLink", "snippet")  # of a result; the rest is markup and page maps
_BOX = "\\boxed{"


class GoogleSearchConfig(ServerConfig):
    """Keys, and limits: seconds, bytes, characters, calls."""

    google_api_key: ApiKey
    """Key of the Custom Search API."""
    google_cx: str
    """Identifier of the search engine."""
    search_url: EndpointUrl = "https://www.googleapis.com/customsearch/v1"
    """Address of the Custom Search API."""
    searches_per_second: float = Field(default=10.0, gt=0)
    """Maximum number of searches per second."""
    search_timeout_seconds: float = Field(default=10.0, gt=0)
    """Time limit of one search, in seconds."""
    page_timeout_seconds: float = Field(default=20.0, gt=0)
    """Time limit for loading one page, in seconds."""
    extraction_timeout_seconds: float = Field(default=10.0, gt=0)
    """Time limit for extracting the text of a page, in seconds."""
    patience_seconds: float = Field(default=60.0, ge=0)
    """Maximum time in seconds that a call waits for its turn, or for a busy search engine."""
    max_page_bytes: int = Field(default=2_000_000, gt=0)
    """Maximum size of a page, in bytes."""
    max_page_characters: int = Field(default=60_000, gt=1)
    """Maximum length of the text that the model gets from a page, in characters."""
    max_redirects: int = Field(default=5, ge=0)
    """Maximum number of redirects that are followed."""
    max_concurrent_pages: int = Field(default=32, ge=1)
    """Maximum number of pages that are loaded concurrently."""
    extraction_workers: int = Field(default=2, ge=1)
    """Number of processes that extract text from pages."""
    cache_seconds: float = Field(default=3600.0, ge=0)
    """Seconds for which results are cached."""
    cache_bytes: int = Field(default=64_000_000, ge=0)
    """Maximum size of the cache, in bytes."""
    allowed_networks: list[Network] = Field(default_factory=list)
    """Private networks from which pages may be loaded."""


class SearchVerify(VerifyRequest):
    """The row's answer, which the model's boxed one is compared with."""

    expected_answer: str


class GoogleSearch(ResourcesServer):
    """Two tools whose answers are kept for a while, and a verdict on the last message."""

    config: GoogleSearchConfig
    stateless: ClassVar[bool] = True  # the cache saves calls; no answer depends on it

    def __init__(self, settings: Settings, client: Client) -> None:
        """Refuse to be made where pages could not be read.

        Raises:
            InputError: trafilatura is not installed.
        """
        super().__init__(settings, client)
        if importlib.util.find_spec("trafilatura") is None:
            raise InputError(
                f"{self.name} needs trafilatura to read pages, but it is not installed",
                'pip install "gymctl[search]", or run it in containers: gymctl up without --engine local',
            )

    async def startup(self) -> None:
        """Open the two sessions: one for the search engine, one whose connections are checked, for pages."""
        config = self.config
        pages = self.share(config.max_concurrent_pages)
        rate = config.searches_per_second / self.workers
        self._pace = Pace(rate, burst=rate)
        self._limits = PageLimits(config.page_timeout_seconds, config.max_page_bytes, config.max_redirects)
        self._places = asyncio.Semaphore(pages)
        self._pages = open_session(config.allowed_networks, pages)
        self._google = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=config.search_timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "gzip", "user-agent": "gymctl"},
            auto_decompress=False,
        )
        self._extraction = Extraction(self.share(config.extraction_workers), config.extraction_timeout_seconds)
        self._cache: TTLCache[tuple[str, str], str] = TTLCache(config.cache_bytes, config.cache_seconds, getsizeof=len)
        self._under_way: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def shutdown(self) -> None:
        """End what is under way and close the sessions."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._pages.close()
        await self._google.close()
        await self._extraction.close()

    @tool
    async def search(self, query: str) -> dict[str, str]:
        """Return the results of the search engine as JSON text, or ``Error: ...``."""
        return {"search_results": await self._once("search", " ".join(query.split()), self._search)}

    @tool
    async def browse(self, url: str) -> dict[str, str]:
        """Return the text of a page, or ``Error: ...``."""
        return {"page_content": await self._once("browse", url.strip(), self._browse)}

    async def verify(self, body: SearchVerify) -> VerifyResponse:
        """Reward 1.0 when the last message boxes the expected answer; without a box it is 0.0."""
        parsed = boxed(last_message(body.response))
        reward = float(parsed is not None and parsed == body.expected_answer.strip())
        return VerifyResponse.of(body, reward=reward, parsed_option=parsed or "")

    async def _once(self, kind: str, query: str, work: Callable[[str], Awaitable[str]]) -> str:
        """An answer that is kept, or is under way for another caller, or is made now. Errors are not kept."""
        key = (kind, query)
        if (cached := self._cache.get(key)) is not None:
            return cached
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._make(key, work))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)  # if one caller disconnects, the others still get the result

    async def _make(self, key: tuple[str, str], work: Callable[[str], Awaitable[str]]) -> str:
        try:
            text = await work(key[1])
        except PageError as error:
            return f"Error: {error}"
        with suppress(ValueError):  # larger than the whole cache
            self._cache[key] = text
        return text

    async def _search(self, query: str) -> str:
        if not query or len(query) > _LONGEST_QUERY:
            raise PageError(f"a query must have 1 to {_LONGEST_QUERY} characters")
        wait = self._pace.turn(self.config.patience_seconds)
        if wait is None:
            raise PageError("too many searches are waiting; try again later")
        await asyncio.sleep(wait)
        try:
            status, body = await self._ask_google(query)
        except TimeoutError as error:
            limit = self.config.search_timeout_seconds
            raise PageError(f"the search engine did not answer within {limit:g} s") from error
        except (aiohttp.ClientError, OSError) as error:  # its text may hold the URL, and with it the key
            raise PageError(f"the search engine cannot be reached ({type(error).__name__})") from error
        answer = _object(body)
        if status != 200 or answer is None:
            raise PageError(self._without_keys(_refusal(status, answer)))
        return self._without_keys(orjson.dumps(results(answer)).decode())

    async def _ask_google(self, query: str) -> tuple[int, bytes]:
        keys = {"key": self.config.google_api_key, "cx": self.config.google_cx}
        url = self.config.search_url
        proxy = proxy_for(url, os.environ)
        response = await self._google.get(url, params={**keys, "q": query}, allow_redirects=False, proxy=proxy)
        try:
            return response.status, await read_body(response, _MOST_RESULT_BYTES)
        finally:
            response.close()

    def _without_keys(self, text: str) -> str:
        for secret in filter(None, (self.config.google_api_key, self.config.google_cx)):
            text = text.replace(secret, "****")
        return text

    async def _browse(self, url: str) -> str:
        config = self.config
        most = config.patience_seconds + config.page_timeout_seconds + config.extraction_timeout_seconds
        try:
            async with asyncio.timeout(most), self._places:
                page = await fetch(self._pages, url, self._limits, config.allowed_networks)
                html = is_html(page)
                text = decode(page)
                if html:
                    text = await self._extraction.text(text)
        except TimeoutError as error:
            raise PageError("too many pages are waiting; try again later") from error
        return shortened(text.strip(), config.max_page_characters) or NO_TEXT


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(answer, dict):
        return answer
    return None


def _refusal(status: int, answer: dict[str, Any] | None) -> str:
    """What the search engine had against a query: Google's ``{"error": {"message": ...}}`` where there is one."""
    error = (answer or {}).get("error")
    if isinstance(error, dict):
        message = error.get("message")
    else:
        message = None
    if status == 200:
        return "the search engine did not return a JSON object"
    return f"the search engine answered {status}" + (f": {str(message)[:300]}" if message else "")


def results(answer: dict[str, Any]) -> dict[str, Any]:
    """Of Google's answer what a model can use, under Google's own keys; the rest repeats query and engine."""
    items = answer.get("items")
    pages = [
        {key: item[key] for key in _SHOWN if key in item}
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict)
    ]
    return {"items": pages}


def last_message(response: dict[str, Any]) -> str:
    """The text of a response's last item when that is an assistant's message, else ``""``."""
    output = response.get("output")
    if isinstance(output, list) and output:
        last = output[-1]
    else:
        last = None
    if not isinstance(last, dict) or last.get("type") != "message" or last.get("role", "assistant") != "assistant":
        return ""
    return output_text({"output": [last]})


def boxed(text: str) -> str | None:
    r"""What the first ``\boxed{...}`` of a text holds, without spaces and a second pair of braces; None without one."""
    start = text.find(_BOX)
    if start < 0:
        return None
    depth = 1
    inside = text[start + len(_BOX) :]
    for place, character in enumerate(inside):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            held = inside[:place].strip()
            # the prompts of the published data set ask for \boxed{{}}
            if held.startswith("{") and held.endswith("}"):
                return held[1:-1].strip()
            return held
    return None


if __name__ == "__main__":
    GoogleSearch.serve()
