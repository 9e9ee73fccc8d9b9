"""An application without a line of ours."""

import json
import os
import time

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


async def inside(request):
    until = time.monotonic() + 0.02
    while time.monotonic() < until:  # keeps this worker, so that its sibling gets the next one
        pass
    return JSONResponse({"pid": os.getpid(), "threads": [], "worker": None})


async def item(request):
    return JSONResponse({"item": request.path_params["n"]})


application = Starlette(routes=[Route("/inside", inside), Route("/items/{n}", item)])
json.dumps({})

if __name__ == "__main__":
    import sys

    import uvicorn

    uvicorn.run(application, port=int(sys.argv[1]))
