"""Found first in PYTHONPATH by each interpreter under ``memprof run``: waits for a server's module, and loads nothing.

Any Python 3 may meet it. The ``sitecustomize`` that it hides is run first.
"""

import os
import sys


def _run_hidden(here):
    """Run the module of this name that would be found without us, in this one's place."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if path != here])
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _start():
    here = os.path.dirname(os.path.abspath(__file__))
    # The application's own path stays as it was. PYTHONPATH keeps us: servers start interpreters of their own.
    found = [path for path in sys.path if os.path.abspath(path) == here]
    for path in found:
        sys.path.remove(path)
    sys.path.insert(0, here)
    try:
        import _memprof_finder
    finally:
        sys.path.remove(here)
    try:
        _run_hidden(here)
    finally:
        _memprof_finder.install()


if "_MEMPROF_RUN" in os.environ:
    _start()
