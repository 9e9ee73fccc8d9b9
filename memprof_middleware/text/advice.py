"""Advice on a leak: the first pattern that fits, what to do about it, and a few lines of an example."""

from __future__ import annotations

import re
import typing

from memprof_middleware.model import Leak
from memprof_middleware.model.value import valueclass
from memprof_middleware.text import signs
from memprof_middleware.text.recipes import RECIPES, Recipe
from memprof_middleware.text.signs import Sign, Test
from memprof_middleware.text.subject import Subject

Language = typing.Literal["python", "shell"]
_OPTION = re.compile(r"\[([^\[\]]*)\]")
_PLACE = re.compile(r"\{([^{}]+)\}")
# Where the sentence needs a word and the word is not known.
_INSTEAD = {
    "holder": "a container",
    "type": "entries",
    "coroutine": "one coroutine",
    "callback": "one callback",
    "logger": "a logger",
    "client": "client",
    "library": "library",
    "waited": "a lock",
}


@valueclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What to do about a leak.

    Attributes:
        key: of the pattern, as in ``docs/advice.md``; ``"held"`` or ``"unknown"`` where none fits.
        fix: sentences for whoever writes the code; names are in backticks, as in Markdown.
        code: a few lines of an example; may be empty.
        language: of the example.
        likely: the pattern fits in part only; the reader is to be told "likely".
    """

    key: str
    fix: str
    code: str = ""
    language: Language = "python"
    likely: bool = False

    @property
    def plain(self) -> str:
        """The sentences without backticks, for logs and alerts, "Likely: " in front where they are not sure."""
        text = self.fix.replace("`", "")
        return f"Likely: {text[0].lower()}{text[1:]}" if self.likely and text else text


@valueclass(frozen=True, slots=True)
class Pattern:
    """A row of the table: what is recognised, and by what.

    Attributes:
        key: its name.
        sign: how well it fits a leak, from what the leak says of itself.
        seen: how well it fits where the heap has found it at the beginning of the path; the heap knows some only.
    """

    key: str
    sign: Test
    seen: Sign = Sign.NO

    @property
    def recipe(self) -> Recipe:
        """What is said, and the example."""
        return RECIPES[self.key]


# Of those that fit best the first counts. The last two take whatever is left.
PATTERNS: tuple[Pattern, ...] = (
    Pattern("requests_unfinished", signs.requests_unfinished),
    Pattern("waiters", signs.waiters),
    Pattern("task_unfinished", signs.task_unfinished),
    Pattern("timer_pending", signs.timer_pending),
    # The list of loggers grows by what the program asks for, whichever library it was met in.
    Pattern("logger_per_request", signs.logger_per_request),
    Pattern("of_a_library", signs.never, Sign.SURE),
    Pattern("exception_reused", signs.exception_reused),
    Pattern("exception_kept", signs.exception_kept),
    Pattern("lru_method", signs.lru_method, Sign.SURE),
    Pattern("lru_unbounded", signs.never, Sign.SURE),
    Pattern("cache_too_large", signs.never, Sign.SURE),
    Pattern("log_handler", signs.log_handler, Sign.SURE),
    Pattern("receivers", signs.receivers),
    Pattern("callback_registry", signs.callback_registry),
    Pattern("finalizer", signs.finalizer),
    Pattern("query_log", signs.query_log),
    Pattern("metric_labels", signs.metric_labels, Sign.SURE),
    Pattern("class_per_request", signs.class_per_request),
    Pattern("client_per_request", signs.client_per_request),
    Pattern("thread_kept", signs.thread_kept, Sign.SURE),
    Pattern("threads_alive", signs.threads_alive),
    Pattern("removes_too_little", signs.never, Sign.ANY),
    Pattern("module_mapping", signs.never, Sign.ANY),
    Pattern("module_list", signs.never, Sign.ANY),
    Pattern("cycles_gc_off", signs.cycles_gc_off, Sign.SURE),
    Pattern("ttl_rising", signs.never, Sign.LIKELY),
    Pattern("c_extension_refs", signs.c_extension_refs),
    Pattern("native", signs.native),
    Pattern("mapped", signs.mapped),
    Pattern("allocator_retention", signs.allocator_retention),
    Pattern("held", signs.held),
    Pattern("unknown", signs.unknown),
)
_BY_KEY = {pattern.key: pattern for pattern in PATTERNS}
_NONE = frozenset({"held", "unknown"})


def pattern_of(leak: Leak, seen: str = "") -> str:
    """The key of the pattern that fits a leak best; empty if none does.

    Args:
        leak: what is known of it.
        seen: the key of what the heap has found at the beginning of the path; empty: nothing special.
    """
    key = _best(Subject(leak), seen)[0].key
    return "" if key in _NONE else key


def advice_for(leak: Leak) -> Advice:
    """The advice on a leak: by its pattern, where that is known, else by the row of the table that fits best."""
    subject = Subject(leak)
    known = _BY_KEY.get(leak.pattern)
    row, sign = _best(subject) if known is None else (known, max(known.sign(subject), known.seen))
    recipe = row.recipe
    return Advice(
        key=row.key,
        fix=filled(recipe.fix, subject.words()),
        code=recipe.code,
        language=recipe.language,
        likely=sign is Sign.LIKELY,
    )


def _best(subject: Subject, seen: str = "") -> tuple[Pattern, Sign]:
    fits = ((row, max(row.seen if row.key == seen else Sign.NO, row.sign(subject))) for row in PATTERNS)
    return max(fits, key=lambda fit: fit[1])


def filled(text: str, words: dict[str, str]) -> str:
    """A text with its words: what is in brackets is left out unless all its words are known.

    Args:
        text: with placeholders such as ``{holder}``, and brackets around what may be missing.
        words: by placeholder.
    """

    def option(match: re.Match[str]) -> str:
        inner = match[1]
        return inner if all(name in words for name in _PLACE.findall(inner)) else ""

    def word(match: re.Match[str]) -> str:
        name = match[1]
        return words.get(name) or _INSTEAD[name]

    # Options first: words come in last, so that no name of the application is read as a placeholder.
    return _capital(_PLACE.sub(word, _OPTION.sub(option, text)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
