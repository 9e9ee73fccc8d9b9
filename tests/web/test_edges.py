"""What strangers may send to the page and the metrics: a right answer, never an exception, and nothing that stays."""

from __future__ import annotations

import gc
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memprof_middleware import Config, MemoryProfiler
from memprof_middleware.testing import FakeClock, FakeProbes
from memprof_middleware.web.http import wsgi
from memprof_middleware.web.http.exposition import MetricsEndpoint
from memprof_middleware.web.http.messages import MOST_BYTES, Request, Response, body_size
from memprof_middleware.web.http.page import PageEndpoint
from tests.asking import scrape

TOKEN = "open-sesame-42"
BEARER = {"authorization": f"Bearer {TOKEN}"}
SAME = {"sec-fetch-site": "same-origin"}


class Server:
    """Page and metrics of one profiler."""

    def __init__(self) -> None:
        config = Config(background=False, token=TOKEN, metrics_token=TOKEN)
        self.profiler = MemoryProfiler(config, clock=FakeClock(), probes=FakeProbes())
        self.profiler.step()
        self.page, self.metrics = PageEndpoint(self.profiler), MetricsEndpoint(self.profiler)

    def ask(self, path: str = "/", method: str = "GET", headers: Any = BEARER, **more: Any) -> Response:
        return self.page.respond(Request(method=method, path=f"/memprof{path}", headers=headers, **more))

    def wsgi(self, length: str, path: str = "/login") -> str:
        told: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": f"/memprof{path}",
            "HTTP_SEC_FETCH_SITE": "same-origin",
            "wsgi.input": io.BytesIO(b"token=" + TOKEN.encode()),
            "CONTENT_LENGTH": length,
        }
        wsgi.respond(self.page, environ, lambda status, headers: told.append(status))  # type: ignore[arg-type,return-value]
        return told[0][:3]


@pytest.fixture(scope="module")
def server() -> Any:
    made = Server()
    yield made
    made.profiler.stop()
    assert not made.profiler.failures.counts, "a request made the profiler fail"


@pytest.mark.parametrize(
    ("length", "size", "status"),
    [
        ("", 0, "401"),
        ("0", 0, "401"),
        ("20", 20, "303"),
        ("0000000020", 20, "303"),
        (str(MOST_BYTES), MOST_BYTES, "303"),
        (str(MOST_BYTES + 1), MOST_BYTES + 1, "413"),
        ("9" * 5000, MOST_BYTES + 1, "413"),
        ("²", -1, "400"),
        ("٣", -1, "400"),
        ("-5", -1, "400"),
        ("+5", -1, "400"),
        ("5_0", -1, "400"),
        ("12, 12", -1, "400"),
        ("0x10", -1, "400"),
        ("five", -1, "400"),
    ],
    ids=lambda value: str(value)[:10],
)
def test_content_length(server: Server, length: str, size: int, status: str) -> None:
    """Digits are a number, a large one is too large, anything else is a bad request."""
    assert body_size(length) == size
    assert server.wsgi(length) == status


@pytest.mark.parametrize("fields", [21, 50, 16_000])
def test_too_many_fields(server: Server, fields: int) -> None:
    """More fields than any form of ours has are a bad request, in a form and in a query, before the token and after."""
    sent = "&".join("a" for _ in range(fields))
    form = server.ask("/login", "POST", SAME, body=sent.encode())
    assert (form.status, form.body) == (400, b"at most 20 fields are read here\n")
    assert server.ask("/flame", query=sent).status == 400
    assert server.ask("/flame", "POST", query=sent, body=sent.encode()).status == 400


def test_a_path_without_end(server: Server) -> None:
    """The answer does not grow with the path."""
    answer = server.ask("/" + "/" * 60_000, headers={"accept": "text/html"})
    assert answer.status == 404
    assert sum(len(value) for _, value in answer.headers) + len(answer.body) < 1000


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=foo",
        "application/openmetrics-text; version=",
        "application/openmetrics-text; version=²",
        "application/openmetrics-text; version=1.0.0.0.0.0",
        f"application/openmetrics-text; version={'9' * 5000}",
        "application/openmetrics-text; version=1.0.0\r\nX-Forged: 1",
        "application/openmetrics-text; escaping=\u2028",
        "text/plain; version=foo",
        "text/plain; version=99.0.0; escaping=x",
        ";" * 60_000,
        "," * 60_000,
        "text/plain" + " " * 60_000 + ";x",
        "text/plain" + ";q=1" * 20_000 + "!",
        "\udcff",
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_any_accept_header(server: Server, accept: str) -> None:
    """Whatever a client accepts, it gets metrics, and nothing of its header comes back."""
    answer = scrape(server.metrics, "GET", BEARER | {"accept": accept})
    assert answer.status == 200
    content_type = dict(answer.headers)["Content-Type"]
    assert content_type.isascii()
    assert content_type.isprintable()
    assert len(content_type) < 120
    assert not any(part in content_type for part in ("foo", "99", "Forged"))


def test_many_wrong_tokens_shut_nobody_out() -> None:
    """After 1,000 wrong tokens from one address and 1,000 from many the right one still opens page and metrics."""
    server = Server()
    wrong = {"authorization": "Bearer wrong"}
    for clients in (["10.0.0.1"] * 1000, [f"10.1.{number // 250}.{number % 250}" for number in range(1000)]):
        for ask in (
            lambda client: server.ask(headers=wrong, client=client),
            lambda client: scrape(server.metrics, "GET", wrong, client),
            lambda client: server.ask("/login", "POST", SAME, body=b"token=wrong", client=client),
        ):
            found = [ask(client) for client in clients]
            assert found[-1].status == 429
            assert int(dict(found[-1].headers)["Retry-After"]) >= 1
            assert {answer.status for answer in found} <= {401, 429}
        assert server.ask(client=clients[-1]).status == 200
        assert scrape(server.metrics, "GET", BEARER, clients[-1]).status == 200
        right = server.ask("/login", "POST", SAME, body=b"token=" + TOKEN.encode(), client=clients[-1])
        assert right.status == 303
    server.profiler.stop()


def test_nothing_grows_with_what_strangers_send() -> None:
    """3,000 addresses with long tokens, long paths, cookies and queries, each different: less than 500 kB stay."""
    server = Server()

    def attack(first: int, last: int) -> None:
        for number in range(first, last):
            client = f"2001:{number % 65536:x}:{number:x}::{number:x}"
            long = f"{number}" + "x" * 4000
            wrong = {"authorization": f"Bearer {long}", "cookie": f"memprof={long}.{long}", "accept": long}
            server.ask(f"/{number}/{long}", headers=wrong, client=client, query=f"{long}={long}")
            server.ask(f"/flame/{number}.{long}"[:180], headers=wrong, client=client)
            server.ask("/login", "POST", SAME, client=client, body=f"token={long}".encode())
            scrape(server.metrics, "GET", wrong, client)

    attack(0, 200)
    gc.collect()
    tracemalloc.start()
    try:
        attack(200, 3200)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 500_000
    server.profiler.stop()


def test_nothing_that_was_sent_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """What stood in headers, cookies, queries, forms and paths is in no answer, no metric, no state and no log line."""
    server, secret = Server(), "s3cret-of-a-stranger"
    names = ("authorization", "cookie", "accept", "origin", "host", "user-agent", "x-forwarded-for", "x-api-key")
    sent = dict.fromkeys(names, f"{secret}\nforged: 1")
    for opened in ({}, BEARER):
        for path in (
            "/",
            "/login",
            "/flame",
            f"/flame/{secret}",
            f"/{secret}",
            "/save",
            "/api/state.json",
            f"/bundle/{secret}",
        ):
            for method in ("GET", "POST", secret):
                body = f"token={secret}&user={secret}".encode()
                answer = server.ask(path, method, sent | opened, query=f"x={secret}", body=body, client=secret)
                assert secret.encode() not in answer.body
                assert secret not in str(answer.headers)
        answer = scrape(server.metrics, "GET", sent | opened, secret)
        assert secret.encode() not in answer.body
        assert secret not in str(answer.headers)
    assert secret not in caplog.text
    assert not server.profiler.failures.counts
    server.profiler.stop()


PATHS = r"""
/api//state.json //api/state.json /./ /../ /.. /%2e%2e/ /..%2f /api/state.json/ /api/state.json%00 /api\state.json
/API/STATE.JSON /static/../api/state.json /static/..;/api/state.json /static/%2e%2e/save /login/../api/state.json
/login/ /login/save /login;/save /login%2fsave /save /save/ /save?x /flame /flame/ /flame/.. /flame/../save /bundle
/bundle/ /bundle/x.json /;/save /static /static/ /static// /static/memprof.css
"""


@pytest.mark.parametrize("path", [*PATHS.split(), "/\0", "/login\0", "/\r\nX: 1", "/\u2028"], ids=ascii)
def test_no_path_leads_around_the_token(server: Server, path: str) -> None:
    """Without the token there are refusals, and of files only our own style sheets and scripts."""
    for headers in ({}, {"x-original-url": "/static/x", "x-rewrite-url": "/login"}, {"accept": "text/html"}):
        answer = server.ask(path, headers=headers)
        assert answer.status in {303, 401, 404}
        assert b"workers" not in answer.body
        assert all(value.isprintable() for _, value in answer.headers)


NAMES_OUTSIDE = r"../auth.py ..%2fauth.py /etc/passwd ../../../../etc/passwd ..\auth.py . .. %2e%2e/auth.py"


@pytest.mark.parametrize("name", [*NAMES_OUTSIDE.split(), "", "\0"], ids=ascii)
def test_no_name_leads_out_of_a_folder(server: Server, name: str) -> None:
    """With the token neither static files, evidence nor flame graphs give anything but what is theirs."""
    for path in ("/static/", "/bundle/", "/flame/", "/bundle/x/", "/flame/x."):
        assert server.ask(f"{path}{name}").status == 404


@pytest.mark.parametrize(
    "cookie",
    [
        *[
            "memprof=",
            "memprof=.",
            "memprof=..",
            "memprof=ffffffff",
            "memprof=ffffffff.",
            "memprof=zz.00",
            "memprof=-1.x",
            "=",
            ";;;",
        ],
        *(
            f"memprof={value}"
            for value in ("1.\udcff", "\xe9.\xe9", "\0", TOKEN, f"{TOKEN}.{TOKEN}", "f" * 60_000 + ".0")
        ),
        "memprof=1.0; " * 500,
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_no_cookie_can_be_made_up(server: Server, cookie: str) -> None:
    """Only what the login gave opens."""
    assert server.ask(headers={"cookie": cookie}).status == 401


TEXTS = st.one_of(
    st.text(alphabet=st.characters(), max_size=30),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=30),
    st.sampled_from(
        ["", "²", "9" * 5000, "-1", "\udcff", "\r\n", "http://[", "a" * 3000, "%", "%ff", "&" * 40, "a=1&" * 40]
    ),
    st.from_regex(r"(?:[a-z*]+/?[a-z*-]*;? ?(?:q|version|escaping)=[0-9a-z.]*,? ?)+", fullmatch=True).map(
        lambda t: t[:200]
    ),
)
NAMES = [
    "accept",
    "accept-encoding",
    "authorization",
    "cookie",
    "origin",
    "host",
    "sec-fetch-site",
    "x-forwarded-host",
    "x-forwarded-proto",
]
VALUES = TEXTS | st.sampled_from(
    [
        f"Bearer {TOKEN}",
        "Bearer x",
        "text/html",
        "application/json",
        "gzip",
        "same-origin",
        "application/openmetrics-text",
    ]
)
WHERE = ["", "/", "/login", "/flame", "/flame/x", "/save", "/api/state.json", "/bundle/x", "/static/x"]
ANSWERS = {200, 303, 308, 400, 401, 403, 404, 405, 409, 413, 429}


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "HEAD", "POST"]) | TEXTS,
    st.sampled_from(WHERE) | TEXTS.map(lambda text: f"/{text}"),
    TEXTS,
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    st.binary(max_size=60) | TEXTS.map(lambda text: text.encode(errors="replace")),
    st.none() | TEXTS,
    st.booleans(),
)
def test_any_request_is_answered(
    server: Server,
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    client: str | None,
    opened: bool,
) -> None:
    """Whatever is sent, the answer is one that we give on purpose, its headers are ones that any server can send."""
    sent = headers | BEARER if opened else headers
    page = server.ask(path, method, sent, query=query, body=body, client=client)
    for answer in (page, scrape(server.metrics, method, sent, client)):
        assert answer.status in ANSWERS
        assert answer.status_line
        for name, value in answer.headers:
            assert f"{name}{value}".isascii()
            assert f"{name}{value}".isprintable()
    assert not server.profiler.failures.counts


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_any_content_length_is_answered(server: Server, length: str) -> None:
    """Over WSGI too, where the server hands on what it was sent."""
    assert server.wsgi(length) in {"303", "400", "401", "413", "429"}
