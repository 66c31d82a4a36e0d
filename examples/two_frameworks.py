"""A Flask application and a Pyramid application under one address.

Serve it with `freedom-middleware serve two_frameworks`, and ask for /shop/ and /wiki/.
"""

from flask import Flask, url_for
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from freedom_middleware import CloseGuard, Mount

shop = Flask(__name__)


@shop.get("/")
def shelf() -> str:
    return f"Flask at {url_for('shelf')}\n"


def wiki_page(request: Request) -> Response:
    return Response(f"Pyramid at {request.route_path('page')}\n")


with Configurator() as config:
    config.add_route("page", "/")
    config.add_view(wiki_page, route_name="page")
    wiki = config.make_wsgi_app()

application = CloseGuard(Mount(None, {"/shop": shop, "/wiki": wiki}))
