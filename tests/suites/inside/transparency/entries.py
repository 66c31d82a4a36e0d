"""Where other projects' tests hand an application to what calls it."""

import functools
import inspect


def argument(name):
    """Return what replaces the argument *name* of a function by the wrapped application."""

    def make(was, wrapped):
        signature = inspect.signature(was)

        @functools.wraps(was)
        def put(*arguments, **keywords):
            try:
                bound = signature.bind(*arguments, **keywords)
            except TypeError:
                return was(*arguments, **keywords)  # and so it says what is wrong
            bound.arguments[name] = wrapped(bound.arguments[name])
            return was(*bound.args, **bound.kwargs)

        return put

    return make


def result(was, wrapped):
    """Wrap the application that a function returns."""

    @functools.wraps(was)
    def put(*arguments, **keywords):
        return wrapped(was(*arguments, **keywords))

    return put


def called(was, wrapped):
    """Wrap what is an application itself, wherever it is called."""

    @functools.wraps(was)
    def put(self, environ, start_response):
        def application(environ, start_response):
            return was(self, environ, start_response)

        return wrapped(application)(environ, start_response)

    return put


def answered(was, wrapped):
    """As :func:`called`, for tests that take the body for the framework's own response."""

    @functools.wraps(was)
    def put(self, environ, start_response):
        answers = []

        def application(environ, start_response):
            answers.append(was(self, environ, start_response))
            return answers[-1]

        body = wrapped(application)(environ, start_response)
        ours = type(body).__module__.startswith("freedom_middleware.")
        return Answer(body, answers[-1]) if ours else body

    return put


class Answer:
    """Read and closed as the body that came through the layers; all else is the response's."""

    def __init__(self, body, response):
        self._body = body
        self._response = response

    def __iter__(self):
        return iter(self._body)

    def close(self):
        self._body.close()

    def __bytes__(self):
        return bytes(self._response)

    def __getattr__(self, name):
        return getattr(self._response, name)


def django_client(was, wrapped):
    """Have Django's test client, which calls no application, be the server of one.

    This is its own code, with a call according to PEP 3333 in the middle: the handler answers
    inside the application, and what the client reads and closes is the body.
    """
    from contextlib import contextmanager

    from django.core.handlers.wsgi import WSGIRequest
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections
    from django.test.client import conditional_content_removal

    @contextmanager
    def keeping_connections(signal):
        signal.disconnect(close_old_connections)
        yield
        signal.connect(close_old_connections)

    def closing(chunks, close):
        try:
            yield from chunks
        finally:
            with keeping_connections(request_finished):
                close()

    class Streamed:
        def __init__(self, response):
            self._chunks = iter(response)
            self.close = response.close

        def __iter__(self):
            return self._chunks

    @functools.wraps(was)
    def put(self, environ):
        if self._middleware_chain is None:
            self.load_middleware()
        answers = []

        def application(environ, start_response):
            with keeping_connections(request_started):
                request_started.send(sender=self.__class__, environ=environ)
            request = WSGIRequest(environ)
            request._dont_enforce_csrf_checks = not self.enforce_csrf_checks
            response = self.get_response(request)
            conditional_content_removal(request, response)
            response.wsgi_request = request
            answers.append(response)
            start_response(f"{response.status_code} ?", list(response.items()))
            if response.streaming:
                # Django closes an asynchronous stream from a coroutine.
                return Streamed(response) if not response.is_async else []
            return response

        body = wrapped(application)(environ, lambda status, headers, exc_info=None: None)
        (response,) = answers
        if not response.streaming:
            content = b"".join(body)
            assert content == response.content
            with keeping_connections(request_finished):
                body.close()
        elif response.is_async:
            from django.test.client import aclosing_iterator_wrapper

            response.streaming_content = aclosing_iterator_wrapper(
                response.streaming_content, response.close
            )
        else:
            response.streaming_content = closing(body, body.close)
        return response

    return put


ENTRIES = {
    # Flask's client is Werkzeug's.
    "werkzeug.test": (("", "run_wsgi_app", argument("app")),),
    "werkzeug.serving": (("BaseWSGIServer", "__init__", argument("app")),),
    # WebTest and Pyramid ask through a WebOb request; so do layers of WebOb.
    "webob.request": (("BaseRequest", "call_application", argument("application")),),
    # These check what they call: so our layers are checked by them.
    "webtest.lint": (("", "middleware", argument("application")),),
    "paste.lint": (("", "middleware", argument("application")),),
    # Falcon's and Bottle's clients call through this one.
    "wsgiref.validate": (("", "validator", argument("application")),),
    # The standard library's server, Django's live server and `runserver`.
    "wsgiref.handlers": (("BaseHandler", "run", argument("application")),),
    "waitress.server": (("BaseWSGIServer", "__init__", argument("application")),),
    "gunicorn.app.base": (("BaseApplication", "wsgi", result),),
    "paste.httpserver": (("WSGIServerBase", "__init__", argument("wsgi_application")),),
    "paste.wsgilib": (("", "raw_interactive", argument("application")),),
    # Tests call these themselves, without a client.
    "pyramid.router": (("Router", "__call__", called),),
    "django.core.handlers.wsgi": (("WSGIHandler", "__call__", answered),),
    "django.contrib.staticfiles.handlers": (("StaticFilesHandler", "__call__", answered),),
    "django.test.client": (("ClientHandler", "__call__", django_client),),
}
"""As in :mod:`freedom_middleware.leaks.clients`."""
