"""Access to the page: one token, as a bearer token or through a form that sets a cookie."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from html import escape

from memprof_middleware.web.html.shell import page
from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response
from memprof_middleware.web.http.token_check import TokenCheck

COOKIE = "memprof"
_COOKIE_SECONDS = 12 * 3600


class Guard:
    """Check the token, as it is or as a signed cookie, and limit the rate of guesses without blocking a thread.

    Args:
        token: gives access to everything.
        clock: seconds since the epoch, for the end of a cookie.
        monotonic: the monotonic clock, for the rate of guesses.
    """

    def __init__(self, token: str, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._key, self._clock = token.encode(), clock
        self._token = TokenCheck(token, monotonic)

    def refusal(self, request: Request) -> Response | None:
        """The response to a request without access; ``None`` for one with access."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":  # other schemes are between the browser and a proxy
            return self._token.refusal(request, given.strip())
        if request.vouched or self._has_cookie(request):
            if request.method in {"GET", "HEAD"} or same_origin(request):
                return None
            return messages.text(request, "this request was not sent by a page of ours\n", 403)
        if request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", ""):
            return messages.redirect(f"{request.up}login")
        return self._token.challenge(request, "a token is needed: send it as a bearer token, or log in\n")

    def login(self, request: Request) -> Response:
        """The response to the login form: shown, accepted or refused."""
        if request.method in {"GET", "HEAD"}:
            return messages.html(request, _form(""))
        if request.method != "POST":
            return messages.text(request, "use GET or POST\n", 405, ("Allow", "GET, HEAD, POST"))
        if not same_origin(request):
            words = "This form was not sent by a page of ours (a proxy must pass the Host header on)."
            return messages.html(request, _form(words), 403)
        if not self._token.opens(request.secret("token")):
            wait = self._token.wrong(request.client)
            if not wait:
                return messages.html(request, _form("Wrong token."), 401, self._token.demand)
            words = f"Wrong token, and there were too many wrong ones: wait {wait} s."
            return messages.html(request, _form(words), 429, ("Retry-After", str(wait)))
        until = f"{int(self._clock()) + _COOKIE_SECONDS:x}"
        # Without a path it belongs to the folder of the form, whatever the mount: the application never
        # sees it.
        flags = "; HttpOnly; SameSite=Strict" + ("; Secure" if request.secure else "")
        cookie = f"{COOKIE}={until}.{self._signature(until)}; Max-Age={_COOKIE_SECONDS}{flags}"
        return messages.redirect("./", 303, ("Set-Cookie", cookie))

    def _has_cookie(self, request: Request) -> bool:
        for part in request.headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            until, _, signature = value.partition(".")
            if name == COOKIE and hmac.compare_digest(_bytes(signature), self._signature(until).encode()):
                return int(until, 16) > self._clock()
        return False

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, b"memprof page until " + _bytes(until), hashlib.sha256).hexdigest()


def same_origin(request: Request) -> bool:
    """Whether a page of this site sent the request, by headers that only the browser can set."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Not X-Forwarded-Host: any client can set it, and a proxy that changes the host can be configured not to.
    sender = request.headers.get("origin", "").partition("://")[2]
    return sender != "" and sender.lower() == request.headers.get("host", "").lower()


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _form(words: str) -> str:
    alert = f'<p class="told" id="told" role="alert">{escape(words)}</p>' if words else ""
    refers = ' aria-describedby="told" aria-invalid="true"' if words else ""
    return page(
        "memprof: log in",
        f"""<section class="card login"><h1>memprof</h1>{alert}<form method="post" action="login">
<label for="token">Token <small>The value of MEMPROF_TOKEN on the server. Ask whoever deployed it.</small></label>
<input name="user" type="text" value="memprof" autocomplete="username" hidden>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus{refers}>
<button class="btn primary" type="submit">Show the memory page</button></form></section>""",
    )
