"""Whose a type is: the application's, a library's, the standard library's or builtin."""

from __future__ import annotations

import sys

from memprof_middleware.probes.roots import STANDARD, class_of, namespace_of_module

BUILTIN = STANDARD + 1


def rank_of(type_name: str) -> int:
    """0 for a type of the application, 1 a library's, 2 the standard library's, 3 builtin.

    Args:
        type_name: ``module.QualName``.
    """
    module = type_name
    while "." in module:
        module = module.rpartition(".")[0]
        if module == "builtins":
            return BUILTIN
        found = sys.modules.get(module)
        if found is not None:
            return class_of(module, namespace_of_module(found))
    return STANDARD
