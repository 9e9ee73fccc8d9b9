"""The check of a token in constant time, with a limit on the rate of guesses."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable

from memprof_middleware.web.http import messages
from memprof_middleware.web.http.messages import Request, Response

# Wrong tokens that a network may send at once, and how often one more; and the same for all networks together.
_BURST, _SECONDS_EACH = 10.0, 6.0
_ALL_BURST, _ALL_SECONDS_EACH = 100.0, 0.6
_MOST_NETWORKS = 1024


class TokenCheck:
    """Check a token, and count wrong ones by network.

    The right token is never refused, whatever was sent before: behind a proxy all clients have one address, and one
    of them could lock out all. So the length of the token protects it; the limit slows down a program that guesses,
    or has an old token.

    Args:
        token: the right token.
        monotonic: the monotonic clock, for the rate of guesses.
        realm: what the token gives access to, for the person who must enter it.
    """

    def __init__(self, token: str, monotonic: Callable[[], float], realm: str = "memprof") -> None:
        self.demand = ("WWW-Authenticate", f'Bearer realm="{realm}"')
        self._token, self._monotonic = token.encode(), monotonic
        self._spent: dict[bytes, tuple[float, float]] = {}  # by network: wrong tokens so far, and the time
        self._spent_by_all = (0.0, 0.0)

    def opens(self, given: str) -> bool:
        """Whether this is the token."""
        # Of equal length and unpredictable, so that the time reveals neither the token's length nor a part of it.
        texts = (given.encode(errors="surrogatepass"), self._token)
        return hmac.compare_digest(*(hmac.digest(self._token, text, "sha256") for text in texts))

    def wrong(self, client: str | None) -> int:
        """Count a wrong token. Returns the seconds to wait before the next one; 0 while there are few.

        Args:
            client: the address of the peer, if the server reports it.
        """
        network = _network(client)
        own = self._left(self._spent.get(network, (0.0, 0.0)), _SECONDS_EACH)
        all_ = self._left(self._spent_by_all, _ALL_SECONDS_EACH)
        wait = max((own - _BURST + 1) * _SECONDS_EACH, (all_ - _ALL_BURST + 1) * _ALL_SECONDS_EACH)
        if wait > 0:
            return int(wait + 0.999)
        if len(self._spent) >= _MOST_NETWORKS:  # the limit of all networks holds for the others
            self._spent.clear()
        now = self._monotonic()
        self._spent[network], self._spent_by_all = (own + 1, now), (all_ + 1, now)
        return 0

    def challenge(self, request: Request, words: str) -> Response:
        """The response that asks for the token."""
        return messages.text(request, words, 401, self.demand)

    def refusal(self, request: Request, given: str) -> Response | None:
        """The response to a wrong token; ``None`` for the right one."""
        if self.opens(given):
            return None
        wait = self.wrong(request.client)
        if not wait:
            return self.challenge(request, "that is not the token\n")
        words = f"that is not the token, and there were too many wrong ones: wait {wait} s\n"
        return messages.text(request, words, 429, ("Retry-After", str(wait)))

    def _left(self, spent: tuple[float, float], seconds_each: float) -> float:
        return max(0.0, spent[0] - (self._monotonic() - spent[1]) / seconds_each)


def _network(client: str | None) -> bytes:
    """The network of a client: an IPv4 address, or 64 bits of IPv6; empty if it is no address."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return b""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).packed[:8]
