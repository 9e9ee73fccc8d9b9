"""The probes in hostile surroundings: they run nothing of the program, leave nothing behind and break nothing."""

from __future__ import annotations

import functools
import gc
import itertools
import subprocess
import sys
import textwrap
import threading

import pytest

from memprof_middleware.probes import census
from memprof_middleware.probes.one_call import in_one_call
from memprof_middleware.runtime.instruments import Probes

_ALL = """
from memprof_middleware.runtime.instruments import Probes
probes = Probes()

def look():
    census = probes.census()
    walk = probes.containers(pause=lambda _: None)
    held = probes.holders(["builtins.dict", "__main__.Kept"], pause=lambda _: None)
    return census, walk, held, probes.populations()
"""


def run(program: str, *options: str) -> str:
    """What a program prints in a process of its own."""
    code = _ALL + textwrap.dedent(program)
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_no_cyclic_garbage_by_hand_and_by_thread() -> None:
    """With the collector off, snapshots leave nothing that only a collection could free.

    Twenty of them, to be quick: 200 take 15 s. Each one used to leave some 1,700 objects.
    """
    program = """
        import gc, threading
        from memprof_middleware import Config, MemoryProfiler

        def work(number):
            for _ in range(number):
                profiler.take_snapshot()
                probes.holders(["builtins.set"])

        profiler = MemoryProfiler(Config(background=False))
        work(3)
        gc.collect()
        gc.disable()
        work(10)
        thread = threading.Thread(target=work, args=(10,))
        thread.start()
        thread.join()
        print(gc.collect())
    """
    assert run(program) == "0"


def test_a_walk_that_is_given_up_leaves_nothing() -> None:
    """A walk or a search that its pause ends, as when the profiler stops, leaves no cyclic garbage either."""
    program = """
        import gc
        from memprof_middleware.heap import containers

        class Halted(Exception): pass

        def halt(_): raise Halted

        def work():
            for probe in (probes.containers, lambda pause: probes.holders(["builtins.set"], pause=pause)):
                try:
                    probe(pause=halt)
                except Halted:
                    continue
                raise SystemExit("no pause")

        containers.SLICE_SECONDS = 0.0
        work()
        gc.collect()
        gc.disable()
        for _ in range(10):
            work()
        print(gc.collect())
    """
    assert run(program) == "0"


HOSTILE = {
    "modules": """
        import sys, types
        class Name(str):
            def __hash__(self): return str.__hash__(self)
            def __eq__(self, other): return str.__eq__(self, other)
        module = types.ModuleType("odd")
        module.__file__ = 17
        module.__dict__[42] = [1] * 20
        module.KEPT = [1] * 20
        sys.modules.update({"odd": module, "none": None, "number": 5, Name("sub"): types.SimpleNamespace(a=[1] * 20)})
        sys.modules["a\\n\\x1b[2J"] = evil = types.ModuleType("evil")
        evil.KEPT = [1] * 30
        paths = {one.path for one in look()[1].found}
        assert "odd.KEPT" in paths and "a??[2J.KEPT" in paths, sorted(paths)[:5]
        assert all(map(str.isprintable, paths))
        """,
    "threads": """
        import threading
        over = threading.Event()
        threads = [threading.Thread(target=over.wait) for _ in range(500)]
        for thread in threads: thread.start()
        try:
            assert look()[3]["thread threading.Event.wait"] == 500
        finally:
            over.set()
        """,
    "frames": """
        import sys, threading
        sys.setrecursionlimit(100_000)
        ready, over = threading.Event(), threading.Event()
        def deep(number):
            if number: return deep(number - 1)
            ready.set(); over.wait()
        thread = threading.Thread(target=deep, args=(50_000,)); thread.start(); ready.wait()
        try:
            look()
        finally:
            over.set()
        """,
    "finalizers": """
        import gc
        class Kept:
            def __del__(self): made.append([[] for _ in range(10)])
        made = []
        gc.set_threshold(1)
        for _ in range(50):
            one = Kept(); one.me = one
        del one
        for _ in range(3): look()
        gc.set_threshold(700)
        """,
    "traced": """
        import sys, threading
        calls = []
        def trace(frame, event, argument): calls.append(event); return trace
        sys.settrace(trace); sys.setprofile(trace)
        try:
            look()
        finally:
            sys.settrace(None); sys.setprofile(None)
        assert calls
        """,
    "a debugger that waits": """
        import sys, threading
        def wait(hook, wanted):
            waits, over, found = threading.Event(), threading.Event(), []
            def work(first):
                second = [first]
                third = len(second)
                return first, second, third
            def tracer(frame, event, argument):
                if frame.f_code is work.__code__ and event == wanted and not waits.is_set():
                    if "second" in frame.f_locals: frame.f_locals["second"] = [2]
                    waits.set(); over.wait()
                return tracer
            def run():
                hook(tracer)
                try: found.append(work(1))
                except Exception as error: found.append(error)
                hook(None)
            thread = threading.Thread(target=run); thread.start(); waits.wait()
            try: look()
            finally: over.set(); thread.join()
            return found
        assert wait(sys.settrace, "call") == [(1, [1], 1)]
        assert wait(sys.settrace, "return") == [(1, [1], 1)]
        assert wait(sys.setprofile, "c_call") == [(1, [2], 1)]  # what a debugger sets stays set
        """,
    "nested": """
        KEPT = here = []
        for _ in range(100_000):
            here.append([]); here = here[0]
        here.append(KEPT)
        big = [(None,) * 1_000_000]
        me = {}; me["me"] = me
        look()
        """,
    "classes": """
        class Meta(type):
            def __getattribute__(self, name): raise RuntimeError(name)
            def __hash__(self): raise RuntimeError("hash")
            def __eq__(self, other): raise RuntimeError("eq")
            def __len__(self): raise RuntimeError("len")
            def __subclasses__(self): raise RuntimeError("subclasses")
        class Kept(metaclass=Meta):
            __slots__ = ("x",)
            __class__ = property(lambda self: 1 / 0)
            def __getattribute__(self, name): raise RuntimeError(name)
        KEPT = [Kept() for _ in range(30)]
        census, walk, held, _ = look()
        assert census.counts["__main__.Kept"] == 30
        assert {one.path: one.length for one in walk.found}["__main__.KEPT"] == 30
        assert held["__main__.Kept"].paths[0][0] == "__main__.KEPT[*]", held
        """,
    "a type of C code that nobody has used": """
        import _socket
        ancestry = type.__dict__["__mro__"].__get__
        before = ancestry(_socket.SocketType)  # None up to 3.11, unless the module socket is loaded
        KEPT = [_socket.SocketType]
        _, walk, _, _ = look()
        assert walk.complete
        assert ancestry(_socket.SocketType) == before
        """,
    "what exec leaves in a function": """
        import threading
        def work(between):
            here = [1]
            exec("here = [3]; between(); made = here + [2]")
            between()
            try: return eval("made")
            except NameError: return None  # so it is from 3.13 on
        begun, go_on, found = threading.Semaphore(0), threading.Semaphore(0), []
        thread = threading.Thread(target=lambda: found.append(work(lambda: (begun.release(), go_on.acquire()))))
        thread.start()
        for _ in range(2):
            begun.acquire()
            try: look()
            finally: go_on.release()
        thread.join()
        assert found == [work(lambda: None)], found
        """,
    "a class whose name a proxy has": """
        import functools
        ran = []
        class Proxy:
            __class__ = property(lambda self: ran.append("__class__") or Proxy)
            def __getattribute__(self, name): ran.append(name); return object.__getattribute__(self, name)
            def __call__(self): ran.append("__call__")
            def __bool__(self): ran.append("__bool__"); return True
            def __iter__(self): ran.append("__iter__"); return iter(())
        class Kept: pass
        class Row(tuple):
            def __reversed__(self): ran.append("__reversed__"); return iter(())
            def __getitem__(self, place): ran.append("__getitem__"); return None
            def __len__(self): ran.append("__len__"); return 0
        CACHE = functools.lru_cache(Proxy())
        KEPT, OLD, Kept = Row(Kept() for _ in range(20_000)), Kept, Proxy()
        ran.clear()
        _, walk, held, _ = look()
        from memprof_middleware.heap.definitions import define
        define("__main__.CACHE")
        assert held["__main__.Kept"].paths[0][0] == "__main__.KEPT[*]", held
        assert not ran, ran
        """,
    "signals": """
        import signal
        class Alarm(Exception): pass
        def ring(*_): raise Alarm
        signal.signal(signal.SIGALRM, ring)
        import gc
        heap = [[] for _ in range(50_000)]
        rung = 0
        for number in range(60):
            signal.setitimer(signal.ITIMER_REAL, 0.0005 * (1 + number))
            try:
                look()
            except Alarm:
                rung += 1
            finally:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Alarm:
                    rung += 1
            assert gc.isenabled()
        assert rung
        """,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_surroundings(name: str) -> None:
    """Every probe gives its answer, and nothing of the program breaks."""
    assert run(HOSTILE[name] + "\n        print('held')") == "held"


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_off_within_one_call_and_as_before_after_it(on: bool) -> None:
    """Also when a step fails; and what another thread decides afterwards stays."""
    seen: list[bool] = []
    (gc.enable if on else gc.disable)()
    try:
        in_one_call(lambda: seen.append(gc.isenabled()))
        assert gc.isenabled() == on
        with pytest.raises(ZeroDivisionError):
            in_one_call(lambda: seen.append(gc.isenabled()), lambda: 1 / 0)
        assert gc.isenabled() == on
    finally:
        gc.enable()
    assert seen == [False, False]


def test_no_collection_starts_within_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is made inside of it; and the census looks at all objects in such a call."""
    started: list[str] = []
    callback = functools.partial(_note, started)
    thresholds = gc.get_threshold()
    made: list[list[int]] = []
    gc.callbacks.append(callback)
    gc.set_threshold(50)
    try:
        in_one_call(functools.partial(made.extend, map(list[int], [()] * 5_000)))
        within = len(started)
    finally:
        gc.callbacks.remove(callback)
        gc.set_threshold(*thresholds)
    assert len(made) == 5_000
    assert within <= 2  # beside the call itself, before and after
    calls: list[int] = []
    monkeypatch.setattr(census, "in_one_call", lambda *steps: calls.append(len(steps)) or in_one_call(*steps))
    assert census.take_census().total > 5_000
    assert calls == [1]


def _note(started: list[str], phase: str, _: dict[str, int]) -> None:
    started.append(phase)


def test_what_the_host_decides_about_the_collector_stays() -> None:
    """Threads that turn it off and on see it as they left it, however many censuses are taken meanwhile."""
    wrong: list[str] = []
    over = threading.Event()
    probes = Probes()

    def census() -> None:
        while not over.is_set():
            probes.census()

    def decide() -> None:
        for number in itertools.count():
            (gc.disable if number % 2 else gc.enable)()
            seen = {gc.isenabled() for _ in range(50)}
            if seen != {number % 2 == 0}:
                wrong.append(f"round {number}")
            if over.wait(0.0005):
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=work) for work in (census, decide)]
    try:
        for thread in threads:
            thread.start()
        over.wait(2)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
        gc.enable()
    assert wrong == []


@pytest.mark.parametrize("threshold", [5, 700])
def test_no_tuple_breaks_while_collections_are_watched(threshold: int) -> None:
    """A callback of the collector that lets threads take turns, threads that fill tuples, censuses: no SystemError."""
    program = f"""
        import gc, sys, threading, time
        from memprof_middleware.probes import census, one_call
        failures, made, kept, over = [], set(), [], threading.Event()

        def rows():
            for number in range(300):
                yield [number]

        def fill():
            while not over.is_set():
                try:
                    kept.append(tuple(rows()))
                    made.add(len(kept[-1]))
                    if len(kept) > 400:
                        del kept[:300]
                except SystemError as error:
                    failures.append(error)

        def let_others_go_on(phase, info):
            if sys._getframe(1).f_code in ours:
                time.sleep(0.003)

        ours = {{census.kinds_of_objects.__code__, one_call.in_one_call.__code__}}
        sys.setswitchinterval(1e-4)
        heap = [[] for _ in range(30_000)]
        gc.callbacks.append(let_others_go_on)
        gc.set_threshold({threshold})
        threads = [threading.Thread(target=fill, daemon=True) for _ in range(2)]
        for thread in threads: thread.start()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and not failures:
            probes.census()
        over.set()
        gc.callbacks.clear()
        for thread in threads: thread.join()
        print(failures, made)
    """
    assert run(program) == "[] {300}"
