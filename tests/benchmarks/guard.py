"""What CloseGuard adds to a request, beside Werkzeug's ClosingIterator."""

from werkzeug.wsgi import ClosingIterator

from freedom_middleware import CloseGuard

from .timing import shown, side_by_side, verdict

# As long as what gunicorn hands out.
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "HTTP_HOST": "localhost",
    "wsgi.url_scheme": "http",
} | {f"HTTP_X_{number}": "x" for number in range(37)}

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "1")]


class Body:
    """As cheap a body as there is: what is measured is around it."""

    def __init__(self, chunks):
        self._chunks = [b"x"] * chunks

    def __iter__(self):
        return iter(self._chunks)

    def close(self):
        pass


def answering(body):
    return lambda environ, start_response: body


def answering_a_list(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"x"]


def ignore(status, headers, exc_info=None):
    return None


def forwarding(application):
    def forward(environ, start_response):
        return application(environ, start_response)

    return forward


def closing(application):
    def layer(environ, start_response):
        return ClosingIterator(application(environ, start_response))

    return layer


def served(application):
    """Return a request as a server handles it: call, read, close."""

    def serve():
        body = application(ENVIRON, None)
        for _ in body:
            pass
        body.close()

    return serve


def called(application):
    return lambda: application(ENVIRON, ignore)


def main():
    one, many = answering(Body(1)), answering(Body(1000))
    cost = side_by_side(
        {
            "bare": served(one),
            "ClosingIterator": served(closing(one)),
            "CloseGuard": served(CloseGuard(one)),
            "bare, 1000 chunks": served(many),
            "CloseGuard, 1000 chunks": served(CloseGuard(many)),
            "list, bare": called(answering_a_list),
            "list, forwarding function": called(forwarding(answering_a_list)),
            "list, CloseGuard": called(CloseGuard(answering_a_list)),
        }
    )
    for name, nanoseconds in cost.items():
        print(f"  {name:<62}{shown(nanoseconds):>7}")
    adds = cost["CloseGuard"] - cost["bare"]
    chunk = (cost["CloseGuard, 1000 chunks"] - cost["bare, 1000 chunks"] - adds) / 999
    print(
        verdict(
            "a body with close(): adds / what ClosingIterator adds",
            adds / (cost["ClosingIterator"] - cost["bare"]),
            0.40,
        )
    )
    print(verdict("a chunk: adds, in ns", chunk, 10))
    print(
        verdict(
            "an exact list: CloseGuard / a forwarding function",
            cost["list, CloseGuard"] / cost["list, forwarding function"],
            1.3,
        )
    )
