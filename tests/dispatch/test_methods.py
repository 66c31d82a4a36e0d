import io
import sys

import pytest

from freedom_middleware import CloseGuard, Mount
from freedom_middleware.dispatch import Methods
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.errors import (
    ApplicationTypeError,
    MethodError,
    OptionError,
    TableError,
    TableTypeError,
)
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ
from freedom_middleware.tree import children_of, draw

PLAIN = [("Content-Type", "text/plain")]


def method_of(environ, start_response):
    start_response("200 OK", PLAIN)
    return [environ["REQUEST_METHOD"].encode()]


def returning(body, headers=PLAIN):
    def application(environ, start_response):
        start_response("200 OK", headers)
        return body

    return application


class TestDispatch:
    @pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND", "x-own", "M-SEARCH"])
    def test_each_method_has_its_application(self, method):
        methods = Methods({"PUT": hello, method: method_of})

        assert exchange(methods, method=method, validate=False).body == method.encode()

    def test_a_table_may_answer_head_and_options_itself(self):
        methods = Methods({"GET": hello, "HEAD": returning([]), "OPTIONS": method_of})

        assert exchange(methods, method="HEAD").header("Content-Length") is None
        assert exchange(methods, method="OPTIONS").body == b"OPTIONS"

    def test_the_child_has_its_own_environ(self):
        def writes(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["kept"] = "secret"
            return hello(environ, start_response)

        for method in ("GET", "HEAD"):
            environ = make_environ(method=method)
            exchange(Methods({"GET": writes}, back=("REMOTE_USER",)), environ=environ)

            assert environ["REMOTE_USER"] == "alice"
            assert "kept" not in environ

    def test_share_gives_the_caller_s_own(self):
        def looks(child, start_response):
            assert child is environ
            return hello(child, start_response)

        for method in ("GET", "HEAD"):
            environ = make_environ(method=method)
            assert (
                exchange(
                    Methods({"GET": looks}, share=True), environ=environ, validate=False
                ).code
                == 200
            )

    def test_mounted_is_told(self):
        for method in ("GET", "HEAD"):
            environ = make_environ("/a/b", method=method)
            exchange(Methods({"GET": Mount(None, {"/a": hello})}), environ=environ)

            assert environ[MOUNTED] == "/a"

    def test_the_body_is_returned_itself(self):
        body = SpyBody([b"x"])

        assert Methods({"GET": returning(body)})(make_environ(), lambda *_: None) is body


class TestNotAllowed:
    @pytest.mark.parametrize(
        ("table", "allow"),
        [
            ({}, "OPTIONS"),
            ({"GET": hello}, "GET, HEAD, OPTIONS"),
            ({"POST": hello, "GET": hello}, "POST, GET, HEAD, OPTIONS"),
            ({"HEAD": hello, "GET": hello}, "HEAD, GET, OPTIONS"),
            ({"OPTIONS": hello, "PUT": hello}, "OPTIONS, PUT"),
        ],
    )
    def test_405_says_what_is(self, table, allow):
        answer = exchange(Methods(table), method="DELETE")

        assert answer.status == "405 Method Not Allowed"
        assert answer.header("Allow") == allow
        assert answer.body == b"405 Method Not Allowed\n"
        assert answer.header("Content-Length") == str(len(answer.body))

    @pytest.mark.parametrize("method", ["BREW", "get", "<script>", "é", ""])
    def test_so_it_does_for_a_method_that_nobody_knows(self, method):
        """And not 501: what others on this server know is not known here."""
        answer = exchange(Methods({"GET": hello}), method=method, validate=False)

        assert answer.code == 405
        assert answer.body == b"405 Method Not Allowed\n"

    def test_to_head_without_a_get_there_is_no_body(self):
        answer = exchange(Methods({"POST": hello}), method="HEAD")

        assert (answer.code, answer.body) == (405, b"")
        assert answer.header("Allow") == "POST, OPTIONS"


class TestOptions:
    @pytest.mark.parametrize("path", ["/", "*"])
    def test_the_answer_says_what_is_allowed_and_has_no_body(self, path):
        environ = make_environ(method="OPTIONS", PATH_INFO=path)

        answer = exchange(Methods({"GET": hello}), environ=environ, validate=False)

        assert answer.status == "204 No Content"
        assert answer.headers == [("Allow", "GET, HEAD, OPTIONS")]
        assert answer.body == b""


class TestHead:
    """The application for GET answers, and its body is not sent."""

    def test_the_method_stays_head(self):
        seen = []

        def looks(environ, start_response):
            seen.append(environ["REQUEST_METHOD"])
            return hello(environ, start_response)

        exchange(Methods({"GET": looks}), method="HEAD")

        assert seen == ["HEAD"]

    def test_the_headers_are_those_of_get(self):
        methods = Methods({"GET": hello})

        get, head = exchange(methods), exchange(methods, method="HEAD")

        assert head == get._replace(body=b"", chunks=0)
        assert head.header("Content-Length") == "14"

    @pytest.mark.parametrize("chunks", [0, None])
    def test_the_body_is_closed_once_and_not_before_the_server_does(self, chunks):
        body = SpyBody([b"one", b"two"])
        closed = []

        def looks(status, headers):
            closed.append(body.closes)

        returned = Methods({"GET": returning(body)})(make_environ(method="HEAD"), looks)
        if chunks is None:
            assert list(returned) == []
        assert body.closes == 0
        returned.close()
        returned.close()

        assert closed == [0]
        assert body.closes == 1

    def test_it_is_no_list(self):
        """Some servers take the length of a list for the Content-Length."""
        returned = Methods({"GET": returning([b"x"])})(
            make_environ(method="HEAD"), lambda *_: None
        )

        assert not hasattr(returned, "__len__")
        assert list(returned) == []
        returned.close()

    def test_a_lazy_application_is_asked_for_its_status(self):
        done = []

        def lazy(environ, start_response):
            try:
                yield b""
                start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
                for chunk in (b"one", b"two"):
                    done.append(chunk)
                    yield chunk
            finally:
                done.append("closed")

        answer = exchange(Methods({"GET": lazy}), method="HEAD")

        assert (answer.code, answer.header("Content-Length"), answer.body) == (200, "6", b"")
        assert done == [b"one", "closed"]

    def test_an_application_that_needs_time_is_not_waited_for(self):
        def slow(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b""
            yield b""
            yield b"one"
            raise AssertionError("must not be read on")

        started = []
        returned = Methods({"GET": slow})(
            make_environ(method="HEAD"), lambda status, headers: started.append(status)
        )

        assert started == []
        assert [next(returned), started] == [b"", ["200 OK"]]
        assert list(returned) == [b""]
        returned.close()

    def test_a_late_status_is_sent(self):
        error = LookupError("on purpose")

        def late(environ, start_response):
            start_response("200 OK", PLAIN)

            def chunks():
                start_response("500 Oops", PLAIN, (LookupError, error, None))
                yield b"x"

            return chunks()

        assert exchange(Methods({"GET": late}), method="HEAD", validate=False).code == 500

    def test_a_status_that_comes_too_late_raises(self):
        def too_late(environ, start_response):
            start_response("200 OK", PLAIN)(b"x")
            try:
                raise LookupError("on purpose")
            except LookupError:
                start_response("500 Oops", PLAIN, sys.exc_info())

        def start_response(status, headers, exc_info=None):
            if exc_info is not None:
                raise exc_info[1].with_traceback(exc_info[2])

        with pytest.raises(LookupError, match="on purpose"):
            Methods({"GET": too_late})(make_environ(method="HEAD"), start_response)

    def test_what_is_written_is_not_sent(self):
        def writes(environ, start_response):
            start_response("200 OK", PLAIN)(b"written")
            return [b"returned"]

        assert exchange(Methods({"GET": writes}), method="HEAD", validate=False).body == b""

    def test_an_error_of_the_application_reaches_the_server(self):
        body = SpyBody([b"x"], error=LookupError("on purpose"))

        with pytest.raises(LookupError, match="on purpose"):
            exchange(Methods({"GET": returning(body)}), method="HEAD")

    def test_a_file_is_closed_unread(self):
        file = io.BytesIO(b"x")

        exchange(CloseGuard(Methods({"GET": returning(file)})), method="HEAD")

        assert file.closed


class TestConstruction:
    @pytest.mark.parametrize("method", ["get", "Post", "oPTIONS"])
    def test_a_common_method_in_the_wrong_case_is_refused(self, method):
        fixed = method.upper()
        with pytest.raises(
            MethodError, match=f"as it is sent, got '{method}'; write '{fixed}'"
        ):
            Methods({method: hello})

        with pytest.raises(MethodError):
            Methods({}).methods[method] = hello

    @pytest.mark.parametrize("method", ["", "GET POST", "GET,POST", "/", "GÉT", "GET\n", "*"])
    def test_what_can_be_no_method_is_refused(self, method):
        with pytest.raises(MethodError, match="method must be the name of one"):
            Methods({method: hello})

    @pytest.mark.parametrize("method", [b"GET", None, 7, ("GET", "POST")])
    def test_a_method_that_is_no_text_is_refused(self, method):
        with pytest.raises(TableTypeError, match=r"method must be text, got .*; write 'GET'"):
            Methods({method: hello})

    @pytest.mark.parametrize("table", [hello, [("GET", hello)], None, "GET"])
    def test_a_table_that_is_no_mapping_is_refused(self, table):
        with pytest.raises(
            TableTypeError, match=r"methods must be a mapping .*Methods\(\{'GET'"
        ):
            Methods(table)

    def test_a_child_that_is_no_application_is_named_by_its_method(self):
        with pytest.raises(ApplicationTypeError, match="method 'GET': application must"):
            Methods({"GET": 42})

    @pytest.mark.parametrize("options", [{"back": "REMOTE_USER"}, {"share": 1}])
    def test_an_option_it_does_not_know_is_refused(self, options):
        with pytest.raises(OptionError, match="Methods's"):
            Methods({}, **options)

    def test_errors_are_table_errors(self):
        assert issubclass(MethodError, TableError)


class TestChange:
    def test_methods_come_and_go(self):
        methods = Methods({"GET": hello})

        methods.methods["PUT"] = method_of
        assert exchange(methods, method="PUT").body == b"PUT"
        assert exchange(methods, method="OPTIONS").header("Allow") == "GET, HEAD, PUT, OPTIONS"
        del methods.methods["GET"]
        assert exchange(methods).code == 405
        methods.methods.replace({"POST": method_of})
        assert list(methods.methods) == ["POST"]
        assert exchange(methods, method="POST").body == b"POST"


class TestTree:
    methods = staticmethod(Methods({"GET": hello, "PUT": method_of}))

    def chosen(self, method):
        environ = make_environ(method=method)
        before = dict(environ)
        [choice] = type(self).methods.wsgi_choices(environ)
        assert environ == before == choice.environ
        assert choice.environ is not environ
        return choice

    def test_it_names_its_children(self):
        assert draw(type(self).methods).splitlines()[1:] == [
            "├─ GET  hello",
            "├─ PUT  method_of",
            "└─ *    405 Method Not Allowed",
        ]

    def test_its_own_answer_is_an_application(self):
        own = dict(children_of(type(self).methods))["*"]

        assert exchange(own).code == 405
        assert exchange(own, method="OPTIONS").code == 204

    @pytest.mark.parametrize(
        ("method", "label", "reason"),
        [
            ("PUT", "PUT", "method PUT"),
            ("HEAD", "GET", "HEAD goes to GET, and its body is not sent"),
            ("OPTIONS", "*", "answered here: 204 with Allow: GET, HEAD, PUT, OPTIONS"),
            (
                "POST",
                "*",
                "default: no application for 'POST': 405 with Allow: GET, HEAD, PUT, OPTIONS",
            ),
        ],
    )
    def test_it_says_which_is_chosen_and_why(self, method, label, reason):
        choice = self.chosen(method)

        assert (choice.label, choice.reason, choice.near_misses) == (label, reason, ())

    def test_another_case_is_a_near_miss(self):
        assert self.chosen("get").near_misses == (
            ("GET", "the request's method differs in upper and lower case"),
        )
