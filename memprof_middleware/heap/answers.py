"""The answers of the searches for holders and definitions, which are loaded once something leaks."""

from __future__ import annotations

from memprof_middleware.model.value import valueclass


@valueclass(frozen=True, slots=True)
class Holding:
    """Retaining paths of a sample of one type's instances.

    Attributes:
        paths: the shortest path to each sampled instance, without what differs between them, and the share of the
            sample that has it; the most frequent first. Such as ``app.SESSIONS[*].user``, ``task app.watchdog.upload``,
            ``frame of app.worker.batch``; or what :mod:`memprof_middleware.model.holders` has, where it is shown that
            no path leads to them.
        sampled: instances looked at.
        complete: the time sufficed for all of them.
        named: what most of the sample stand for, where their type says nothing: ``timer app.expire``; empty else.
    """

    paths: tuple[tuple[str, float], ...] = ()
    sampled: int = 0
    complete: bool = True
    named: str = ""


@valueclass(frozen=True, slots=True)
class Definition:
    """The place in the source where a retaining path begins.

    Attributes:
        file: the source file as a reader knows it, such as ``shop/cart.py``; empty if it is not known.
        line: the line of the assignment, or of the class or function; 0 if it is not known.
        filled_in: the functions that add, such as ``add_to_cart, line 31 of cart.py``; at most three.
        pattern: the key of the advice that fits what is there; empty: nothing special.
        tried: where nobody was found who adds, what was searched, in a sentence.
        waits_at: of tasks the line on which they wait, as ``shop/mail.py:19``; empty: not known.
        removed_in: a function that removes from it, in the same words; empty: none was found.
    """

    file: str = ""
    line: int = 0
    filled_in: tuple[str, ...] = ()
    pattern: str = ""
    tried: str = ""
    waits_at: str = ""
    removed_in: str = ""
