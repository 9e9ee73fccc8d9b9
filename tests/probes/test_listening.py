"""Where a server listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest

from memprof_middleware.probes.listening import Listener, listener


def asked(script: str, *args: str, **options) -> str:
    """What a process of its own prints, in which nothing listens but what the script opens."""
    prelude = "import os, socket, sys\nfrom memprof_middleware.probes.listening import listener\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        **options,
    ).stdout.strip()


def test_nobody_listens():
    """A process that does not listen has no address; a bound or connected socket is none."""
    assert (
        asked("""
        bound = socket.socket(); bound.bind(("127.0.0.1", 0))
        pair = socket.socketpair()
        print(listener())
    """)
        == "None"
    )


def test_the_oldest_one():
    """Of several the first that was opened counts: the server binds before its application opens anything."""
    assert (
        asked("""
        first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        print(listener().address == "127.0.0.1:%d" % first.getsockname()[1])
    """)
        == "True"
    )


@pytest.mark.parametrize(
    ("script", "address"),
    [
        ('s = socket.socket(socket.AF_INET6); s.bind(("::1", 0)); s.listen()', "f'::1:{s.getsockname()[1]}'"),
        ('s = socket.socket(socket.AF_UNIX); s.bind("app.sock"); s.listen()', "os.path.realpath('app.sock')"),
        ('s = socket.socket(socket.AF_UNIX); s.bind(b"\\0shop"); s.listen()', "'\\0shop'"),
    ],
    ids=["IPv6", "Unix", "abstract"],
)
def test_kinds_of_address(script, address, tmp_path):
    """Servers listen on IPv6 and on Unix sockets, with a path or an abstract name."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert asked(f"{script}\nprint(listener().address == {address})", cwd=tmp_path, env=environ) == "True"


@pytest.mark.parametrize("timeout", [None, 0, 5.0])
@pytest.mark.parametrize("blocking", [True, False])
def test_the_servers_socket_is_left_as_it_was(timeout, blocking):
    """Looking changes neither the blocking mode of the server's socket nor closes it, whatever timeout is default."""
    found = asked(
        f"""
        server = socket.create_server(("127.0.0.1", 0)); server.setblocking({blocking})
        socket.setdefaulttimeout({timeout})
        listener()
        print(os.get_blocking(server.fileno()), server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        """
    )
    assert found == f"{blocking} 1"


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_the_host_sets_the_mode_while_we_look(timeout):
    """An event loop whose socket is made non-blocking during a look keeps it so; blocking, it would stand still."""
    found = asked(
        f"""
        import threading
        socket.setdefaulttimeout({timeout})
        over, wrong = threading.Event(), 0
        def look():
            while not over.is_set(): listener()
        looking = [threading.Thread(target=look) for _ in range(2)]
        sys.setswitchinterval(1e-5)
        for one in looking: one.start()
        for _ in range(3000):
            pair = socket.socketpair()
            for blocking in (False, True, False):
                pair[0].setblocking(blocking)
                wrong += os.get_blocking(pair[0].fileno()) != blocking
            for one in pair: one.close()
        over.set()
        for one in looking: one.join()
        print(wrong)
        """
    )
    assert found == "0"


def test_no_descriptor_is_left():
    """Looking leaves no descriptor open."""
    assert (
        asked("""
        server = socket.create_server(("127.0.0.1", 0))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50): listener()
        print(len(os.listdir("/proc/self/fd")) - before)
    """)
        == "0"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which process holds a socket")
def test_the_server_is_the_parent_that_keeps_the_socket():
    """Workers of one run of a server agree on its name: the parent that holds their socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        script = f"server = socket.socket(fileno={server.fileno()}); print(listener().server)"
        names = {asked(script, close_fds=False) for _ in range(2)}
        assert len(names) == 1
        pid, start_time = names.pop().split()
        assert int(pid) == os.getpid()
        assert int(start_time) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which process holds a socket")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_of_multiprocessing_the_server_is_who_asked_for_the_worker(tmp_path, method):
    """A worker's parent may be a fork server, and its master's socket may be unknown to it: so with granian on 3.14."""
    script = tmp_path / "server.py"
    script.write_text(
        textwrap.dedent("""
            import multiprocessing, os, socket, sys
            sys.path[:0] = sys.argv[1].split(os.pathsep)
            from memprof_middleware.probes.listening import listener
            def work(tell):
                server = socket.create_server(("127.0.0.1", 0))
                tell.send(listener().server)
            if __name__ == "__main__":
                processes = multiprocessing.get_context(sys.argv[2])
                for _ in range(2):
                    told, tell = processes.Pipe(False)
                    worker = processes.Process(target=work, args=(tell,))
                    worker.start()
                    print(*told.recv().split(), os.getpid())
                    worker.join()
        """)
    )
    command = [sys.executable, script, os.pathsep.join(sys.path), method]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == second
    pid, start_time, server = first.split()
    assert pid == server
    assert int(start_time) > 0


def test_without_a_keeper_there_is_no_server():
    """A single process that binds by itself has no master: the next one to listen there is another run."""
    assert (
        asked("""
        server = socket.create_server(("127.0.0.1", 0))
        print(listener().server)
    """)
        == "None"
    )


def test_an_unreadable_procfs(tmp_path):
    """Where the descriptors cannot be listed nothing is known, and nothing is raised."""
    if sys.platform == "linux":
        assert listener(tmp_path) is None


def test_a_parent_that_cannot_be_seen(tmp_path):
    """A master of another user keeps its descriptors to itself: the address is known, the server's run is not."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells which process holds a socket")
    (tmp_path / "self").symlink_to("/proc/self")
    with socket.create_server(("127.0.0.1", 0)):
        found = listener(tmp_path)
    assert isinstance(found, Listener)
    assert found.server is None
