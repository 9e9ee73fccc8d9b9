"""A token and those who guess it: it is told in constant time, and guesses are slowed, never who knows it."""

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
    """Knows one token, and how many wrong ones came.

    The right one is never refused, whatever others sent before: behind a proxy all clients have one address, and
    anybody could shut everybody out. So what keeps the token is its length; the pace tells a program that guesses, or
    has an old token, to go slowly.

    Args:
        token: what opens.
        monotonic: a clock that is never set, for the pace.
        realm: what the token opens, for who is asked for it.
    """

    def __init__(self, token: str, monotonic: Callable[[], float], realm: str = "memprof") -> None:
        self.demand = ("WWW-Authenticate", f'Bearer realm="{realm}"')
        self._token, self._monotonic = token.encode(), monotonic
        self._spent: dict[bytes, tuple[float, float]] = {}  # by network: guesses spent, and when that was
        self._spent_by_all = (0.0, 0.0)

    def opens(self, given: str) -> bool:
        """Whether this is the token."""
        # Of equal length and unpredictable, so that the time tells neither the token's length nor a part of it.
        texts = (given.encode(errors="surrogatepass"), self._token)
        return hmac.compare_digest(*(hmac.digest(self._token, text, "sha256") for text in texts))

    def wrong(self, client: str | None) -> int:
        """A wrong token came: seconds to wait before the next one; 0 while there are few.

        Args:
            client: address of the peer, if the server tells it.
        """
        network = _network(client)
        own = self._left(self._spent.get(network, (0.0, 0.0)), _SECONDS_EACH)
        all_ = self._left(self._spent_by_all, _ALL_SECONDS_EACH)
        wait = max((own - _BURST + 1) * _SECONDS_EACH, (all_ - _ALL_BURST + 1) * _ALL_SECONDS_EACH)
        if wait > 0:
            return int(wait + 0.999)
        if len(self._spent) >= _MOST_NETWORKS:  # who has that many is held by the pace of all
            self._spent.clear()
        now = self._monotonic()
        self._spent[network], self._spent_by_all = (own + 1, now), (all_ + 1, now)
        return 0

    def challenge(self, request: Request, words: str) -> Response:
        """Ask for the token."""
        return messages.text(request, words, 401, self.demand)

    def refusal(self, request: Request, given: str) -> Response | None:
        """What to answer to who sent this as the token; ``None``: it is."""
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
    """What one guesser has: an IPv4 address, or 64 bits of IPv6; empty for what is no address."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return b""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).packed[:8]
