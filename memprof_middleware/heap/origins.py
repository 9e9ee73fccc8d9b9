"""Origin of a name: the application, a library, the standard library or builtin."""

from __future__ import annotations

import sys

from memprof_middleware.heap.roots import STANDARD, class_of, namespace_of_module

BUILTIN = STANDARD + 1


def module_of(name: str) -> str:
    """Return the module with which a type's name or a container's path begins; its first word if none is loaded."""
    module = name
    while "." in module:
        module = module.rpartition(".")[0]
        if module in sys.modules:
            return module
    return module


def rank_of(name: str) -> int:
    """0 for a name of the application, 1 a library's, 2 the standard library's, 3 builtin.

    Args:
        name: ``module.QualName``, or a path that begins with a module.
    """
    module = module_of(name)
    if module == "builtins":
        return BUILTIN
    found = sys.modules.get(module)
    return STANDARD if found is None else class_of(module, namespace_of_module(found))
