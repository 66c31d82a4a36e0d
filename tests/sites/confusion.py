"""Mounts that tell which of them answers, and what it was given of the path."""

import json

from freedom_middleware import CloseGuard, Mount


def telling(name):
    def application(environ, start_response):
        told = [name, environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")]
        page = json.dumps(told).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(page)))]
        start_response("200 OK", [*headers, ("X-Told", "yes")])
        return [page]

    return application


application = CloseGuard(
    Mount(telling("the rest"), {"/admin": telling("/admin"), "/shop": telling("/shop")})
)
