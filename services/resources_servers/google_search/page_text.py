"""From a page's bytes to the text a model reads: charset, kind of content, and extraction in child processes.

Extraction takes seconds of pure computing for a large page, and nobody knows how long for a malicious one: children
keep the event loop free, and one that is late, or asks for too much memory, is ended without harm to the server.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from page_fetching import FetchedPage, PageError
from page_worker import LENGTH

_WORKER = Path(__file__).with_name("page_worker.py")
_PAGES_PER_WORKER = 200  # parsers grow with what they have read
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]{1,40})""")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Python has codecs that no page is written in; some of them take time that grows with the square of the length.
_NOT_FOR_PAGES = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TEXT = re.compile(r"text/|application/(json|xml)$|.*\+(json|xml)$")


def decode(page: FetchedPage) -> str:
    """The page as text, decoded by byte order mark, its server's charset, its own declaration, or a default.

    A charset that does not exist, or does not fit, is passed over: browsers show such pages too.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if page.body.startswith(mark):
            return page.body.decode(name, "replace")
    head = page.body[:2048]
    declared = [match[1].decode() for match in (_XML_CHARSET.search(head), _META_CHARSET.search(head)) if match]
    for name in filter(None, (page.charset, *declared, "utf-8")):
        with suppress(LookupError, UnicodeError, ValueError):
            codec = codecs.lookup(name)
            if codec._is_text_encoding and codec.name.replace("_", "-") not in _NOT_FOR_PAGES:
                return page.body.decode(codec.name)
    return page.body.decode("cp1252", "replace")


def is_html(page: FetchedPage) -> bool:
    """Whether the page is HTML; False when it is other text.

    Raises:
        PageError: it is neither.
    """
    unsaid = page.media_type in ("", "application/octet-stream")
    utf16 = page.body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or "utf-16" in page.charset.lower()
    if b"\0" in page.body[:4096] and not utf16:
        raise PageError("the page is not text" + ("" if unsaid else f", although it declares {page.media_type}"))
    if page.media_type in _HTML:
        return True
    if not unsaid and not _TEXT.match(page.media_type):
        raise PageError(f"the page is {page.media_type[:80]}, not text")
    return unsaid and page.body[:2048].lstrip()[:1] == b"<"


def shortened(text: str, most: int) -> str:
    """The text, or when it is longer than ``most`` characters its beginning and its end."""
    half = most // 2
    if len(text) <= most:
        return text
    return f"{text[:half]}\n[...]\n{text[-half:]}"


class Extraction:
    """Children that extract text, at most ``workers``, each started when it is first needed.

    Args:
        workers: how many.
        seconds: the longest that one page may take.
    """

    def __init__(self, workers: int, seconds: float) -> None:
        self._places = asyncio.Semaphore(workers)
        self._seconds = seconds
        self._idle: deque[_Worker] = deque()

    async def text(self, html: str) -> str:
        """The main text of a page; empty when there is none.

        Raises:
            PageError: it took too long, or too much memory.
        """
        async with self._places:
            if self._idle:
                worker = self._idle.pop()
            else:
                worker = await _Worker.start()
            try:
                async with asyncio.timeout(self._seconds):
                    text = await worker.ask(html)
            except TimeoutError as error:
                raise PageError(f"extracting the text of the page took longer than {self._seconds:g} s") from error
            except (asyncio.IncompleteReadError, OSError) as error:
                raise PageError(
                    "the text of the page cannot be extracted: it needs too much memory or is malformed"
                ) from error
            else:
                if worker.pages < _PAGES_PER_WORKER:
                    self._idle.append(worker)
                return text
            finally:
                if worker not in self._idle:
                    await worker.end()

    async def close(self) -> None:
        """End the children that wait."""
        while self._idle:
            await self._idle.pop().end()


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pages = 0

    @classmethod
    async def start(cls) -> _Worker:
        """A child. Of the environment it gets what Python needs to start: it has no business with the server's keys."""
        environment = {
            name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ
        }
        pipe = asyncio.subprocess.PIPE
        nothing = asyncio.subprocess.DEVNULL
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, str(_WORKER), stdin=pipe, stdout=pipe, stderr=nothing, env=environment
            )
        )

    async def ask(self, html: str) -> str:
        """A page's text; an ``IncompleteReadError`` or ``OSError`` means that the child ended."""
        self.pages += 1
        page = html.encode("utf-8", "replace")
        source = self._process.stdout
        sink = self._process.stdin
        assert source is not None and sink is not None  # noqa: S101 - both are pipes
        sink.write(LENGTH.pack(len(page)) + page)
        await sink.drain()
        (size,) = LENGTH.unpack(await source.readexactly(LENGTH.size))
        return (await source.readexactly(size)).decode()

    async def end(self) -> None:
        """Kill it: it holds nothing."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
