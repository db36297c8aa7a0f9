"""Search and browse against real servers on loopback; ``allowed_networks`` tells the one that may be asked from others.

Whatever a server does to us, the answer is a text for the model, status 200, within the limits of time and memory.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import socket
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gymctl.server import Call, Client, LocalTransport, Server, Settings
from gymctl.server.run.loader import load_server_class

FOLDER = Path(__file__).parents[1]
sys.path.insert(0, str(FOLDER))

import page_fetching  # noqa: E402
import page_text  # noqa: E402
from pacing import Pace  # noqa: E402

from gymctl.server.calls import public_addresses  # noqa: E402

CONFIG = {
    "google_api_key": "key-of-the-test",
    "google_cx": "engine-of-the-test",
    "allowed_networks": ["127.0.0.1/32"],
    "page_timeout_seconds": 1.0,
    "max_page_bytes": 300_000,
    "max_redirects": 3,
}
WORDS = "The quick brown fox jumps over the lazy dog, and nobody knows why it does so every single day. "
HTML = f"<html><head><title>T</title></head><body><article><h1>Fox</h1><p>{WORDS * 3}</p></article></body></html>"
ANSWER = {
    "items": [{"title": "Fox", "link": "http://x.test/", "snippet": "brown", "pagemap": {"big": "x"}}],
    "queries": {"request": [{"cx": "engine-of-the-test"}]},
}


Page = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""A reply of a server, or what writes one."""


def reply(
    body: bytes | str = b"",
    *,
    status: str = "200 OK",
    kind: str = "text/html; charset=utf-8",
    length: bool = True,
    **headers: str | int,
) -> bytes:
    """One HTTP reply as bytes."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", "connection: close"]
    lines += [f"content-type: {kind}"] if kind else []
    lines += [f"content-length: {len(body)}"] if length else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Web:
    """A server whose pages are bytes, or coroutines that write; it remembers who asked for what."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.port = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split(" ", 2)[1]
            self.asked.append(target)
            page = self.pages.get(target.partition("?")[0], reply("gone", status="404 Not Found"))
            if callable(page):
                await page(writer)
            else:
                writer.write(page)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def web(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Web]:
    made = Web()
    server = await asyncio.start_server(made.answer, host, port)
    made.port = server.sockets[0].getsockname()[1]
    made.url = f"http://{f'[{host}]' if ':' in host else host}:{made.port}"
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def search_server(**fields: Any) -> AsyncIterator[Server]:
    settings = Settings("s", "resources_servers", "google_search", "127.0.0.1", 1, {**CONFIG, **fields})
    server = load_server_class(FOLDER, "app.py")(settings, Client(LocalTransport({})))
    await server.startup()
    try:
        yield server
    finally:
        await server.shutdown()


async def post(server: Server, path: str, **value: Any) -> dict[str, Any]:
    answered = await server.handle(Call(path, json.dumps(value).encode()))
    assert answered.status == 200, answered.body
    answer: dict[str, Any] = answered.json()
    return answer


def browsed(page: Page, path: str = "/", **fields: Any) -> tuple[str, float]:
    """What ``/browse`` makes of one page, and how long it took."""

    async def work() -> tuple[str, float]:
        async with web() as site, search_server(**fields) as server:
            site.pages["/"] = page
            began = time.monotonic()
            text = (await post(server, "/browse", url=site.url + path))["page_content"]
            return text, time.monotonic() - began

    return asyncio.run(work())


def test_a_page_is_read_as_its_text() -> None:
    text, _ = browsed(reply(HTML))
    assert "quick brown fox" in text
    assert "<p>" not in text


PAGES = [
    (reply("plain <b>text</b>", kind="text/plain"), "plain <b>text</b>"),
    (reply('{"a": 1}', kind="application/json"), '{"a": 1}'),
    (reply(HTML, kind=""), "quick brown fox"),
    (reply(HTML.encode("utf-16"), kind="text/html"), "quick brown fox"),
    (reply("grün é".encode("latin-1"), kind="text/plain; charset=utf-8"), "grün é"),
    (reply("grün é".encode("latin-1"), kind="text/plain; charset=klingon-8"), "grün é"),
    (reply("grün é".encode(), kind="text/plain; charset=hex"), "grün é"),
    (reply("grün é".encode(), kind="text/plain; charset=punycode"), "grün é"),
    (reply("Жук".encode("koi8-r"), kind="text/plain; charset=koi8-r"), "Жук"),
    (reply(HTML.replace("<head>", '<head><meta charset="koi8-r">').replace("fox", "жук").encode("koi8-r"),
           kind="text/html"), "quick brown жук"),
    (reply(gzip.compress(HTML.encode()), content_encoding="gzip"), "quick brown fox"),
    (reply(zlib.compress(HTML.encode()), content_encoding="deflate"), "quick brown fox"),
    (reply(zlib.compress(HTML.encode(), wbits=-15), content_encoding="deflate"), "quick brown fox"),
    (reply("", kind="text/html"), "No text found"),
    (reply("<html>" + "<div>" * 20_000, kind="text/html"), "No text found"),
    (reply(b"\x89PNG\r\n\x1a\n\0\0", kind="image/png"), "Error: the page is not text, although it declares"),
    (reply(b"%PDF-1.7 \xe2", kind="application/pdf"), "Error: the page is application/pdf, not text"),
    (reply(b"MZ\0\0\0", kind="text/html"), "Error: the page is not text, although it declares text/html"),
    (reply(HTML, status="500 Oops"), "Error: the page answered 500 Oops"),
    (reply(HTML, status="404 Not Found"), "Error: the page answered 404 Not Found"),
    (reply(b"not gzip at all", content_encoding="gzip"), "Error: the page declares content encoding gzip, but"),
    (reply(gzip.compress(HTML.encode())[:-30], content_encoding="gzip"), "Error: the page was cut off"),
    (reply(b"x", content_encoding="br"), "Error: the page uses the unsupported content encoding 'br'"),
    (reply(b"x", content_encoding="gzip, gzip"), "Error: the page uses the unsupported content encoding 'gzip, gzip'"),
    (reply(HTML)[:-20], "Error: the page cannot be read"),
    (b"", "Error: the page cannot be read"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "Error: the page cannot be read"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "Error: the page cannot be read"),
    (reply(status="302 Found"), "Error: the page answered 302 without a Location header"),
    (reply(status="302 Found", location="http://[bad"), "Error: the page cannot be read"),
    (reply(status="302 Found", location="file:///etc/passwd"), "Error: 'file:///etc/passwd' is not an http://"),
    (reply(status="302 Found", location="/loop"), "Error: the page was redirected more than 3 times"),
]  # fmt: skip


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """What ``/browse`` makes of each of the pages."""

    async def work() -> list[str]:
        async with web() as site, search_server() as server:
            site.pages = {f"/{number}": page for number, (page, _) in enumerate(PAGES)}
            urls = [site.url + path for path in site.pages]
            site.pages["/loop"] = reply(status="302 Found", location="/loop")
            return [(await post(server, "/browse", url=url))["page_content"] for url in urls]

    return asyncio.run(work())


@pytest.mark.parametrize("number", range(len(PAGES)), ids=[expected[:40] for _, expected in PAGES])
def test_pages_of_every_kind(number: int, texts: list[str]) -> None:
    assert PAGES[number][1] in texts[number]


def test_a_long_page_is_shortened_in_the_middle() -> None:
    text, _ = browsed(reply("a" * 5000 + "b" * 5000, kind="text/plain"), max_page_characters=1000)
    assert text == "a" * 500 + "\n[...]\n" + "b" * 500


async def endless(writer: asyncio.StreamWriter, chunk: bytes, seconds: float = 0.0, head: bytes | None = None) -> None:
    writer.write(reply(length=False) if head is None else head)
    while True:
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(seconds)


def bomb() -> bytes:
    """300 kB that unpack to 300 MB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (lambda writer: endless(writer, b"x" * 65_536), "larger than 300,000 bytes"),
        (reply(length=False, content_length=104_857_600), "larger than 300,000 bytes"),
        (reply(bomb(), content_encoding="gzip"), "larger than 300,000 bytes"),
        (reply(gzip.compress(b"x") + bytes(290_000), content_encoding="gzip", kind="text/plain"), "x"),
        (lambda writer: endless(writer, b"x", 0.02), "did not arrive within 1 s"),
        (lambda writer: asyncio.sleep(30), "did not arrive within 1 s"),
        (lambda writer: endless(writer, b"x-a: b\r\n", head=b"HTTP/1.1 200 OK\r\n"), "cannot be read"),
        (lambda writer: endless(writer, b"x" * 65_536, head=b"HTTP/1.1 200 OK\r\nx-a: "), "cannot be read"),
        (lambda writer: endless(writer, b"1\r\nx\r\n", 0.02, reply(length=False, transfer_encoding="chunked")),
         "did not arrive within 1 s"),
    ],
    ids=["endless", "claims-100-MB", "bomb", "tail-after-gzip", "drip", "silent", "headers", "header", "chunks"],
)  # fmt: skip
def test_endless_pages_end(page: Page, message: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text, seconds = browsed(page)
    assert message in text
    assert seconds < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB


REFUSED = "is not a public Internet address"


SPELLINGS = [
    "127.0.0.2", "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "127.0.0.2.", "[::ffff:127.0.0.2]", "[::1]", "[::]",
    "0.0.0.0", "0", "localhost.", "127.0.0.2%00", "①②⑦.0.0.2", "[64:ff9b::7f00:2]", "[2002:7f00:2::]",
]  # fmt: skip


@asynccontextmanager
async def private_web(port: int) -> AsyncIterator[Web]:
    """What no model may reach, on an IPv4 and (where there is one) an IPv6 address of this machine."""
    async with web("127.0.0.2", port) as private:
        private.pages["/"] = reply(HTML)
        try:
            six: asyncio.Server | None = await asyncio.start_server(private.answer, "::1", port)
        except OSError:
            six = None
        yield private
        if six:
            six.close()


class Attempts(NamedTuple):
    """What ``/browse`` said of each spelling, and what the private server and the public one were asked."""

    answers: dict[tuple[str, str], str]
    private: list[str]
    site: list[str]


@pytest.fixture(scope="module")
def attempts() -> Attempts:
    """What ``/browse`` says of each spelling, asked for and redirected to; and what the private servers were asked."""

    async def work() -> Attempts:
        async with web() as site, private_web(site.port) as private, search_server() as server:
            answers: dict[tuple[str, str], str] = {}
            for number, host in enumerate(SPELLINGS):
                target = f"http://{host}:{site.port}/"
                site.pages[f"/{number}"] = reply(status="307 Temporary Redirect", location=target)
                for how, url in (("asked", target), ("redirected", f"{site.url}/{number}")):
                    answers[host, how] = (await post(server, "/browse", url=url))["page_content"]
            return Attempts(answers, private.asked, site.asked)

    return asyncio.run(work())


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("how", ["asked", "redirected"])
def test_every_spelling_of_a_private_address_is_refused(host: str, how: str, attempts: Attempts) -> None:
    text = attempts[0][host, how]
    assert text.startswith("Error: ")
    assert REFUSED in text or host in ("localhost.", "127.0.0.2%00")


def test_nothing_was_asked_of_a_private_address(attempts: Attempts) -> None:
    _, private, site = attempts
    assert private == []
    assert len(site) == len(SPELLINGS)  # the redirects, and not one page after them


@pytest.mark.parametrize(
    "address",
    "10.0.0.1 172.17.0.1 192.168.1.1 127.0.0.1 169.254.169.254 100.64.0.1 100.100.100.200 168.63.129.16 0.0.0.0 "
    "224.0.0.1 255.255.255.255 192.0.0.192 198.18.0.1 240.0.0.1 ::1 :: fe80::1 fd00:ec2::254 fec0::1 ff02::1 "
    "::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::a00:1 2002:a00:1:: 2001:0:4136:e378:8000:63bf:f5ff:fffe 2001:db8::1".split(),
)
def test_private_addresses_are_refused(address: str) -> None:
    with pytest.raises(public_addresses.AddressRefused):
        public_addresses.check(ip_address(address), [])


@pytest.mark.parametrize("address", "8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808".split())
def test_public_addresses_are_not(address: str) -> None:
    public_addresses.check(ip_address(address), [])


class Changing(AbstractResolver):
    """A name server whose answer changes from look-up to look-up."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        hosts = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {"hostname": host, "host": each, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for each in hosts
        ]

    async def close(self) -> None:
        pass


def fetched(resolver: Changing, times: int) -> tuple[list[bytes | str], list[str]]:
    """Fetch the same page of a name some times; the outcome of each, and what was asked of the private server."""
    allowed = [IPv4Network("127.0.0.1/32")]
    limits = page_fetching.PageLimits(2.0, 10_000, 3)

    async def work() -> tuple[list[bytes | str], list[str]]:
        async with web() as site, web("127.0.0.2", site.port) as private:
            site.pages["/"] = reply("public", kind="text/plain")
            session = page_fetching.open_session(allowed, 4, resolver)
            outcomes: list[bytes | str] = []
            for _ in range(times):
                try:
                    url = f"http://rebinding.test:{site.port}/"
                    outcomes.append((await page_fetching.fetch(session, url, limits, allowed)).body)
                except page_fetching.PageError as error:
                    outcomes.append(str(error))
            await session.close()
            return outcomes, private.asked

    return asyncio.run(work())


def test_a_name_that_leads_elsewhere_the_next_time_is_refused_then() -> None:
    resolver = Changing(["127.0.0.1"], ["127.0.0.2"])
    outcomes, requests = fetched(resolver, 2)
    assert outcomes[0] == b"public"
    assert "rebinding.test resolves to 127.0.0.2" in outcomes[1]
    assert requests == []
    assert resolver.asked == 2  # one look-up for a connection: none between the check and the use


def test_of_a_names_addresses_only_the_public_ones_are_used() -> None:
    outcomes, requests = fetched(Changing(["127.0.0.2", "127.0.0.1"]), 3)
    assert outcomes == [b"public"] * 3
    assert requests == []


def test_the_socket_itself_is_checked_last() -> None:
    """Were every other check passed by: what connects is what is checked."""

    async def work() -> list[str]:
        async with web("127.0.0.2") as private:
            session = page_fetching.open_session([], 4)
            with pytest.raises(OSError) as caught:
                await session.get(private.url)
            assert isinstance(caught.value, aiohttp.ClientConnectorError)
            assert isinstance(caught.value.os_error, public_addresses.AddressRefused)
            await session.close()
            return private.asked

    assert asyncio.run(work()) == []


@pytest.mark.parametrize(
    "url",
    ["", "no url", "ftp://x.test/", "http://", "http:///path", "http://[::1", "http://x.test:99999/", "//x.test/",
     "javascript:alert(1)", "file:///etc/passwd", "http://" + "a" * 5000, "http://exa mple.test/", "http://\0.test/",
     "http://x.test:0/", "gopher://127.0.0.1:6379/_INFO", "http://a..b/", "http://" + "a" * 70 + ".test/"],
)  # fmt: skip
def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    async def work() -> str:
        async with search_server() as server:
            text: str = (await post(server, "/browse", url=url))["page_content"]
            return text

    assert asyncio.run(work()).startswith("Error: ")


def test_a_server_that_is_not_there_and_one_without_tls() -> None:
    async def work() -> tuple[str, str]:
        async with web() as site, search_server() as server:
            site.pages["/"] = reply(HTML)
            plain = await post(server, "/browse", url=site.url.replace("http:", "https:"))
            port = site.port
        async with search_server() as server:
            return plain["page_content"], (await post(server, "/browse", url=f"http://127.0.0.1:{port}/"))[
                "page_content"
            ]

    plain, gone = asyncio.run(work())
    assert plain.startswith("Error: ")
    assert gone.startswith("Error: the host '127.0.0.1' cannot be reached")
    assert ssl.OPENSSL_VERSION  # TLS is there: what failed above is the handshake


def test_a_page_that_takes_too_long_to_read_is_given_up_and_the_next_one_is_read() -> None:
    slow = "<html><body>" + "<table><tr><td>b</td></tr></table>" * 8_000

    async def work() -> tuple[str, float, list[str]]:
        async with web() as site, search_server(extraction_timeout_seconds=0.6) as server:
            site.pages |= {"/slow": reply(slow), "/": reply(HTML)}
            await post(server, "/browse", url=site.url)  # the child is there
            began = time.monotonic()
            late = await post(server, "/browse", url=site.url + "/slow")
            seconds = time.monotonic() - began
            fast = [(await post(server, "/browse", url=f"{site.url}/?{n}"))["page_content"] for n in range(2)]
            return late["page_content"], seconds, fast

    late, seconds, _ = asyncio.run(work())
    assert late == "Error: extracting the text of the page took longer than 0.6 s"
    assert seconds < 3


def test_the_child_that_reads_pages_ends_with_the_page_that_kills_it_and_knows_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GYM_SECRET", "s3cret")

    async def work() -> tuple[bytes, str]:
        extraction = page_text.Extraction(1, 20.0)
        assert "quick" in await extraction.text(HTML)
        (worker,) = extraction._idle
        environment = Path(f"/proc/{worker._process.pid}/environ").read_bytes()
        worker._process.kill()
        with pytest.raises(page_fetching.PageError):
            await extraction.text(HTML)
        again = await extraction.text(HTML)
        await extraction.close()
        return environment, again

    environment, again = asyncio.run(work())
    assert b"s3cret" not in environment
    assert "quick" in again


def searched(page: Page, query: str = "fox", times: int = 1, **fields: Any) -> tuple[str, list[str]]:
    """What ``/search`` makes of an engine's reply, and what the engine was asked."""

    async def work() -> tuple[str, list[str]]:
        async with web() as engine, search_server(search_url=engine.url + "/v1", **fields) as server:
            engine.pages["/v1"] = page
            answers = [await post(server, "/search", query=query) for _ in range(times)]
            return answers[-1]["search_results"], engine.asked

    return asyncio.run(work())


def test_results_are_what_a_model_can_use_and_no_more() -> None:
    text, requests = searched(reply(json.dumps(ANSWER), kind="application/json"))
    assert json.loads(text) == {"items": [{"title": "Fox", "link": "http://x.test/", "snippet": "brown"}]}
    assert requests == ["/v1?key=key-of-the-test&cx=engine-of-the-test&q=fox"]


def test_an_answer_is_kept_and_an_error_is_not() -> None:
    assert len(searched(reply(json.dumps(ANSWER)), times=3)[1]) == 1
    assert len(searched(reply("x", status="500 Oops"), times=3)[1]) == 3
    assert len(searched(reply(json.dumps(ANSWER)), times=3, cache_bytes=0)[1]) == 3


def test_callers_who_ask_the_same_at_once_share_one_search() -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(reply(json.dumps(ANSWER)))

    async def work() -> tuple[list[dict[str, Any]], list[str]]:
        async with web() as engine, search_server(search_url=engine.url + "/v1") as server:
            engine.pages["/v1"] = slowly
            impatient = asyncio.create_task(post(server, "/search", query="fox"))
            await asyncio.sleep(0.03)
            others = [asyncio.create_task(post(server, "/search", query=" fox ")) for _ in range(20)]
            await asyncio.sleep(0)
            impatient.cancel()
            return await asyncio.gather(*others), engine.asked

    answers, requests = asyncio.run(work())
    assert all("brown" in answer["search_results"] for answer in answers)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (reply('{"error": {"message": "Quota of engine-of-the-test exceeded"}}', status="429 Too Many"),
         "Error: the search engine answered 429: Quota of **** exceeded"),
        (reply("<html>", status="502 Bad Gateway"), "Error: the search engine answered 502"),
        (reply("not json"), "Error: the search engine did not return a JSON object"),
        (reply("[]"), "Error: the search engine did not return a JSON object"),
        (reply("{}"), '{"items":[]}'),
        (reply('{"items": [1, {"title": 2}], "error": 3}'), '{"items":[{"title":2}]}'),
        (reply(status="302 Found", location="http://elsewhere.test/"), "Error: the search engine answered 302"),
        (b"", "Error: the search engine cannot be reached (ServerDisconnectedError)"),
        (lambda writer: endless(writer, b"x" * 65_536), "Error: the page is larger than 2,000,000 bytes"),
        (lambda writer: endless(writer, b"x", 0.02), "Error: the search engine did not answer within 0.5 s"),
    ],
)  # fmt: skip
def test_a_search_engine_that_fails_is_told_without_the_keys(page: Page, message: str) -> None:
    text, _ = searched(page, search_timeout_seconds=0.5)
    assert text == message
    assert "of-the-test" not in text


@pytest.mark.parametrize("query", ["", "  ", "x" * 3000])
def test_a_query_has_a_length(query: str) -> None:
    text, requests = searched(reply("{}"), query)
    assert text.startswith("Error: a query must have")
    assert requests == []


def test_searches_keep_their_pace_and_nobody_waits_for_ever() -> None:
    async def work() -> tuple[list[str], float, int]:
        fields = {"searches_per_second": 10, "patience_seconds": 0.5}
        async with web() as engine, search_server(search_url=engine.url + "/v1", **fields) as server:
            engine.pages["/v1"] = reply("{}")
            began = time.monotonic()
            answers = await asyncio.gather(*(post(server, "/search", query=f"q{n}") for n in range(30)))
            return [answer["search_results"] for answer in answers], time.monotonic() - began, len(engine.asked)

    answers, seconds, requests = asyncio.run(work())
    assert answers.count("Error: too many searches are waiting; try again later") == 30 - requests
    assert 14 <= requests <= 16  # ten at once, then one every tenth of a second for half a second
    assert 0.4 < seconds < 3


def test_a_pace_never_gives_more_turns_than_its_rate() -> None:
    pace = Pace(rate=5, burst=2)
    assert [pace.turn(10, now=100.0) for _ in range(4)] == pytest.approx([0, 0, 0.2, 0.4])
    assert pace.turn(0.1, now=100.0) is None
    assert [pace.turn(10, now=200.0) for _ in range(3)] == pytest.approx([0, 0, 0.2])


@pytest.mark.parametrize(
    ("content", "reward", "parsed"),
    [
        (r"So it is \boxed{C}.", 1.0, "C"),
        (r"\boxed{ C }", 1.0, "C"),
        (r"\boxed{{C}}", 1.0, "C"),
        (r"\boxed{B} or \boxed{C}", 0.0, "B"),
        (r"\boxed{\frac{1}{2}}", 0.0, r"\frac{1}{2}"),
        (r"\boxed{C", 0.0, ""),
        ("It is C.", 0.0, ""),
        ("", 0.0, ""),
    ],
)
def test_the_boxed_answer_decides(content: str, reward: float, parsed: str) -> None:
    reply = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": content}]}
    verdict = verified([reply])
    assert (verdict["reward"], verdict["parsed_option"]) == (reward, parsed)


@pytest.mark.parametrize(
    "output",
    [[], [{"type": "function_call", "name": "search", "arguments": r"\boxed{C}", "call_id": "1"}], None, ["x"],
     [{"type": "message", "role": "user", "content": r"\boxed{C}"}], [{"type": "message", "content": None}]],
)  # fmt: skip
def test_without_a_last_message_nothing_is_earned(output: Any) -> None:
    assert verified(output)["reward"] == 0.0


def verified(output: Any) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with search_server() as server:
            row = {"responses_create_params": {"input": "q"}, "expected_answer": "C", "extra": 1}
            return await post(server, "/verify", **row, response={"output": output})

    return asyncio.run(work())
