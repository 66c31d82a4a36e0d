"""What runs inside other projects' tests: each application that is called, wrapped.

``TRANSPARENCY`` names the way to wrap, as ``module:function``; ``TRANSPARENCY_FOLDER`` is where
each process notes what became of the bodies.
"""

import importlib
import os

from freedom_middleware import Application
from freedom_middleware.errors import ApplicationError, ApplicationTypeError
from freedom_middleware.leaks.clients import Clients
from freedom_middleware.ledger import Ledger

from .entries import ENTRIES
from .notes import Notes


def start():
    """Wrap from now on, until the process ends."""
    module, _, name = os.environ["TRANSPARENCY"].partition(":")
    way = getattr(importlib.import_module(module), name)
    notes = Notes(os.environ["TRANSPARENCY_FOLDER"])
    # A guard reports what test clients drop, which is its purpose, and some tests count
    # warnings.  Here it is the notes that say what was closed.
    Ledger._tell = lambda self, finding, place: None

    def wrapped(application):
        if not callable(application) or getattr(application, "transparency", None) is notes:
            return application
        try:
            child = Application(application).wsgi
        except (ApplicationError, ApplicationTypeError):
            return application  # it is none, as some tests want it to see what is said of it
        made = way(counted(child, notes))
        vars(made)["transparency"] = notes
        return made

    Clients(wrapped, ENTRIES).start()


def counted(application, notes):
    """Return *application* with its bodies counted."""

    def counting(environ, start_response):
        before = notes.last
        body = application(environ, start_response)
        try:
            return notes.opened(body, before)
        finally:
            del body  # a traceback may keep this frame, which must not keep the body

    return counting
