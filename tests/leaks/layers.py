"""Real middleware, by what it does with close(), and hand-made layers with one fault each."""

import functools
import io
import sys
import threading
import types
import weakref
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from itertools import chain
from typing import ClassVar, NamedTuple

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
        try:
            first = next(chunks, b"")
        finally:
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


def on_last_reference(application):
    class Body:
        def __init__(self, body):
            self._body = body

        def __iter__(self):
            return iter(self._body)

        def __del__(self):
            with suppress(Exception):
                getattr(self._body, "close", lambda: None)()

    return lambda environ, start_response: Body(application(environ, start_response))


FAULTY = {
    by_chain: {"close-lost"},
    by_list: {"close-lost"},
    by_map: {"close-lost"},
    by_iter: {"close-lost"},
    by_generator: {"close-lost", "close-repeated"},  # not begun; left
    on_iterator: {"close-on-iterator"},
    twice: {"close-repeated"},
    early: {"close-early"},
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


class InNamedTuple(NamedTuple):
    application: object

    def __call__(self, environ, start_response):
        return list(self.application(environ, start_response))


class InItself(dict):
    def __call__(self, environ, start_response):
        return list(self["application"](environ, start_response))


def in_itself(application):
    return InItself(application=application)


def by_keyword(environ, start_response, *, application):
    return list(application(environ, start_response))


def in_partial_by_keyword(application):
    return functools.partial(by_keyword, application=application)


def in_wrapt_decorator(application):
    import wrapt

    @wrapt.decorator
    def losing(wrapped, instance, args, kwargs):
        return list(wrapped(*args, **kwargs))

    return losing(application)


class InWrapped:
    def __init__(self, application):
        functools.update_wrapper(self, application)

    def __call__(self, environ, start_response):
        return list(self.__wrapped__(environ, start_response))


HOLDERS = (
    *(InAttribute, InSlot, InTuple, InDict, Deep, in_partial, in_default, in_method),
    *(in_proxy, wrapping, by_list, in_itself, in_partial_by_keyword),
    *(in_wrapt_decorator, InWrapped),
)


# -- the same, held where places_in does not look --


def in_global(application):
    global held
    held = application
    return lambda environ, start_response: list(held(environ, start_response))


def in_global_table(application):
    global table
    table = {"": Box()}
    table[""].inner = application

    def serve(environ, start_response):
        return list(table[""].inner(environ, start_response))

    return serve


def in_module(application):
    module = types.ModuleType("tests_leaks_somewhere")
    module.application = application
    sys.modules[module.__name__] = module

    def layer(environ, start_response):
        import tests_leaks_somewhere

        return list(tests_leaks_somewhere.application(environ, start_response))

    return layer


def in_class(application):
    class InClass:
        inner = staticmethod(application)

        def __call__(self, environ, start_response):
            return list(self.inner(environ, start_response))

    return InClass()


def in_class_itself(application):
    class InClassItself:
        inner: ClassVar = [application]

        def __call__(self, environ, start_response):
            return list(self.inner[0](environ, start_response))

    return InClassItself()


def in_closure_of_a_method(application):
    class InClosure:
        def __call__(self, environ, start_response):
            return self.serve(environ, start_response)

        @property
        def serve(self):
            return lambda environ, start_response: list(application(environ, start_response))

    return InClosure()


def in_instances(application):
    class Response:
        def __init__(self, environ, start_response):
            self.request = environ, start_response

        def __iter__(self):
            yield from list(application(*self.request))

    return Response


def in_instances_of_a_partial(application):
    class Response:
        def __init__(self, application, environ, start_response):
            self.application, self.request = application, (environ, start_response)

        def __iter__(self):
            yield from list(self.application(*self.request))

    return functools.partial(Response, application)


def in_variable(application):
    variable = ContextVar("application")
    variable.set(application)
    return lambda environ, start_response: list(variable.get()(environ, start_response))


def in_local(application):
    local = threading.local()
    local.application = application
    return lambda environ, start_response: list(local.application(environ, start_response))


alive = []  # what is only weakly referred to


def in_reference(application):
    alive.append(application)
    reference = weakref.ref(application)
    return lambda environ, start_response: list(reference()(environ, start_response))


def in_weak_values(application):
    alive.append(application)
    values = weakref.WeakValueDictionary({"": application})
    return lambda environ, start_response: list(values[""](environ, start_response))


def in_weak_proxy(application):
    alive.append(application)
    application = weakref.proxy(application)
    return lambda environ, start_response: list(application(environ, start_response))


def in_cache(application):
    get = functools.cache(lambda: next(loaded))
    loaded = iter([application])
    get()
    return lambda environ, start_response: list(get()(environ, start_response))


def in_cache_with_a_size(application):
    get = functools.lru_cache(lambda: next(loaded))
    loaded = iter([application])
    get()
    return lambda environ, start_response: list(get()(environ, start_response))


def in_queue(application):
    queue = deque([application])
    return lambda environ, start_response: list(queue[0](environ, start_response))


def in_view(application):
    view = types.MappingProxyType({"": application})
    return lambda environ, start_response: list(view[""](environ, start_response))


def in_namespace(application):
    config = types.SimpleNamespace(inner=application)
    return lambda environ, start_response: list(config.inner(environ, start_response))


def under_a_type(application):
    expected = type(application)

    def layer(environ, start_response):
        if type(application) is not expected:
            raise TypeError(type(application))
        return list(application(environ, start_response))

    return layer


def under_its_identity(application):
    expected = id(application)

    def layer(environ, start_response):
        if id(application) != expected:
            raise TypeError(application)
        return list(application(environ, start_response))

    return layer


HIDERS = (
    *(in_global, in_global_table, in_module, in_class, in_class_itself),
    *(in_closure_of_a_method, in_instances, in_instances_of_a_partial, in_variable, in_local),
    *(in_reference, in_weak_values, in_weak_proxy, in_cache, in_cache_with_a_size, in_queue),
    *(in_view, in_namespace, under_a_type, under_its_identity, InNamedTuple),
)


# -- at fault under a condition --


def if_answered(test):
    """Return a layer that loses the bodies whose status and headers *test* says."""

    def losing(application):
        def layer(environ, start_response):
            seen = []

            def note(status, headers, exc_info=None):
                seen.append((status, dict(headers)))
                return start_response(status, headers)

            body = application(environ, note)
            return list(body) if seen and test(*seen[0]) else body

        return layer

    return losing


def if_asked(key, value):
    """Return a layer that loses the bodies of requests that have *value* in *key*."""

    def losing(application):
        def layer(environ, start_response):
            body = application(environ, start_response)
            return list(body) if value in environ.get(key, "") else body

        return layer

    return losing


CONDITIONS = {
    "html": if_answered(lambda status, headers: "html" in headers.get("Content-Type", "")),
    "length": if_answered(lambda status, headers: "Content-Length" in headers),
    "tag": if_answered(lambda status, headers: "ETag" in headers),
    "redirect": if_answered(lambda status, headers: "Location" in headers),
    "challenge": if_answered(lambda status, headers: status[:3] == "401"),
    "forbidden": if_answered(lambda status, headers: status[:3] == "403"),
    "missing page": if_answered(
        lambda status, headers: status[:3] == "404" and "html" in headers["Content-Type"]
    ),
    "failure": if_answered(lambda status, headers: status[:3] == "500"),
    "unavailable": if_answered(lambda status, headers: status[:3] == "503"),
    "gzip": if_asked("HTTP_ACCEPT_ENCODING", "gzip"),
    "browser": if_asked("HTTP_USER_AGENT", "Mozilla"),
    "form": if_asked("REQUEST_METHOD", "POST"),
    "range": if_asked("HTTP_RANGE", "bytes="),
    "json": if_answered(lambda status, headers: "json" in headers.get("Content-Type", "")),
    "preflight": if_asked("REQUEST_METHOD", "OPTIONS"),
    "known": if_asked("HTTP_IF_NONE_MATCH", '"'),
}


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


def remembers(application):
    """Answers each path once by asking, and then from memory."""
    known = {}

    def layer(environ, start_response):
        path = environ["PATH_INFO"]
        if path not in known:
            known[path] = list(application(environ, start_response))
        else:
            start_response("200 OK", [])
        return known[path]

    return layer


def remembers_some(application):
    """Answers a page from memory whatever is asked for, if it was a GET."""
    known = {}

    def layer(environ, start_response):
        if environ["REQUEST_METHOD"] != "GET":
            return application(environ, start_response)
        path = environ["PATH_INFO"]
        if path not in known:
            body = application(environ, start_response)
            try:
                known[path] = list(body)
            finally:
                getattr(body, "close", lambda: None)()
        else:
            start_response("200 OK", [])
        return known[path]

    return layer


class MadeLate:
    """Makes what it calls when it is first asked."""

    def __init__(self, make):
        self.make, self.application = make, None

    def __call__(self, environ, start_response):
        if self.application is None:
            self.application = self.make()
        return self.application(environ, start_response)


def asks_a_helper(application):
    def session_of(environ, start_response):
        return {"of": environ["PATH_INFO"]}

    def layer(environ, start_response):
        environ["session"] = session_of(environ, start_response)
        return application(environ, start_response)

    return layer


def closes_unread(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        getattr(body, "close", lambda: None)()
        start_response("200 OK", [])
        return []

    return layer


def generates(application):
    def layer(environ, start_response):
        yield from application(environ, start_response)

    return layer


def wants_a_name(application):
    def layer(environ, start_response):
        if not environ.get("REMOTE_USER"):
            start_response("401 Unauthorized", [])
            return []
        return list(application(environ, start_response))

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
