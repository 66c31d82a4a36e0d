"""What a cascade costs, beside Paste's; and Methods, beside a function that compares.

Werkzeug has no cascade.  For the choice by method there is no WSGI dispatcher to compare
with: frameworks choose among their own views.  The function is what one writes by hand.
"""

import importlib
import io

from freedom_middleware import Cascade
from freedom_middleware.dispatch import Methods

from .guard import ENVIRON, HEADERS, answering_a_list, ignore
from .timing import shown, side_by_side, verdict

BODIES = {"no body": 0, "1 kB": 1_000, "1 MB": 1_000_000}


def passing(environ, start_response):
    start_response("404 Not Found", HEADERS)
    return [b"x"]


def reading(status):
    def application(environ, start_response):
        environ["wsgi.input"].read()
        start_response(status, HEADERS)
        return [b"x"]

    return application


def streaming(environ, start_response):
    start_response("200 OK", HEADERS)
    yield b"x"


def asked(application, size=0, method="GET"):
    """Return a request with a body of *size* bytes, read and closed as a server does."""
    environ = ENVIRON | {"REQUEST_METHOD": method}
    body = b"x" * size
    if size:
        environ["CONTENT_LENGTH"] = str(size)

    def ask():
        environ["wsgi.input"] = io.BytesIO(body)
        answer = application(environ, ignore)
        for _ in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()

    return ask


def paste(applications):
    return importlib.import_module("paste.cascade").Cascade(applications)


def by_hand(environ, start_response):
    method = environ["REQUEST_METHOD"]
    if method == "GET":
        return answering_a_list(environ.copy(), start_response)
    if method == "POST":
        return passing(environ.copy(), start_response)
    return passing(environ, start_response)


def main():
    ratios = {}
    for body, size in BODIES.items():
        final = reading("200 OK") if size else answering_a_list
        skipped = reading("404 Not Found") if size else passing
        tables = {
            "the first of 3": [final, passing, passing],
            "the last of 3": [passing, passing, final],
        }
        if size:
            tables["the last of 3, all read"] = [skipped, skipped, final]
        for title, table in tables.items():
            cost = side_by_side(
                {
                    "alone": asked(final, size),
                    "Cascade": asked(Cascade(table), size),
                    "Paste": asked(paste(table), size),
                },
                windows=100,
            )
            print(
                f"  {f'{title}, {body}':<34}"
                + "".join(f"{name} {shown(ns):<11}" for name, ns in cost.items())
            )
            ratios[f"{title}, {body}"] = cost["Cascade"] / cost["Paste"]
    cost = side_by_side(
        {
            "a list": asked(answering_a_list),
            "a list, held": asked(Cascade([answering_a_list, passing])),
            "a generator": asked(streaming),
            "a generator, held": asked(Cascade([streaming, passing])),
            "GET": asked(Methods({"GET": answering_a_list, "POST": passing})),
            "GET by hand": asked(by_hand),
            "HEAD to GET": asked(Methods({"GET": answering_a_list}), method="HEAD"),
        },
        windows=100,
    )
    for name, nanoseconds in cost.items():
        print(f"  {name:<62}{shown(nanoseconds):>7}")
    for title, ratio in ratios.items():
        bar = 1.0 if "1 MB" in title else 3.0 if "1 kB" in title else 1.5
        print(verdict(f"Cascade / Paste: {title}", ratio, bar))
    print(verdict("Methods / by hand", cost["GET"] / cost["GET by hand"], 1.5))
