"""Our own classes, as the subjects of the rules; UserGuard has a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, cookie, path
from freedom_middleware.leaks import LeakWatch

from ..survey.subjects.registry import Sends
from .applications import Subject
from .gateway import environ_for

LAYERS = {
    "Application": Application,
    "CloseGuard": CloseGuard,
    "Mount": lambda application: Mount(None, {"/site": application}),
    "Mount, by default": lambda application: Mount(application, {"/other": application}),
    "Mount, sharing": lambda application: Mount(None, {"/site": application}, share=True),
    "Hosts": lambda application: Hosts(None, {"127.0.0.1": application}),
    "Hosts, sharing": lambda application: Hosts(application, {}, share=True),
    "Methods": lambda application: Methods(dict.fromkeys(("GET", "POST"), application)),
    "When": lambda application: When(None, [(path("/site"), application)]),
    "When, with Vary": lambda application: When(application, [(cookie("b"), application)]),
    "When, sharing": lambda application: When(application, [], share=True),
    "Cascade": lambda application: Cascade([application, application]),
    "Cascade, the last": lambda application: Cascade([Mount(None, {}), application]),
    "LeakWatch": lambda application: LeakWatch(application, sample=1),
    "all of them": lambda application: CloseGuard(
        Hosts(When(Mount(None, {"/site": Application(application)}), []), {})
    ),
}


INSIDE = {
    "Methods, HEAD by GET": lambda application: Sends(
        Methods({"GET": application}), REQUEST_METHOD="HEAD"
    ),
}
"""Judged by what they do to the application alone: to them each request is a HEAD."""


async def echo(scope, receive, send):
    """Answer with what was sent, as an ASGI application."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def requests_for(target):
    """Return functions that make requests for *target*."""
    return tuple(
        lambda method=method, body=body: environ_for(target, method=method, body=body)
        for method, body in (("GET", b""), ("HEAD", b""), ("POST", b"name=value"))
    )


def folder():
    return Application.from_directory(Path(__file__).parent)


APPLICATIONS = {
    "Application.from_directory": Subject(folder, requests_for("/page.md")),
    "Application.from_directory, a file that is missing": Subject(
        folder, requests_for("/missing.txt")
    ),
    "Application.from_redirect": Subject(lambda: Application.from_redirect("/new")),
    "Application, of ASGI": Subject(lambda: Application(echo)),
    "Mount, to nobody": Subject(lambda: Mount(None, {})),
    "Mount, to a slash": Subject(
        lambda: Mount(None, {"/site": echo}, slash="redirect"), requests_for("/site")
    ),
    "Methods, without the method": Subject(lambda: Methods({"PUT": echo})),
    "Hosts, of no host": Subject(
        lambda: Hosts(None, {}), (lambda: environ_for(HTTP_HOST="not a host"),)
    ),
}


def judge_user_guard():
    """Return the marks of UserGuard, beside a site of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pep3333.user_guard"],
        cwd=Path(__file__).parents[2],
        check=True,
        stdout=subprocess.PIPE,
        timeout=120,
    )
    return json.loads(done.stdout)
