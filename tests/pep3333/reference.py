"""A server that keeps every rule, and can be told to break one: by the name of its judge.

It is here to see that each rule can be broken.  It is plain: a thread for each connection,
and a connection for each request.
"""

import re
import socket
import threading
import traceback
from contextlib import suppress
from email.utils import formatdate
from io import BytesIO
from urllib.parse import unquote_to_bytes

HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive", "upgrade", "te", "trailers")


class Environ(dict):
    pass


class Errors:
    def __init__(self, note, fault):
        self.write = note
        self.flush = lambda: None
        if fault != "errors_can_be_written":
            self.writelines = lambda lines: [note(line) for line in lines]


class Limited:
    """The body of a request, as far as it goes; it answers 100 when it is read."""

    def __init__(self, stream, length, on_read, fault):
        self._stream, self._left = stream, length
        self._on_read, self._fault = on_read, fault

    def _take(self, method, size):
        self._on_read()
        if self._fault == "input_ends":
            return method(self._left or 1) if size is None else method(size)
        if not self._left:
            return b""
        data = method(self._left if size is None or size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def read(self, *size):
        if not size and self._fault == "input_can_be_read_whole":
            raise TypeError("read() takes a size")
        return self._take(self._stream.read, size[0] if size else None)

    def readline(self, *size):
        line = size if self._fault != "input_has_lines_with_a_size" else ()
        data = self._take(self._stream.readline, line[0] if line else None)
        return data.rstrip(b"\n") if self._fault == "input_can_be_read" else data

    def readlines(self, hint=-1):
        return list(self)

    def __iter__(self):
        return iter(self.readline, b"")


class FileWrapper:
    """What ``wsgi.file_wrapper`` makes where it breaks the rule that it can be iterated."""

    def __init__(self, file, block_size=1000, *, fault=""):
        self.file, self.block_size = file, block_size
        if hasattr(file, "close") and fault != "sends_files":
            self.close = file.close
        if fault == "sends_from_here" and hasattr(file, "seek"):
            file.seek(0)
        if fault == "sends_what_can_be_read":
            self.close = file.close  # it believes that there is one

    def blocks(self):
        return iter(lambda: self.file.read(self.block_size), b"")


class IterableFileWrapper(FileWrapper):
    def __iter__(self):
        return self.blocks()


class Connection:
    """One connection, and what is done about its request."""

    def __init__(self, server, client):
        self.server, self.fault = server, server.fault
        self.client = client
        self.stream = client.makefile("rb")
        self.sent = False
        self.continued = False
        self.started = None
        self.is_late = False
        self.left = None
        self.written = b""

    def breaks(self, *names):
        return self.fault in names

    # -- the request --

    def serve(self):
        first = self.stream.readline().decode("latin-1").split()
        if len(first) != 3:
            return
        self.method, target, protocol = first
        self.headers = {}
        while (line := self.stream.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        environ = self.environ(target, protocol)
        try:
            self.answer(environ)
        except ConnectionError:
            pass  # the client has left
        except Exception:  # noqa: BLE001 - a server survives it
            if not self.breaks("traps_errors"):
                self.server.note(traceback.format_exc())
            if not self.sent:
                self.send_head("500 Internal Server Error", [])
        if self.breaks("closes_what_is_short") and "keep-alive" in self.headers.values():
            Connection(self.server, self.client).serve()

    def environ(self, target, protocol):
        path, _, query = target.partition("?")
        path = unquote_to_bytes(path).decode("latin-1")
        if self.breaks("environ_has_the_url"):
            path = path.encode("latin-1").decode("utf-8", "replace")
        data, length = self.stream, int(self.headers.get("content-length", 0))
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.port),
            "SERVER_PROTOCOL": protocol,
            "wsgi.version": [1, 0] if self.breaks("environ_has_wsgi") else (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": Errors(self.server.note, self.fault),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": self.file_wrapper,
        }
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(line := self.stream.readline(), 16):
                piece = self.stream.read(size + 2)
                body += line + piece if self.breaks("input_is_dechunked") else piece[:-2]
            data, length = BytesIO(body), len(body)
            environ["wsgi.input_terminated"] = True
        elif length:
            environ["CONTENT_LENGTH"] = str(length)
        if self.breaks("continues"):
            length = 0 if "expect" in self.headers else length
        environ["wsgi.input"] = Limited(data, length, self.go_on, self.fault)
        for name, value in self.headers.items():
            if name not in ("content-length", "content-type", *HOP_BY_HOP):
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        if self.breaks("environ_has_headers"):
            environ["HTTP_X_OTHER"] = "yes"
        if self.breaks("environ_is_complete"):
            environ["SERVER_NAME"] = ""
        if self.breaks("environ_has_strings"):
            environ["SERVER_PORT"] = self.server.port
        return Environ(environ) if self.breaks("environ_is_a_dict") else environ

    def file_wrapper(self, file, *block_size):
        if self.breaks("takes_a_block_size") and block_size:
            raise TypeError("it takes one argument")
        make = FileWrapper if self.breaks("makes_an_iterable") else IterableFileWrapper
        return make(file, *block_size, fault=self.fault)

    def go_on(self):
        if "expect" in self.headers and not self.continued:
            self.continued = True
            if not self.breaks("continues_at_once"):
                self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    # -- the response --

    def answer(self, environ):
        application = self.server.application
        if self.breaks("calls_positionally"):
            body = application(environ=environ, start_response=self.start_response)
        else:
            body = application(environ, self.start_response)
        if self.breaks("environ_may_be_changed"):
            self.method = environ["REQUEST_METHOD"]
        if self.breaks("may_start_late") and self.started is None:
            self.started, self.is_late = ("200 OK", []), True
        if self.breaks("uses_nothing_else") and hasattr(body, "read"):
            with suppress(Exception):
                body.read()
        close = getattr(body, "close", None)
        if self.breaks("closes_lists") and isinstance(body, list):
            close = None
        if self.breaks("closes_after_head") and self.method == "HEAD":
            close = None
        ended = "left"
        try:
            blocks = body.blocks() if isinstance(body, FileWrapper) else iter(body)
            ended = self.send_all(blocks)
        except ConnectionError:
            raise
        except BaseException:
            ended = "raised"
            raise
        finally:
            if close is not None and not self.breaks(
                f"closes_what_was_{ended}", f"closes_what_{ended}"
            ):
                close()

    def send_all(self, blocks):
        kept = []
        for block in blocks:
            if self.breaks("sends_blocks_at_once"):
                kept.append(block)
            elif block or self.breaks("headers_wait"):
                self.write(block, by_hand=False)
        for block in kept:
            self.write(block, by_hand=False)
        if self.written:
            self.client.sendall(self.written)
        if not self.sent and not self.breaks("may_be_empty"):
            self.send_head(*self.started)
        return "read"

    def start_response(self, status, headers, exc_info=None):
        if self.is_late:
            return self.write
        if exc_info:
            try:
                if self.sent and not self.breaks("raises_exc_info"):
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
            if self.breaks("may_start_again"):
                return self.write
        elif self.started is not None and not self.breaks("may_not_start_twice"):
            raise AssertionError("start_response() again, without exc_info")
        self.started = (status, headers)
        for name, value in headers:
            if name.lower() in HOP_BY_HOP and not self.breaks("refuses_hop_by_hop"):
                raise ValueError(f"{name} is the server's")
            if re.search("[\r\n]", value) and not self.breaks("refuses_bad_headers"):
                raise ValueError(f"{name} has a line break")
        return self.write

    def write(self, data, *, by_hand=True):
        if not self.sent:
            self.send_head(*self.started)
        if self.left is not None and not self.breaks("sends_no_more"):
            data = data[: self.left]
            self.left -= len(data)
        if self.breaks("sends_bytes"):
            data = data.replace(b"\n", b"\r\n")
        if self.method == "HEAD":
            return
        if by_hand and self.breaks("sends_writes_at_once"):
            self.written += data
        elif not (by_hand and self.breaks("write_is_sent")):
            data, self.written = self.written + data, b""
            self.client.sendall(data)

    def send_head(self, status, headers):
        self.sent = True
        lines = [f"HTTP/1.1 {status}", "Connection: close"]
        if not self.breaks("adds_date"):
            lines.append(f"Date: {formatdate(usegmt=True)}")
        found = dict(headers) if self.breaks("sends_headers") else None
        lines += [f"{name}: {value}" for name, value in (found.items() if found else headers)]
        for name, value in headers:
            if name.lower() == "content-length":
                self.left = int(value)
        self.client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))


class Reference:
    """The server, at a port of its own, in a thread: what a judge needs of a site.

    Args:
        application: What to serve.
        folder: Where the client gives its sign.
        fault: The name of the judge whose rule it breaks, or ``""``.
    """

    def __init__(self, application, folder, fault=""):
        self.application, self.folder, self.fault = application, folder, fault
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._log = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def note(self, text):
        self._log.append(text)

    def log(self):
        return "".join(self._log)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            connection = Connection(self, client)
            with suppress(ConnectionError), connection.stream:
                connection.serve()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
