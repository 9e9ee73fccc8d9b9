"""Builds the one C file. Where it cannot be built the package is installed without it, and its import says so."""

import os

from setuptools import Extension, setup

# For the tests: a layout that is off by a word, or a build with the sanitizers.
shift = os.environ.get("MEMPROF_NATIVE_SHIFT", "0")

setup(
    ext_modules=[
        Extension(
            "memprof_native._walk",
            ["src/memprof_native/_walk.c"],
            define_macros=[("MEMPROF_NATIVE_SHIFT", shift)],
            # Whoever sets CFLAGS takes the interpreter's own flags away, and without this the walk takes twice as long.
            extra_compile_args=["-O2"],
            optional=True,
        )
    ]
)
