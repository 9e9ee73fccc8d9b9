"""Who may look: one token, as a bearer or through a form that sets a cookie."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from html import escape
from urllib.parse import urlsplit

from memprof_middleware.outputs.exposition import Response
from memprof_middleware.web import messages
from memprof_middleware.web.messages import Request
from memprof_middleware.web.shell import plain_page

COOKIE = "memprof"
_COOKIE_SECONDS = 12 * 3600
# Wrong tokens that an address may send at once, and how often one more; and the same for all addresses together.
_BURST, _SECONDS_EACH = 10.0, 6.0
_ALL_BURST, _ALL_SECONDS_EACH = 100.0, 0.6
_MOST_CLIENTS = 1024


class Guard:
    """Knows the token, and slows those who guess it.

    A guess is refused at once when there were too many, whether it is right or not: nobody waits in a thread of the
    host. A browser that is logged in is not concerned: its cookie is signed and cannot be guessed.

    Args:
        token: opens everything.
        clock: seconds since the epoch, for the end of a cookie.
        monotonic: a clock that is never set, for the pace of guesses.
    """

    def __init__(self, token: str, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._token, self._clock = token.encode(), clock
        self._pace = _Pace(monotonic)

    def refusal(self, request: Request) -> Response | None:
        """What to answer instead; ``None`` for who may pass."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":  # any other scheme is between the browser and a proxy
            return self._judge_bearer(request, given.strip())
        if self._has_cookie(request):
            if request.method in {"GET", "HEAD"} or same_origin(request):
                return None
            return messages.text(request, "this request was not sent by a page of ours\n", 403)
        if request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", ""):
            return messages.redirect(f"{request.up}login")
        return _unknown(request, "a token is needed: send it as a bearer token, or log in\n")

    def login(self, request: Request) -> Response:
        """The form, and what becomes of it."""
        if request.method in {"GET", "HEAD"}:
            return messages.html(request, _form(""))
        if request.method != "POST":
            return messages.text(request, "use GET or POST\n", 405, ("Allow", "GET, HEAD, POST"))
        if not same_origin(request):
            return messages.html(request, _form("This form was not sent by a page of ours."), 403)
        wait = self._pace.wait(request.client)
        if wait:
            words = f"Too many wrong tokens: try again in {wait} s."
            return messages.html(request, _form(words), 429, ("Retry-After", str(wait)))
        if not self._is_token(request.field("token")):
            self._pace.note(request.client)
            return messages.html(request, _form("That is not the token."), 401, _CHALLENGE)
        until = f"{int(self._clock()) + _COOKIE_SECONDS:x}"
        # Without a path it belongs to the folder of the form, whatever stands before that: the application never
        # sees it.
        flags = "; HttpOnly; SameSite=Strict" + ("; Secure" if request.secure else "")
        cookie = f"{COOKIE}={until}.{self._signature(until)}; Max-Age={_COOKIE_SECONDS}{flags}"
        return messages.redirect("./", 303, ("Set-Cookie", cookie))

    def _judge_bearer(self, request: Request, given: str) -> Response | None:
        wait = self._pace.wait(request.client)
        if wait:
            words = f"too many wrong tokens: try again in {wait} s\n"
            return messages.text(request, words, 429, ("Retry-After", str(wait)))
        if self._is_token(given):
            return None
        self._pace.note(request.client)
        return _unknown(request, "that is not the token\n")

    def _is_token(self, given: str) -> bool:
        # Of equal length and unpredictable, so that the time tells neither the token's length nor a part of it.
        digests = (hmac.digest(self._token, text, "sha256") for text in (given.encode(errors="replace"), self._token))
        return hmac.compare_digest(*digests)

    def _has_cookie(self, request: Request) -> bool:
        for part in request.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            until, _, signature = value.partition(".")
            if name == COOKIE and hmac.compare_digest(signature.encode(), self._signature(until).encode()):
                return int(until, 16) > self._clock()
        return False

    def _signature(self, until: str) -> str:
        return hmac.new(self._token, b"memprof page until " + until.encode(), hashlib.sha256).hexdigest()


def same_origin(request: Request) -> bool:
    """Whether a page of this very site sent the request, by what only the browser can set."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    sender = urlsplit(request.headers.get("origin", "")).netloc.lower()
    hosts = {request.headers.get(name, "").lower() for name in ("host", "x-forwarded-host")}
    return sender != "" and sender in hosts


class _Pace:
    """Wrong tokens by client: a bucket of guesses that fills slowly, for each and for all together."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._spent: dict[str, tuple[float, float]] = {}  # guesses spent, and when that was
        self._spent_by_all = (0.0, 0.0)

    def wait(self, client: str | None) -> int:
        """Seconds until the next guess; 0: now."""
        own = self._left(self._spent.get(client or "", (0.0, 0.0)), _SECONDS_EACH) - _BURST + 1
        all_ = self._left(self._spent_by_all, _ALL_SECONDS_EACH) - _ALL_BURST + 1
        return max(0, int(max(own * _SECONDS_EACH, all_ * _ALL_SECONDS_EACH) + 0.999))

    def note(self, client: str | None) -> None:
        """A wrong token came."""
        now, key = self._monotonic(), client or ""
        if len(self._spent) >= _MOST_CLIENTS:  # who has that many addresses is held by the pace of all
            self._spent.clear()
        self._spent[key] = self._left(self._spent.get(key, (0.0, 0.0)), _SECONDS_EACH) + 1, now
        self._spent_by_all = self._left(self._spent_by_all, _ALL_SECONDS_EACH) + 1, now

    def _left(self, spent: tuple[float, float], seconds_each: float) -> float:
        return max(0.0, spent[0] - (self._monotonic() - spent[1]) / seconds_each)


_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="memprof"')


def _unknown(request: Request, words: str) -> Response:
    return messages.text(request, words, 401, _CHALLENGE)


def _form(words: str) -> str:
    told = f'<p class="told" id="told" role="alert">{escape(words)}</p>' if words else ""
    refers = ' aria-describedby="told" aria-invalid="true"' if words else ""
    return plain_page(
        "memprof: log in",
        f"""<section class="login"><h1>memprof</h1>{told}<form method="post" action="login">
<label for="token">Token <small>MEMPROF_TOKEN of this server</small></label>
<input name="user" type="text" value="memprof" autocomplete="username" hidden>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus{refers}>
<button class="btn primary" type="submit">Show the memory page</button></form></section>""",
    )
