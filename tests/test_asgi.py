"""ASGI applications over WSGI: real ones, and small ones for what is hard to provoke."""

import asyncio
import io
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from fastapi import FastAPI, Request

from freedom_middleware import Application, Mount
from freedom_middleware.errors import ApplicationError
from freedom_middleware.testing import exchange, make_environ


def until(condition, seconds=5.0):
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


async def answer(send, body=b"ok", more=False, status=200):
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def http_only(serve):
    """Make an application of *serve* that does not know the lifespan, and says so."""

    async def application(scope, receive, send):
        assert scope["type"] == "http"
        await serve(scope, receive, send)

    return application


def soon(function, *arguments, **keywords):
    """Call *function* on a thread of its own, which fails the test if it hangs."""
    got = []

    def run():
        try:
            got.append(function(*arguments, **keywords))
        except BaseException as error:  # noqa: BLE001 - raised again below
            got.append(error)

    threading.Thread(target=run, daemon=True).start()
    until(lambda: got)
    if isinstance(got[0], BaseException):
        raise got[0]
    return got[0]


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]}
PART = {"type": "http.response.body", "body": b"x", "more_body": True}
LAST = {"type": "http.response.body", "body": b"x"}


class TestRequest:
    def fastapi(self):
        application = FastAPI()

        @application.api_route("/items/{name}", methods=["GET", "POST"])
        async def items(name: str, request: Request) -> dict[str, object]:
            return {
                "name": name,
                "root_path": request.scope["root_path"],
                "path": request.url.path,
                "query": dict(request.query_params),
                "size": len(await request.body()),
            }

        return application

    def test_fastapi_answers_under_its_prefix(self):
        mount = Mount(None, {"/api": self.fastapi()})

        found = exchange(mount, "/api/items/café?q=1", method="POST", body=b"x" * 100_000)

        assert found.code == 200
        assert found.body.decode() == (
            '{"name":"café","root_path":"/api","path":"/api/items/café",'
            '"query":{"q":"1"},"size":100000}'
        )

    def test_a_request_body_without_content_length_arrives(self):
        environ = make_environ("/items/a", method="POST")
        environ["wsgi.input"] = io.BytesIO(b"x" * 200_000)
        environ["wsgi.input_terminated"] = True

        found = exchange(Application(self.fastapi()), environ=environ, validate=False)

        assert b'"size":200000' in found.body

    def test_a_client_that_leaves_in_the_middle_of_an_upload_disconnects(self):
        """Or an application that reads to the end would read for ever."""
        seen = []

        @http_only
        async def application(scope, receive, send):
            while (message := await receive()).get("more_body"):
                seen.append(message["body"])
            seen.append(message["type"])
            await answer(send)

        environ = make_environ(method="POST") | {"CONTENT_LENGTH": "100"}
        environ["wsgi.input"] = io.BytesIO(b"half")

        soon(exchange, Application(application), environ=environ, validate=False)

        assert seen == [b"half", "http.disconnect"]

    def test_who_receives_after_the_answer_is_told_that_it_is_over(self):
        seen = []

        @http_only
        async def application(scope, receive, send):
            await answer(send)
            seen.append(await receive())

        soon(exchange, Application(application))

        assert seen == [{"type": "http.disconnect"}]

    @pytest.mark.parametrize(
        ("environ", "status"),
        [
            ({"HTTP_UPGRADE": "WebSocket"}, "501 Not Implemented"),
            ({"PATH_INFO": "/\xff"}, "400 Bad Request"),
            ({"CONTENT_LENGTH": "abc"}, "400 Bad Request"),
            ({"CONTENT_LENGTH": "-1"}, "400 Bad Request"),
            ({"QUERY_STRING": "q=\xe9"}, "200 OK"),
        ],
    )
    def test_what_cannot_cross_is_refused_in_plain_words(self, environ, status):
        answered = exchange(
            Application(self.fastapi()),
            environ=make_environ("/items/a") | environ,
            validate=False,
        )

        assert answered.status == status

    def test_a_websocket_is_told_where_to_go(self):
        answered = exchange(Application(self.fastapi()), headers={"Upgrade": "websocket"})

        assert b"WebSocket cannot cross WSGI" in answered.body


class TestResponse:
    def test_the_status_is_known_when_the_call_returns(self):
        """Granian ignores a start_response that comes later."""
        told = []

        def start_response(status, headers, exc_info=None):
            told.append(status)

        @http_only
        async def application(scope, receive, send):
            await answer(send, status=404)

        body = Application(application)(make_environ(), start_response)

        assert told == ["404 Not Found"]
        body.close()

    def test_headers_may_be_left_out(self):
        @http_only
        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"ok"})

        assert exchange(Application(application), validate=False).body == b"ok"

    @pytest.mark.parametrize("chunks", [0, 1, 3])
    def test_leaving_early_cancels_the_application(self, chunks):
        released = []

        @http_only
        async def endless(scope, receive, send):
            try:
                await answer(send, b"x", more=True)
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
            finally:
                released.append(scope["path"])

        exchange(Application(endless), chunks=chunks)

        until(lambda: released == ["/"])

    def test_a_call_that_fails_cancels_the_application(self):
        released = []

        @http_only
        async def application(scope, receive, send):
            try:
                await answer(send)
            finally:
                released.append(True)

        def start_response(status, headers, exc_info=None):
            raise LookupError("on purpose")

        with pytest.raises(LookupError):
            Application(application)(make_environ(), start_response)

        until(lambda: released)

    def test_an_error_is_a_500_and_logged_with_its_request(self, caplog):
        @http_only
        async def application(scope, receive, send):
            raise LookupError("on purpose")

        answered = exchange(Application(application), "/x")

        assert answered.code == 500
        assert "GET '/x' raised in" in caplog.text
        assert "LookupError: on purpose" in caplog.text

    @pytest.mark.parametrize(
        ("messages", "error", "told"),
        [
            ([], None, "must end its response, and returned before the start"),
            ([START], None, "must end its response, and returned after the start"),
            ([START, START], None, "got 'http.response.start' after the start"),
            ([LAST], None, "got 'http.response.body' before the start"),
            ([{"type": "http.response.push"}], None, "got 'http.response.push'"),
            ([START], LookupError("on purpose"), "on purpose"),
            ([], asyncio.CancelledError(), "cancelled itself before the start"),
            ([], SystemExit(3), r"must not end the process, got SystemExit\(3\)"),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_no_answer_is_a_500(self, method, messages, error, told, caplog):
        @http_only
        async def application(scope, receive, send):
            for message in messages:
                await send(dict(message))
            if error is not None:
                raise error

        adapted = Application(application)
        answers = [soon(exchange, adapted, method=method) for _ in range(2)]

        assert [answer.code for answer in answers] == [500, 500]
        assert (answers[0].body == b"") is (method == "HEAD")
        assert re.search(told, caplog.text)

    @pytest.mark.parametrize(
        ("error", "raised"),
        [
            (None, "returned after the start"),
            (LookupError("on purpose"), "on purpose"),
            (asyncio.CancelledError(), "cancelled itself after the start"),
        ],
    )
    def test_half_an_answer_never_looks_like_a_whole_one(self, error, raised):
        """One in fifteen did: a2wsgi looked whether the application had ended."""

        @http_only
        async def application(scope, receive, send):
            await send(dict(START))
            await send(dict(PART))
            if error is not None:
                raise error

        adapted = Application(application)

        for _ in range(50):
            with pytest.raises(Exception, match=raised):
                soon(exchange, adapted)

    def test_what_is_sent_after_the_last_chunk_is_an_error_of_the_sender(self, caplog):
        @http_only
        async def application(scope, receive, send):
            await answer(send)
            await send(LAST)

        assert soon(exchange, Application(application)).body == b"ok"
        assert "got 'http.response.body' after the last" in caplog.text

    def test_a_task_that_exits_does_not_stop_the_others(self, caplog):
        @http_only
        async def application(scope, receive, send):
            async def leave():
                sys.exit(3)

            task = asyncio.create_task(leave())
            await asyncio.wait([task])
            await answer(send, repr(task.exception()).encode())

        adapted = Application(application)

        assert soon(exchange, adapted).body == b"SystemExit(3)"
        assert soon(exchange, adapted).body == b"SystemExit(3)"
        assert "which ends it alone" in caplog.text


class Lifespan:
    """An application that tells what happens to it."""

    def __init__(self, startup="complete"):
        self.startup = startup
        self.events = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.events.append(scope.get("state"))
            await answer(send)
            return
        message = await receive()
        self.events.append(message["type"])
        scope["state"]["pool"] = "open"
        if self.startup == "failed":
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        self.events.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})


class TestLifespan:
    def test_it_starts_before_the_first_request_and_not_before(self):
        application = Lifespan()
        adapted = Application(application)
        assert application.events == []

        exchange(adapted)
        exchange(adapted)

        assert application.events == ["lifespan.startup", {"pool": "open"}, {"pool": "open"}]

    def test_many_first_requests_start_it_once(self):
        application = Lifespan()
        adapted = Application(application)
        barrier = threading.Barrier(8)

        def ask():
            barrier.wait()
            exchange(adapted)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert application.events.count("lifespan.startup") == 1

    def test_an_application_without_a_lifespan_is_served(self):
        @http_only
        async def application(scope, receive, send):
            await answer(send)

        assert exchange(Application(application)).code == 200

    def test_an_application_that_ignores_it_is_served(self):
        async def application(scope, receive, send):
            if scope["type"] == "http":
                await answer(send)

        assert exchange(Application(application)).code == 200

    def test_a_startup_that_fails_is_refused_and_tried_again(self):
        application = Lifespan("failed")
        adapted = Application(application)
        before = threading.active_count()

        with pytest.raises(ApplicationError, match="startup must succeed, got 'no database'"):
            exchange(adapted)
        assert threading.active_count() == before

        application.startup = "complete"
        assert exchange(adapted).code == 200

    def test_a_startup_that_exits_is_refused(self):
        async def application(scope, receive, send):
            sys.exit("no database")

        adapted = Application(application)

        for _ in range(2):
            with pytest.raises(ApplicationError, match=r"got SystemExit\('no database'\)"):
                soon(exchange, adapted)

    def test_a_startup_that_raises_is_told_of(self, caplog):
        """The application is served all the same, as the specification wants it."""

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                raise LookupError("on purpose")
            await answer(send)

        assert exchange(Application(application)).code == 200
        assert "startup of" in caplog.text
        assert "LookupError: on purpose" in caplog.text

    def test_an_application_without_a_lifespan_is_not_told_of(self, caplog):
        @http_only
        async def application(scope, receive, send):
            await answer(send)

        exchange(Application(application))

        assert caplog.text == ""

    def test_a_shutdown_that_fails_is_told_of(self):
        script = """if True:
            import logging
            from freedom_middleware import Application
            from freedom_middleware.testing import exchange

            async def application(scope, receive, send):
                if scope["type"] == "lifespan":
                    await receive()
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                    await send({"type": "lifespan.shutdown.failed", "message": "disk full"})
                    return
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"ok"})

            logging.basicConfig()
            exchange(Application(application), validate=False)
        """

        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

        assert re.search("shutdown of .* failed: disk full", done.stderr)

    def test_fastapi_has_its_state_and_shuts_down_at_exit(self):
        script = """if True:
            from contextlib import asynccontextmanager
            from fastapi import FastAPI, Request
            from freedom_middleware import Application
            from freedom_middleware.testing import exchange

            @asynccontextmanager
            async def lifespan(application):
                print("startup")
                yield {"pool": "open"}
                print("shutdown")

            application = FastAPI(lifespan=lifespan)

            @application.get("/")
            async def home(request: Request):
                return request.state.pool

            adapted = Application(application)
            print("request")
            print(exchange(adapted).body)
        """

        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

        assert done.stdout.splitlines() == ["request", "startup", "b'\"open\"'", "shutdown"]
        assert done.stderr == ""

    def test_an_endless_response_does_not_keep_the_process(self):
        script = """if True:
            from freedom_middleware import Application
            from freedom_middleware.testing import make_environ

            async def application(scope, receive, send):
                assert scope["type"] == "http"
                await send({"type": "http.response.start", "status": 200})
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})

            body = Application(application)(make_environ(), lambda *_: None)
            print(next(body))
        """

        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

        assert done.stdout == "b'x'\n"
        assert done.stderr == ""

    def test_a_forked_child_starts_its_own(self):
        """As under a server that loads, and may even serve, before it forks."""
        application = Lifespan()
        adapted = Application(application)
        exchange(adapted)
        application.events.clear()

        child = os.fork()
        if child == 0:
            status = 1
            try:
                exchange(adapted)
                status = 0 if application.events[0] == "lifespan.startup" else 2
            finally:
                os._exit(status)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_without_a2wsgi_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "a2wsgi", None)

    with pytest.raises(ApplicationError, match=r"pip install 'freedom-middleware\[asgi\]'"):
        Application(Lifespan())
