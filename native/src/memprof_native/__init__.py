"""The compiled object count of memprof-middleware; `memprof_middleware` uses it where it is installed.

Raises:
    ImportError: the package was installed where its C file could not be built.
"""

import os

try:
    from memprof_native._walk import Walk, check, drop_inherited, key_of, newest
except ImportError as error:
    raise ImportError(
        "memprof_native has no compiled part: it was installed without a C compiler, for another Python, or for a "
        "build of it that is not supported. Install a compiler and Python's headers, then run "
        "pip install --force-reinstall --no-cache-dir memprof-middleware-native"
    ) from error

__all__ = ["Walk", "check", "drop_inherited", "key_of", "newest"]

os.register_at_fork(after_in_child=drop_inherited)
