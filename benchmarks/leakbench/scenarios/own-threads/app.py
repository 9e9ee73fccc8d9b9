"""An upload starts a thread that waits for the rest of the file; when the client goes away it waits for ever."""

import os
import threading

LEAK = os.environ.get("SCENARIO_VARIANT") != "fixed"
threading.stack_size(256 * 1024)


class Upload:
    def __init__(self, number):
        self.number, self.parts, self.rest = number, [], threading.Event()

    def wait(self):
        self.rest.wait()


def app(environ, start_response):
    number = int(environ["PATH_INFO"].rpartition("/")[2])
    if number % 20 == 0:
        upload = Upload(number)
        threading.Thread(target=upload.wait, name=f"upload-{number}", daemon=True).start()
        if not LEAK:
            upload.rest.set()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
