"""Real middleware, by what it does with close(), and hand-made layers with one fault each."""

import functools
import io
import threading
from contextlib import suppress
from itertools import chain

from tests.neighbours import layers as neighbours

# -- real: these do not close exactly once --


def profiler(application):
    from werkzeug.middleware.profiler import ProfilerMiddleware

    return ProfilerMiddleware(application, stream=io.StringIO())


def asgiref(application):
    from a2wsgi import ASGIMiddleware
    from asgiref.wsgi import WsgiToAsgi

    return ASGIMiddleware(WsgiToAsgi(application))


GUILTY = {
    "elastic-apm": (neighbours.elastic_apm, "ElasticAPM", {"close-lost"}),
    "ddtrace": (neighbours.ddtrace, "DDWSGIMiddleware", {"close-on-iterator"}),
    "opentelemetry": (
        neighbours.opentelemetry,
        "OpenTelemetryMiddleware",
        {"close-lost", "close-repeated"},
    ),
    "werkzeug debugger": (
        neighbours.werkzeug_debugger,
        "DebuggedApplication",
        {"close-lost", "close-repeated"},
    ),
    "werkzeug profiler": (profiler, "ProfilerMiddleware", {"close-lost"}),
    "raven": (neighbours.raven_shaped, "raven_shaped", {"close-lost"}),
    "asgiref": (asgiref, "ASGIMiddleware with WsgiToAsgi inside", {"close-lost"}),
}


# -- real: these do --


def proxy_fix(application):
    from werkzeug.middleware.proxy_fix import ProxyFix

    return ProxyFix(application)


def shared_data(application):
    from werkzeug.middleware.shared_data import SharedDataMiddleware

    return SharedDataMiddleware(application, {"/static": "."})


def dispatcher(application):
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(application, {})


def lint(application):
    from webtest.lint import middleware

    return middleware(application)


def validator(application):
    from wsgiref.validate import validator

    return validator(application)


def sentry(application):
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    return SentryWsgiMiddleware(application)


def urlmap(application):
    from paste.urlmap import URLMap

    table = URLMap()
    table["/"] = application
    return table


def paste_cascade(application):
    from paste.cascade import Cascade

    return Cascade([application])


def whitenoise(application):
    from whitenoise import WhiteNoise

    return WhiteNoise(application)


def wsgify(application):
    from webob.dec import wsgify

    def asks(request, application):
        return request.get_response(application)

    return wsgify.middleware(asks)(application)


def cheroot(application):
    from cheroot.wsgi import PathInfoDispatcher

    return PathInfoDispatcher({"/": application})


def guard(application):
    from freedom_middleware import CloseGuard

    return CloseGuard(application)


def mount(application):
    from freedom_middleware import Mount

    return Mount(application, {"/mounted": lambda environ, start_response: []})


INNOCENT = {
    layer.__name__: layer
    for layer in (
        *(proxy_fix, shared_data, dispatcher, lint, validator, sentry, urlmap),
        *(paste_cascade, whitenoise, wsgify, cheroot, guard, mount),
    )
}


# -- hand-made, one fault each --


class Closing:
    """Passes a body on, and closes it as it is told."""

    def __init__(self, body, close):
        self._body, self.close = body, close

    def __iter__(self):
        return iter(self._body)


def by_chain(application):
    return lambda environ, start_response: chain([b""], application(environ, start_response))


def by_list(application):
    return lambda environ, start_response: list(application(environ, start_response))


def by_map(application):
    return lambda environ, start_response: map(bytes, application(environ, start_response))


def by_iter(application):
    return lambda environ, start_response: iter(application(environ, start_response))


def by_generator(application):
    def layer(environ, start_response):
        body = application(environ, start_response)

        def chunks():
            try:
                yield from body
            finally:
                if hasattr(body, "close"):
                    body.close()

        return chunks()

    return layer


def on_iterator(application):
    def layer(environ, start_response):
        chunks = iter(application(environ, start_response))
        return Closing(chunks, getattr(chunks, "close", lambda: None))

    return layer


def twice(application):
    def layer(environ, start_response):
        body = application(environ, start_response)

        def close():
            if hasattr(body, "close"):
                body.close()
                body.close()

        return Closing(body, close)

    return layer


def early(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        chunks = iter(body)
        first = next(chunks, b"")
        if hasattr(body, "close"):
            body.close()
        return chain([first], chunks)

    return layer


def elsewhere(application):
    def layer(environ, start_response):
        body = application(environ, start_response)

        def close():
            def later():
                with suppress(Exception):
                    body.close()

            if hasattr(body, "close"):
                thread = threading.Thread(target=later, name="janitor")
                thread.start()
                thread.join()

        return Closing(body, close)

    return layer


def if_true(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        return Closing(body, (body and getattr(body, "close", None)) or (lambda: None))

    return layer


def unless_head(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    return layer


FAULTY = {
    by_chain: {"close-lost"},
    by_list: {"close-lost"},
    by_map: {"close-lost"},
    by_iter: {"close-lost"},
    by_generator: {"close-lost", "close-repeated"},  # not begun; left
    on_iterator: {"close-on-iterator"},
    twice: {"close-repeated"},
    early: {"close-early", "close-lost"},  # where the first chunk is an error
    elsewhere: {"close-wrong-thread"},
    if_true: {"close-lost"},
    unless_head: {"close-lost"},
}


# -- the same fault, held in every way in which layers hold what they call --


class InAttribute:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        return list(self.application(environ, start_response))


class InSlot:
    __slots__ = ("application",)

    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        return list(self.application(environ, start_response))


class InTuple:
    def __init__(self, application):
        self.applications = ("first", application)

    def __call__(self, environ, start_response):
        return list(self.applications[1](environ, start_response))


class InDict:
    def __init__(self, application):
        self.applications = {"": application}

    def __call__(self, environ, start_response):
        return list(self.applications[""](environ, start_response))


class Box:
    pass


class Deep:
    def __init__(self, application):
        self._config = Box()
        self._config.inner = Box()
        self._config.inner.target = application

    def __call__(self, environ, start_response):
        return list(self._config.inner.target(environ, start_response))


def listing(application, environ, start_response):
    return list(application(environ, start_response))


def in_partial(application):
    return functools.partial(listing, application)


def in_default(application):
    def layer(environ, start_response, application=application):
        return list(application(environ, start_response))

    return layer


def in_method(application):
    return InAttribute(application).__call__


def in_proxy(application):
    import wrapt

    return wrapt.CallableObjectProxy(InAttribute(application))


def wrapping(application):
    @functools.wraps(application)
    def layer(environ, start_response):
        return list(application(environ, start_response))

    return layer


HOLDERS = (
    *(InAttribute, InSlot, InTuple, InDict, Deep, in_partial, in_default, in_method),
    *(in_proxy, wrapping, by_list),
)


# -- layers that are not judged, or that choose --


def raises(application):
    def layer(environ, start_response):
        application(environ, start_response)
        raise RuntimeError("no session store")

    return layer


def fails(application):
    def layer(environ, start_response):
        list(application(environ, lambda *_: None))
        start_response("500 Internal Server Error", [])
        return []

    return layer


def stops(application):
    def layer(environ, start_response):
        application(environ, start_response)
        raise KeyboardInterrupt

    return layer


def calls_nobody(application):
    def layer(environ, start_response):
        start_response("200 OK", [])
        return [] if environ else application(environ, start_response)

    return layer


def by_path(default, other):
    def layer(environ, start_response):
        if environ["PATH_INFO"] == "/here":
            return list(other(environ, start_response))
        return default(environ, start_response)

    return layer


def forgets_the_first(first, second):
    """Tries one after the other, and forgets the body of a 404."""

    def layer(environ, start_response):
        seen = []
        body = first(environ, lambda *line: seen.append(line))
        if seen[0][0] == "404 Not Found":
            return second(environ, start_response)
        start_response(*seen[0])
        return body

    return layer


def keeps_errors(application):
    class Body:
        def __init__(self, body):
            self._chunks, self._body = [], body
            self._chunks += body

        def __iter__(self):
            return iter(self._chunks)

        def close(self):
            with suppress(Exception):
                getattr(self._body, "close", lambda: None)()

    def layer(environ, start_response):
        body = application(environ, start_response)
        try:
            return Body(body)
        except Exception:
            body.close()
            raise

    return layer
