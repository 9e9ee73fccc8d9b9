"""What is loaded late leaves no trace in what is measured."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys
from memprof_middleware.probes.loading import loading
from memprof_middleware.runtime.instruments import Probes
if sys.argv[1] == "pure":
    sys.modules["memprof_native"] = None
if sys.argv[2] == "off":
    gc.disable()
probes = Probes()
def counts():
    gc.collect()
    found = probes.census().counts
    return [found[f"builtins.{name}"] for name in ("function", "member_descriptor", "module", "type")]
counts()
before = counts()
known = len(sys.modules)
with loading("leaks.judge"):
    from memprof_middleware.leaks.judge import look
print(len(sys.modules) - known > 5, look.__module__, gc.isenabled())
after = counts()
print([max(0, now - then) for now, then in zip(after, before)], file=sys.stdout)
class Ours:
    pass
kept = [type(str(number), (), {}) for number in range(200)]
print(counts()[3] - after[3])
"""


def run(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_its_functions_and_classes_are_not_counted() -> None:
    """A count after a late import has no more of them than one before; those of the program are counted as ever."""
    loaded, more, classes = run("any", "on")
    assert loaded == "True memprof_middleware.leaks.judge True"
    assert more == "[0, 0, 0, 0]"
    assert int(classes) >= 200


def test_a_collector_that_is_off_stays_off() -> None:
    """It is switched off while something is loaded, and on again only where it was."""
    assert run("pure", "off")[0].endswith("False")
