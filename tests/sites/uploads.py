"""Flask applications that read what is posted to them, alone and in a cascade.

The query says how much each of the skipped ones reads before it answers 404.
"""

import hashlib

import journal
from flask import Flask, abort, request

from freedom_middleware import Application, Cascade, Mount
from freedom_middleware.dispatch import Methods

LIMIT_BYTES = 4_000_000


def posting(name, view):
    app = Flask(name)
    app.add_url_rule("/upload/", view_func=view, methods=["POST"])

    @app.after_request
    def note_response(response):
        journal.note("opened")
        response.call_on_close(lambda: journal.note("closed"))
        return response

    return app


def pass_on():
    wanted = request.args["read"]
    if wanted == "all":
        request.get_data()
    elif wanted != "nothing":
        request.stream.read(int(wanted))
    abort(404)


def tell():
    body = request.get_data()
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def one_chunk(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one chunk"]


last = posting("last", tell)
cascade = Cascade(
    [Application.from_settings("mysite.settings"), posting("first", pass_on), last],
    limit=LIMIT_BYTES,
)
application = Mount(cascade, {"/alone": last, "/methods": Methods({"GET": one_chunk})})
