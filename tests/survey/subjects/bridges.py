"""What puts ASGI between: there and back again."""

from tests.leaks import layers
from tests.neighbours import layers as neighbours

from .registry import Subject

subject = Subject("ASGI bridges")

subject.of("asgiref", "WsgiToAsgi, and back by a2wsgi")(layers.asgiref)
subject.of("asgiref", "WsgiToAsgi, asked by a small server")(neighbours.asgiref)


@subject.of("a2wsgi", "both ways")
def both_ways(application):
    from a2wsgi import ASGIMiddleware, WSGIMiddleware

    return ASGIMiddleware(WSGIMiddleware(application))


@subject.of("Starlette", "WSGIMiddleware, and back by a2wsgi")
def starlette(application):
    import warnings

    from a2wsgi import ASGIMiddleware

    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware

    return ASGIMiddleware(WSGIMiddleware(application))


@subject.of("Starlette", "Mount of a2wsgi, and back")
def mounted(application):
    from a2wsgi import ASGIMiddleware, WSGIMiddleware
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return ASGIMiddleware(Starlette(routes=[Mount("/", WSGIMiddleware(application))]))
