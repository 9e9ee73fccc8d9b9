"""Tell a WSGI application from an ASGI one by how it is called, so that a mistake is said before the first request."""

from __future__ import annotations

from types import CodeType, FunctionType, MethodType

# Flags of the code of a function (see the module inspect, which is not loaded for two numbers).
_VARIABLE, _COROUTINE = 0x04, 0x80


def is_asgi(app: object) -> bool:
    """Whether an application is called as a coroutine function, which a WSGI one never is."""
    code, _ = _called(app)
    return code is not None and bool(code.co_flags & _COROUTINE)


def is_wsgi(app: object) -> bool:
    """Whether an application takes two arguments, ``environ`` and ``start_response``, and is no coroutine function."""
    code, own = _called(app)
    return code is not None and not code.co_flags & (_VARIABLE | _COROUTINE) and code.co_argcount - own == 2


def _called(app: object) -> tuple[CodeType | None, int]:
    """The code that runs when an application is called, and how many of its arguments are not the server's.

    No code where that is not certain: an object that a decorator made may look like the function that it calls.
    """
    if type(app) is FunctionType:
        return app.__code__, 0
    call = app.__func__ if type(app) is MethodType else _method_of(type(app))
    return (call.__code__, 1) if type(call) is FunctionType else (None, 0)


def _method_of(kind: type) -> object:
    """``__call__`` as a class has it: a static method has no argument for the object."""
    return next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
