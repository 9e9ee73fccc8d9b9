"""The first finder in ``sys.meta_path``: after the import of a server's module, it replaces one method of it.

Any Python 3 may load it, and nothing but ``sys`` and ``os`` is loaded by it.
"""

import os
import sys

# Modules of servers and frameworks whose import is waited for; ``memprof_run.patches`` says what is done then.
MODULES = frozenset(
    {
        "cheroot.wsgi",
        "daphne.server",
        "django.core.handlers.base",
        "flask.app",
        "gevent.pywsgi",
        "granian.asgi",
        "granian.wsgi",
        "gunicorn.workers.base",
        "gunicorn.workers.gasgi",
        "hypercorn.app_wrappers",
        "uvicorn.config",
        "waitress.server",
        "werkzeug.serving",
        "wsgiref.simple_server",
    }
)
_SAID = "_MEMPROF_RUN_SAID"


class Finder:
    """Finds what the others find, and has the module patched when it has been run."""

    def find_spec(self, name, path=None, target=None):
        """As Python asks it."""
        if name not in MODULES:
            return None
        for other in sys.meta_path:
            find = None if other is self else getattr(other, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                _have_patched(spec)
                return spec
        return None


def _have_patched(spec):
    loader = spec.loader
    run = getattr(loader, "exec_module", None)
    if run is None:
        return

    def exec_module(module):
        del loader.exec_module
        run(module)
        _patch(module)

    loader.exec_module = exec_module


def _patch(module):
    """Never raises: what goes wrong is one line, and the server runs on."""
    try:
        from memprof_run.patches import patch
    except Exception as error:
        say("not watched: {}; install memprof-middleware into the environment of {}".format(error, sys.executable))
        return
    try:
        patch(module)
    except Exception as error:
        say("{} is not watched: {}: {}".format(module.__name__, type(error).__name__, error))


def say(words):
    """One line on standard error, once for a command and all that it starts."""
    if _SAID not in os.environ:
        os.environ[_SAID] = "1"
        try:
            sys.stderr.write("memprof run: " + words + "\n")
            sys.stderr.flush()
        except Exception:
            pass


def install():
    """Stand first."""
    sys.meta_path.insert(0, Finder())
