from common import BARE, SETTINGS, answer
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from asgi_memprof import MemProfMiddleware
from memprof_middleware import Config


async def view(request):
    return Response(answer(request.scope["path"]))


application = Starlette(routes=[Route("/leak", view), Route("/inside", view)])
if not BARE:
    application.add_middleware(MemProfMiddleware, config=Config(**SETTINGS))
