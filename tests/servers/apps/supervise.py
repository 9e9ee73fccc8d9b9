"""Starts uvicorn again whenever it ends, and keeps the listening socket meanwhile, as systemd's socket activation."""

import os
import signal
import socket
import subprocess
import sys

listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listening.set_inheritable(True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
command = [sys.executable, "-m", "uvicorn", "--fd", str(listening.fileno()), "recycling:asgi_application"]
while True:
    subprocess.run(command, check=False, close_fds=False)
