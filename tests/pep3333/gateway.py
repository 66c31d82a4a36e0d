"""A server in the process: it calls as PEP 3333 has it, and writes down what it sees.

It is lenient: what an application does wrong is recorded, and judged later.  It raises only
where the PEP says that ``start_response()`` raises.
"""

import itertools
import sys
from io import BytesIO, StringIO
from wsgiref.util import FileWrapper

_number = itertools.count()


class Input:
    """A ``wsgi.input`` with the methods of the PEP's table and nothing else; it counts."""

    def __init__(self, data):
        self._data = BytesIO(data)
        self._length = len(data)
        self.asked_beyond = False

    def _count(self, size):
        if size is not None and size > self._length - self._data.tell():
            self.asked_beyond = True

    def read(self, size=-1):
        self._count(size)
        return self._data.read(size)

    def readline(self, size=-1):
        return self._data.readline(size)

    def readlines(self, hint=-1):
        return self._data.readlines(hint)

    def __iter__(self):
        return iter(self._data)


class Errors:
    """A ``wsgi.errors`` with the methods of the PEP's table and nothing else."""

    def __init__(self):
        self._text = StringIO()

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, got {text!r}")
        self._text.write(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        pass

    def told(self):
        return self._text.getvalue()


class Closable:
    """The same stream, with a ``close()`` that is nobody's business; it is counted."""

    def __init__(self, stream):
        self._stream = stream
        self.closes = 0

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __iter__(self):
        return iter(self._stream)

    def close(self):
        self.closes += 1


def environ_for(path="/site/page", *, method="GET", body=b"", **more):
    """Return the environ of a request that no cache has seen."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": f"number={next(_number)}",
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_USER_AGENT": "pep3333",
        "HTTP_ACCEPT": "text/html,*/*;q=0.8",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": Input(body),
        "wsgi.errors": Errors(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if body:
        environ["CONTENT_TYPE"] = "text/plain"
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ | more


class Exchange:
    """One request, and all that the server saw of the response.

    Attributes:
        starts: The arguments of each call of ``start_response()``, by position and by name;
            the headers as they were then.
        header_types: The type of the headers in each.
        blocks: What was iterated over.
        written: What was given to ``write()``.
        started_before_block: Whether the response was started when the first block came
            that is not empty.
        length: What ``len()`` said of the body, or None.
        raised: What the application, its body or its ``close()`` raised.
        raised_by_us: What ``start_response()`` raised, as the PEP has it.
    """

    def __init__(self, changes_headers=False):
        self.starts = []
        self.header_types = []
        self.blocks = []
        self.written = []
        self.started_before_block = None
        self.length = None
        self.raised = None
        self.raised_by_us = None
        self.changes_headers = changes_headers

    @property
    def has_sent(self):
        return any(self.blocks) or bool(self.written)

    def start_response(self, *arguments, **keywords):
        exc_info = arguments[2] if len(arguments) > 2 else keywords.get("exc_info")
        headers = arguments[1] if len(arguments) > 1 else keywords.get("headers", [])
        again = bool(self.starts)
        # The exception alone: its traceback would lead back to whoever calls.
        kept = arguments[:1] + tuple([list(headers)] if len(arguments) > 1 else [])
        if len(arguments) > 2:
            kept += (exc_info and exc_info[1].__class__,)
        self.starts.append((kept, sorted(keywords)))
        self.header_types.append(type(headers))
        if self.changes_headers and isinstance(headers, list):
            headers.clear()
        try:
            if exc_info:
                if self.has_sent:
                    self.raised_by_us = exc_info[1].__class__
                    raise exc_info[1].with_traceback(exc_info[2])
            elif again:
                self.raised_by_us = AssertionError
                raise AssertionError("start_response() again, without exc_info")
        finally:
            exc_info = None
            del arguments
        return self.written.append

    @property
    def status(self):
        return self.starts[-1][0][0] if self.starts and self.starts[-1][0] else None

    @property
    def headers(self):
        last = self.starts[-1][0] if self.starts else ()
        return last[1] if len(last) > 1 else []

    def header(self, name):
        found = (value for key, value in self.headers if key.lower() == name.lower())
        return next(found, None)

    @property
    def data(self):
        return b"".join(self.written) + b"".join(self.blocks)

    @property
    def problem(self):
        """What a client would notice that is no page, or ``""``."""
        if self.raised is not None:
            return f"raises {shown(self.raised)}"
        if not isinstance(self.status, str) or not self.status.startswith("200"):
            return f"answers {self.status}"
        return ""


def shown(error):
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return text if len(text) < 120 else f"{text[:117]}..."


def serve(application, environ=None, *, most=None, changes_headers=False, before_block=None):
    """Serve one request as a server does; return the exchange.

    Args:
        application: What to call.
        environ: The request; by default a page is asked for.
        most: Leave after that many blocks; 0 closes the body unread.
        changes_headers: Empty the list of headers once it was given.
        before_block: Called with the exchange before each block is asked for.
    """
    seen = Exchange(changes_headers)
    environ = environ_for() if environ is None else environ
    try:
        body = application(environ, seen.start_response)
        try:
            try:
                seen.length = len(body)
            except (TypeError, AttributeError):
                seen.length = None
            if most != 0:
                blocks = iter(body)
                while True:
                    if before_block is not None:
                        before_block(seen)
                    block = next(blocks, None)
                    if block is None:
                        break
                    if block and seen.started_before_block is None:
                        seen.started_before_block = bool(seen.starts)
                    seen.blocks.append(block)
                    if len(seen.blocks) == most:
                        break
        finally:
            blocks = None
            if hasattr(body, "close"):
                body.close()
    except Exception as error:  # noqa: BLE001 - a server survives it
        seen.raised = error.with_traceback(None)
        error.__context__ = None
        sys.exc_info()
    return seen
