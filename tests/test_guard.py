"""CloseGuard, point by point of its promise."""

import _thread
import copy
import gc
import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from itertools import chain
from wsgiref.util import FileWrapper

import pytest

from freedom_middleware import CloseGuard, Mount, dropped, ledger
from freedom_middleware.errors import ApplicationTypeError, OptionError, UnclosedBodyWarning
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

from .interpreters import CLOSED, collected, let_go


def answering(body):
    """Return an application that answers with *body*."""

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return application


def start_nothing(status, headers, exc_info=None):
    return lambda data: None


def respond(application, environ=None):
    return application(environ or make_environ(), start_nothing)


def drain():
    """Settle what waits for this thread, as its next requests would."""
    gc.collect()
    collected()
    for _ in range(100):
        dropped.settle()
        if not dropped.waiting:
            break


def settled(application):
    """Drop a response of *application*, and have it reported."""
    respond(application)
    drain()


def run_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def printed_by(script):
    """Return what *script* prints in a process of its own, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


class ClosedByItsFinalizer:
    """A layer's body that closes what it holds when the collector finds it."""

    def __init__(self, body):
        self.body = body
        self.cycle = self

    def __del__(self):
        self.body.close()


@pytest.fixture
def told():
    """Collect findings; the warnings and log lines that go with them are expected."""
    findings = []
    logger = logging.getLogger("freedom_middleware.leaks")
    logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnclosedBodyWarning)
        yield findings
        drain()
    logger.setLevel(logging.NOTSET)
    assert not dropped.waiting


class TestUntouched:
    """Point 1: what has nothing to close is none of the guard's business."""

    @pytest.mark.parametrize(
        "body", [[b"x"], (b"x",), [], chain([b"x"]), b"x", None], ids=lambda b: type(b).__name__
    )
    def test_a_body_without_close_is_returned_itself(self, body):
        assert respond(CloseGuard(answering(body))) is body

    def test_a_guarded_body_is_not_guarded_again(self):
        guarded = respond(CloseGuard(answering(SpyBody([b"x"]))))

        assert respond(CloseGuard(answering(guarded))) is guarded
        guarded.close()

    def test_a_list_that_can_be_closed_is_guarded(self):
        """Two servers take a list subclass for a list, and never close it."""

        class ClosingList(list):
            closes = 0

            def close(self):
                self.closes += 1

        body = ClosingList([b"x"])
        guarded = respond(CloseGuard(answering(body)))
        guarded.close()

        assert not isinstance(guarded, list)
        assert body.closes == 1


class Hostile(SpyBody):
    """A body that answers with an error what is not there, as a careless proxy does."""

    def __getattr__(self, name):
        raise KeyError(name)


class TestHostile:
    """What cannot be looked at is guarded: its errors are the server's, at their time."""

    def test_where_the_wrapper_is_a_function_one_without_fileno_is_served(self):
        body = Hostile([b"x"])
        environ = make_environ(**{"wsgi.file_wrapper": lambda file, size=8192: file})

        guarded = respond(CloseGuard(answering(body)), environ)

        assert list(guarded) == [b"x"]
        guarded.close()
        assert body.closes == 1

    def test_the_error_of_one_without_close_comes_where_a_server_closes(self):
        class NoClose:
            def __iter__(self):
                return iter([b"x"])

            __getattr__ = Hostile.__getattr__

        guarded = respond(CloseGuard(answering(NoClose())))

        assert list(guarded) == [b"x"]
        with pytest.raises(KeyError, match="close"):
            guarded.close()

    def test_one_that_does_not_say_of_which_class_it_is_is_served(self):
        class Nameless(SpyBody):
            @property
            def __class__(self):
                raise RuntimeError("on purpose")

        body = Nameless([b"x"])
        environ = make_environ(**{"wsgi.file_wrapper": FileWrapper})

        guarded = respond(CloseGuard(answering(body)), environ)

        assert list(guarded) == [b"x"]
        guarded.close()
        assert body.closes == 1

    @pytest.mark.parametrize("attribute", ["__setattr__", "__getattr__"])
    def test_a_file_that_is_served_whatever_it_says(self, attribute):
        def refuse(self, name, value=None):
            raise LookupError(name)

        class Wrapper:
            closes = 0

            def close(self):
                type(self).closes += 1

        setattr(Wrapper, attribute, refuse)
        environ = make_environ(**{"wsgi.file_wrapper": Wrapper})

        served = respond(CloseGuard(lambda e, s: Wrapper()), environ)
        assert Wrapper.closes == 0
        served.close()
        assert Wrapper.closes == 1


class TestFiles:
    """Point 2: a server recognises what its own file wrapper made."""

    def environ(self, wrapper=FileWrapper):
        return make_environ(**{"wsgi.file_wrapper": wrapper})

    def test_it_is_returned_itself_and_closed_once(self):
        file = SpyBody([b"x"])
        file.read = io.BytesIO(b"x").read
        wrapper = FileWrapper(file)

        returned = respond(CloseGuard(answering(wrapper)), self.environ())
        returned.close()
        returned.close()

        assert returned is wrapper
        assert file.closes == 1

    def test_it_is_closed_when_it_is_dropped(self, told):
        file = SpyBody()
        file.read = io.BytesIO(b"x").read
        application = CloseGuard(lambda e, s: FileWrapper(file), on_leak=told.append)

        respond(application, self.environ())
        let_go()

        assert file.closes == 1

    def test_it_is_closed_when_it_is_dropped_though_close_is_its_own_method(self, told):
        """As on waitress: to refer to the method would be to keep the body."""

        class Wrapper:
            def __init__(self, file):
                self.file = file

            def close(self):
                self.file.close()

        file = SpyBody()
        application = CloseGuard(lambda e, s: Wrapper(file), on_leak=told.append)
        respond(application, self.environ(Wrapper))
        let_go()
        assert file.closes == 1

        returned = respond(application, self.environ(Wrapper))
        returned.close()
        returned.close()
        assert file.closes == 2

    def test_one_that_has_close_from_the_file_that_it_stands_for(self, told):
        """As a proxy has it that is copied like anything else; there the class has none."""

        class Proxy:
            def __init__(self, file):
                self.file = file

            def __getattr__(self, name):
                if name.startswith("__"):
                    raise AttributeError(name)
                return getattr(self.file, name)

        file = SpyBody()
        file.fileno = lambda: 1
        application = CloseGuard(lambda e, s: Proxy(file), on_leak=told.append)
        returned = respond(application, self.environ(lambda file: file))
        returned.close()
        returned.close()
        del returned
        assert file.closes == 1

        respond(application, self.environ(lambda file: file))
        drain()
        assert file.closes == 2
        assert [finding.error for finding in told] == [None]

    @pytest.mark.parametrize("error", [TypeError, AttributeError, LookupError])
    def test_it_is_closed_by_the_collector_where_it_cannot_be_copied(self, error, told):
        class Wrapper:
            closes = 0

            def close(self):
                type(self).closes += 1

            def __reduce_ex__(self, protocol):
                raise error("cannot be copied")

        application = CloseGuard(lambda e, s: Wrapper(), on_leak=told.append)
        respond(application, self.environ(Wrapper))
        gc.collect()
        dropped.settle()

        assert Wrapper.closes == 1
        assert [finding.repair for finding in told] == ["late"]

    def test_where_the_wrapper_is_a_function_a_body_with_fileno_counts(self, tmp_path):
        """As on uWSGI, whose wrapper returns the file itself."""
        (tmp_path / "file").write_bytes(b"x")
        file = (tmp_path / "file").open("rb")

        returned = respond(CloseGuard(answering(file)), self.environ(lambda f, size=8192: f))
        returned.close()

        assert returned is file
        assert file.closed

    @pytest.mark.refcounts
    def test_its_own_finalizer_closes_nothing_on_the_thread_of_the_collector(self, told):
        """A file of the standard library closes itself when it is collected.

        It calls the ``close`` that it finds, and where the wrapper is a function, as on
        uWSGI, that is the guard's: around Django's, which put the file in a cycle.
        """
        closed_on = []

        class File(io.RawIOBase):
            def fileno(self):
                return 1

        def application(environ, start_response):
            def close():
                closed_on.append((threading.current_thread(), file))

            start_response("200 OK", [("Content-Type", "text/plain")])
            file = File()
            file.close = close
            return file

        guarded = CloseGuard(application, on_leak=told.append)
        gc.disable()
        respond(guarded, self.environ(lambda file: file))
        self.check_closed_late(closed_on, told)

    @pytest.mark.parametrize("name", ["filelike", "file"])
    def test_neither_does_the_finalizer_of_the_file_under_a_wrapper(self, name, told):
        """The file is closed through the framework, which then counted two responses."""
        closed_on = []

        class File(io.RawIOBase):
            pass

        class Wrapper:
            def __init__(self, file):
                setattr(self, name, file)
                if name == "filelike":  # as on gunicorn; "file" is as on waitress
                    self.close = file.close

            def close(self):
                self.file.close()

        def application(environ, start_response):
            def close():
                closed_on.append((threading.current_thread(), file))

            start_response("200 OK", [("Content-Type", "text/plain")])
            file = File()
            file.close = close
            return Wrapper(file)

        guarded = CloseGuard(application, on_leak=told.append)
        gc.disable()
        cycle = [respond(guarded, self.environ(Wrapper))]
        cycle.append(cycle)
        del cycle
        self.check_closed_late(closed_on, told)

    def check_closed_late(self, closed_on, told):
        """Not on the thread that collects, but on this one, between two requests."""
        try:
            run_thread(gc.collect)
        finally:
            gc.enable()
        assert closed_on == []

        drain()
        ((thread, _),) = closed_on
        assert thread is threading.current_thread()
        assert [finding.repair for finding in told] == ["late"]

    def test_one_that_takes_no_attribute_is_left_alone(self):
        """As on bjoern; closing it early would be worse than not at all."""

        class Rigid:
            __slots__ = ()
            closes = 0

            def close(self):
                type(self).closes += 1

        body = Rigid()

        assert respond(CloseGuard(answering(body)), self.environ(Rigid)) is body
        assert Rigid.closes == 0

    @pytest.mark.parametrize("how", ["closed", "dropped", "guarded twice"])
    def test_where_it_takes_no_attribute_the_file_under_it_is_guarded(self, how, told):
        """As on mod_wsgi, whose wrapper closes the file by the name that it finds there."""

        class Rigid:
            __slots__ = ("filelike",)

            def __init__(self, filelike):
                self.filelike = filelike

            def close(self):
                self.filelike.close()

        closed = []

        class File:
            def close(self):
                closed.append(self)

        application = CloseGuard(lambda e, s: Rigid(File()), on_leak=told.append)
        if how == "guarded twice":
            application = CloseGuard(application)
        returned = respond(application, self.environ(Rigid))
        if how != "dropped":
            returned.close()
            returned.close()
        del returned
        drain()

        assert len(closed) == 1
        assert [finding.repair for finding in told] == [CLOSED] * (how == "dropped")

    def test_it_leaves_a_file_that_closes_itself(self, tmp_path):
        """To claim what closes itself when it goes would be to keep it until a collection."""

        class Rigid:
            __slots__ = ("close", "filelike")

            def __setattr__(self, name, value):
                raise AttributeError(name)

        with (tmp_path / "file").open("wb") as file:
            body = Rigid()
            object.__setattr__(body, "filelike", file)
            object.__setattr__(body, "close", file.close)

            respond(CloseGuard(answering(body)), self.environ(Rigid))

            assert "close" not in vars(file)

    def test_it_is_not_claimed_twice_by_nested_guards(self):
        file = SpyBody()
        file.read = io.BytesIO(b"x").read
        inner = CloseGuard(answering(FileWrapper(file)))
        claim = respond(inner, self.environ()).close

        assert respond(CloseGuard(inner), self.environ()).close is claim
        claim()
        assert file.closes == 1


class TestShape:
    """Point 3: what a server, or a layer, can see of a guarded body."""

    @pytest.fixture
    def guarded(self):
        body = respond(CloseGuard(answering(SpyBody([b"a", b"b"]))))
        yield body
        body.close()

    def test_it_is_its_own_iterator_and_read_once(self, guarded):
        assert iter(guarded) is guarded
        assert list(guarded) == [b"a", b"b"]
        assert list(guarded) == []

    @pytest.mark.parametrize("name", ["__len__", "fileno", "read", "__getitem__", "filelike"])
    def test_servers_find_nothing_to_draw_conclusions_from(self, guarded, name):
        assert not hasattr(guarded, name)

    def test_its_dict_is_empty_and_left_to_others(self, guarded):
        assert vars(guarded) == {}
        guarded._some_tracer = True
        assert vars(guarded) == {"_some_tracer": True}
        guarded.__dict__ = {}
        guarded.close()

    @pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps])
    def test_it_cannot_be_copied(self, guarded, how):
        with pytest.raises(TypeError, match="cannot be copied"):
            how(guarded)

    def test_an_error_while_reading_leaves_as_it_was_raised(self):
        def body():
            yield b"a"
            raise LookupError("on purpose")

        guarded = respond(CloseGuard(answering(body())))

        assert next(guarded) == b"a"
        with pytest.raises(LookupError, match="on purpose"):
            next(guarded)
        guarded.close()

    def test_no_python_code_runs_for_a_chunk(self):
        guarded = respond(CloseGuard(answering(SpyBody([b"x"] * 100))))
        next(guarded)
        calls = []
        sys.setprofile(lambda frame, event, arg: calls.append(event))
        try:
            for _ in guarded:
                pass
        finally:
            sys.setprofile(None)

        assert "call" not in calls
        guarded.close()


class TestClose:
    """Point 4: exactly once, whoever comes first."""

    def test_a_second_close_does_nothing(self):
        body = SpyBody()
        guarded = respond(CloseGuard(answering(body)))
        guarded.close()
        guarded.close()

        assert body.closes == 1

    @pytest.mark.parametrize("chunks", [0, 1, None], ids=["unread", "left early", "whole"])
    def test_it_does_not_matter_how_much_was_read(self, chunks):
        body = SpyBody([b"a", b"b"])

        exchange(CloseGuard(answering(body)), chunks=chunks, validate=False)

        assert body.closes == 1

    def test_close_is_looked_up_when_closing(self):
        """A layer inside may replace it after the application has returned."""
        body = SpyBody()
        closed = []
        guarded = respond(CloseGuard(answering(body)))
        body.close = lambda: closed.append(True)
        guarded.close()

        assert closed == [True]
        assert body.closes == 0

    def test_its_error_reaches_the_server_once(self):
        body = SpyBody(error=LookupError("on purpose"))
        guarded = respond(CloseGuard(answering(body)))

        with pytest.raises(LookupError, match="on purpose"):
            guarded.close()
        guarded.close()

        assert body.closes == 1

    def test_of_many_threads_one_closes(self):
        for _ in range(50):
            body = SpyBody()
            guarded = respond(CloseGuard(answering(body)))
            barrier = threading.Barrier(4)

            def close(guarded=guarded, barrier=barrier):
                barrier.wait()
                guarded.close()

            threads = [threading.Thread(target=close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            assert body.closes == 1

    def test_closing_what_another_thread_executes_is_an_error_and_reported(self, told):
        inside, leave = threading.Event(), threading.Event()
        finished = []

        def body():
            try:
                inside.set()
                leave.wait()
                yield b"x"
            finally:
                finished.append(True)

        guarded = respond(CloseGuard(answering(body()), on_leak=told.append))
        thread = threading.Thread(target=next, args=(guarded,))
        thread.start()
        inside.wait()
        with pytest.raises(ValueError, match="generator already executing"):
            guarded.close()
        leave.set()
        thread.join()
        del guarded, thread
        let_go()

        assert [finding.id for finding in told] == ["close-raced"]
        assert finished == [True]

    def test_that_is_not_reported_where_a_finalizer_closes(self, told):
        """There a lock must not be taken, and nothing be logged."""
        executing = ValueError("generator already executing")
        reported = []

        class Body(SpyBody):
            def close(self):
                raise executing

        class Layer(ClosedByItsFinalizer):
            def __del__(self):
                with pytest.raises(ValueError, match="already executing"):
                    super().__del__()
                reported.append(len(told))

        Layer(respond(CloseGuard(answering(Body()), on_leak=told.append)))
        gc.collect()
        assert (reported, told) == ([0], [])

        respond(CloseGuard(hello))
        assert [finding.id for finding in told] == ["close-raced"]

    def test_an_application_that_raises_has_opened_nothing(self):
        def fails(environ, start_response):
            raise LookupError("on purpose")

        with pytest.raises(LookupError, match="on purpose"):
            respond(CloseGuard(fails))


class TestDropped:
    """Point 5: a body that nobody closes."""

    @pytest.mark.at_once
    def test_it_is_closed_there_and_then(self, told):
        body = SpyBody([b"x"])

        respond(CloseGuard(answering(body), on_leak=told.append))

        assert body.closes == 1
        drain()
        assert [finding.repair for finding in told] == ["closed"]

    def test_a_body_that_was_read_to_its_end_is_closed_when_it_is_dropped(self, told):
        body = SpyBody([b"x"])

        list(respond(CloseGuard(answering(body), on_leak=told.append)))
        let_go()

        assert body.closes == 1

    def test_a_body_in_a_reference_cycle_waits_for_the_next_request(self, told):
        body = SpyBody()
        application = CloseGuard(answering(body), on_leak=told.append)
        cycle = [respond(application)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert body.closes == 0

        respond(CloseGuard(hello))

        assert body.closes == 1
        assert [finding.repair for finding in told] == ["late"]

    def test_a_generator_in_a_cycle_that_drops_it_counts_as_the_collector(self, told):
        """Its frame lets go one reference at a time, as any code does (elastic-apm)."""
        body = SpyBody([b"a", b"b"])
        application = CloseGuard(answering(body), on_leak=told.append)

        def layer(cycle):
            for chunk in respond(application):
                yield chunk, cycle

        cycle = []
        cycle.append(layer(cycle))
        next(cycle[0])
        del cycle
        gc.collect()

        assert body.closes == 0
        dropped.settle()
        assert body.closes == 1

    @pytest.mark.refcounts
    def test_a_generator_that_is_collected_is_finished_by_python(self, told):
        """With the guard or without: it is in the same garbage, and has a finalizer."""
        finished = []

        def body():
            try:
                yield b"x"
            finally:
                finished.append(dropped.collecting_here())

        cycle = [respond(CloseGuard(answering(body()), on_leak=told.append))]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        gc.collect()

        assert finished == [True]

    def test_the_collector_closes_nothing_though_it_holds_a_lock_of_the_framework(self, told):
        lock = threading.Lock()

        class Body(SpyBody):
            def close(self):
                with lock:
                    super().close()

        body = Body()
        cycle = [respond(CloseGuard(answering(body), on_leak=told.append))]
        cycle.append(cycle)
        with lock:
            del cycle
            gc.collect()
        dropped.settle()

        assert body.closes == 1

    def test_a_collection_on_another_thread_leaves_it_to_its_own(self, told):
        body = SpyBody()
        cycle = [respond(CloseGuard(answering(body), on_leak=told.append))]
        cycle.append(cycle)
        del cycle

        run_thread(gc.collect)
        run_thread(dropped.settle)
        assert body.closes == 0

        dropped.settle()
        assert body.closes == 1
        assert [finding.repair for finding in told] == ["late"]

    @pytest.mark.at_once
    def test_a_drop_beside_a_collection_on_another_thread_is_closed_there_and_then(self, told):
        """A busy thread gets its turn just when the collection of another is about to end."""
        body = SpyBody()
        application = CloseGuard(answering(body), on_leak=told.append)
        collecting, go_on = threading.Event(), threading.Event()

        class Found:
            def __init__(self):
                self.cycle = self

            def __del__(self):
                collecting.set()
                go_on.wait(10)

        def collect():
            Found()
            gc.collect()

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            assert collecting.wait(10)
            respond(application)
            assert body.closes == 1
        finally:
            go_on.set()
            thread.join()
        drain()
        assert [finding.repair for finding in told] == ["closed"]

    def test_a_drop_on_another_thread_is_left_to_its_own(self, told):
        body = SpyBody()
        box = [respond(CloseGuard(answering(body), on_leak=told.append))]

        run_thread(box.clear)
        collected()
        assert body.closes == 0

        dropped.settle()
        assert body.closes == 1
        assert [finding.repair for finding in told] == ["late"]

    def test_any_thread_closes_for_one_that_has_ended(self, told):
        body = SpyBody()
        application = CloseGuard(answering(body), on_leak=told.append)
        box = []
        run_thread(lambda: box.append(respond(application)))

        box.clear()
        collected()
        assert body.closes == 0

        dropped.settle()
        assert body.closes == 1
        assert [finding.repair for finding in told] == ["elsewhere"]

    def test_any_thread_closes_what_is_overdue(self, told, monkeypatch):
        body = SpyBody()
        box = [respond(CloseGuard(answering(body), on_leak=told.append))]
        run_thread(box.clear)
        collected()
        run_thread(dropped.settle)
        assert body.closes == 0

        monkeypatch.setattr(dropped, "OVERDUE_SECONDS", -1.0)
        run_thread(dropped.settle)

        assert body.closes == 1
        assert [finding.repair for finding in told] == ["elsewhere"]

    def test_an_older_body_waits_while_a_newer_one_is_open(self, told):
        """Its close would take the connections of the response that is in progress."""
        old, new = SpyBody(), SpyBody()
        box = [respond(CloseGuard(answering(old), on_leak=told.append))]
        newer = respond(CloseGuard(answering(new)))
        box.clear()
        assert old.closes == 0

        newer.close()
        let_go()

        assert (old.closes, new.closes) == (1, 1)

    def test_a_body_kept_by_a_traceback_waits_until_the_next_response_is_made(self, told):
        """Dropped inside the next call, when no newer body exists yet."""
        old = SpyBody()
        kept = []

        def lets_go(environ, start_response):
            kept.clear()
            assert old.closes == 0
            return hello(environ, start_response)

        try:
            guarded = respond(CloseGuard(answering(old), on_leak=told.append))
            raise LookupError(guarded)
        except LookupError as error:
            traceback.format_exc()
            kept.append(error)
        del guarded
        respond(CloseGuard(lets_go))
        collected()
        assert old.closes == 0

        respond(CloseGuard(hello))
        assert old.closes == 1

    @pytest.mark.parametrize("wrapper", [None, FileWrapper])
    @pytest.mark.parametrize("layer", [lambda a: a, lambda a: Mount(a, {}), CloseGuard])
    @pytest.mark.at_once
    def test_an_exception_that_was_handled_inside_does_not_keep_the_body(
        self, layer, wrapper, told
    ):
        """Its traceback holds a frame, that one its callers, and they what they return."""
        body = SpyBody()
        body.read = io.BytesIO(b"x").read

        def handles(environ, start_response):
            try:
                raise LookupError("on purpose")
            except LookupError as error:
                cycle = error  # noqa: F841 - the frame holds it, and it the frame
                return wrapper(body) if wrapper else body

        application = layer(CloseGuard(handles, on_leak=told.append))
        environ = make_environ(**{"wsgi.file_wrapper": wrapper} if wrapper else {})
        gc.disable()
        try:
            respond(application, environ)
            assert body.closes == 1
        finally:
            gc.enable()

    def test_nothing_is_settled_in_the_middle_of_a_call(self, told):
        old = SpyBody()
        application = CloseGuard(answering(old), on_leak=told.append)
        inner = CloseGuard(answering(SpyBody()))

        def asks_another(environ, start_response):
            cycle = [respond(application)]
            cycle.append(cycle)
            del cycle
            gc.collect()
            respond(inner).close()
            assert old.closes == 0
            return hello(environ, start_response)

        respond(CloseGuard(asks_another))
        respond(CloseGuard(hello))

        assert old.closes == 1

    def test_at_most_sixteen_are_settled_at_a_time(self, told):
        bodies = [SpyBody() for _ in range(40)]
        cycles = [
            [respond(CloseGuard(answering(body), on_leak=told.append))] for body in bodies
        ]
        for cycle in cycles:
            cycle.append(cycle)
        del cycle
        cycles.clear()
        gc.collect()

        counts = []
        for _ in range(3):
            respond(CloseGuard(hello))
            counts.append(sum(body.closes for body in bodies))

        assert counts == [16, 32, 40]

    def test_what_waits_for_other_threads_does_not_stand_before_it(self, told):
        """Two threads that look at a few each could hide their own from one another."""
        body = SpyBody()
        others = [SpyBody() for _ in range(20)]
        box = []
        opened, leave = threading.Event(), threading.Event()

        def open_others():
            box.extend(respond(CloseGuard(answering(other))) for other in others)
            opened.set()
            leave.wait()

        thread = threading.Thread(target=open_others)
        thread.start()
        opened.wait()
        box.append(respond(CloseGuard(answering(body), on_leak=told.append)))
        gc.disable()
        try:
            cycle = [box.pop()]
            cycle.append(cycle)
            box.clear()
            del cycle
            gc.collect()
            respond(CloseGuard(hello))
            assert body.closes == 1
        finally:
            gc.enable()
            leave.set()
            thread.join()

    @pytest.mark.at_once
    def test_a_request_looks_at_as_few_however_many_wait(self, told):
        """Counted in lines of code, with the bodies of many threads waiting."""

        def lines_of_a_request(threads, each):
            """Have *each* bodies wait for *threads* threads; return what a request runs."""
            opened, leave = threading.Barrier(threads + 1), threading.Event()
            box, seen = [], []
            application = CloseGuard(answering(SpyBody()), on_leak=told.append)

            def open_some():
                bodies = [respond(CloseGuard(answering(SpyBody()))) for _ in range(each)]
                box.append(bodies)
                del bodies
                opened.wait()
                leave.wait()

            def trace(frame, event, arg):
                if frame.f_globals is vars(dropped):
                    seen.append(frame.f_lineno)
                    return trace
                return None

            running = [threading.Thread(target=open_some) for _ in range(threads)]
            for thread in running:
                thread.start()
            opened.wait()
            box.clear()
            before = sys.gettrace()
            sys.settrace(trace)
            try:
                body = respond(application)
            finally:
                sys.settrace(before)
            body.close()
            leave.set()
            for thread in running:
                thread.join()
            drain()
            return len(seen)

        lines_of_a_request(1, 1)  # what happens once has happened
        few = lines_of_a_request(dropped.MOST_AT_ONCE + 1, 1)
        assert lines_of_a_request(dropped.MOST_AT_ONCE + 1, 50) == few
        assert lines_of_a_request(3 * dropped.MOST_AT_ONCE, 1) == few

    @pytest.mark.at_once
    def test_what_an_ended_thread_left_is_found_behind_many_that_live(self, told):
        """A request looks at a few threads only, and the next at the next."""
        body = SpyBody()
        opened, leave = threading.Barrier(41), threading.Event()
        box = []

        def open_one():
            box.append(respond(CloseGuard(answering(SpyBody()))))
            opened.wait()
            leave.wait()

        running = [threading.Thread(target=open_one) for _ in range(40)]
        for thread in running:
            thread.start()
        opened.wait()
        box.clear()
        run_thread(
            lambda: box.append(respond(CloseGuard(answering(body), on_leak=told.append)))
        )
        box.clear()
        requests = 0
        while not body.closes and requests < 10:
            respond(CloseGuard(hello))
            requests += 1
        leave.set()
        for thread in running:
            thread.join()

        assert requests == 3
        assert [finding.repair for finding in told] == ["elsewhere"]

    @pytest.mark.at_once
    def test_threads_that_become_something_else_are_noticed(self, told, monkeypatch):
        """By gevent, which may come after the first request: it makes greenlets of them."""

        class Greenlets(threading.local):
            pass

        before, body, after = SpyBody(), SpyBody(), SpyBody()
        opened = respond(CloseGuard(answering(before), on_leak=told.append))
        monkeypatch.setattr(threading, "local", Greenlets)
        del opened
        assert before.closes == 0  # it may be another greenlet that drops it

        respond(CloseGuard(answering(body), on_leak=told.append))
        assert (before.closes, body.closes) == (1, 1)
        respond(CloseGuard(answering(after), on_leak=told.append))
        drain()
        assert after.closes == 1
        assert [finding.repair for finding in told] == ["elsewhere", "closed", "closed"]

    def test_settling_does_not_nest_however_many_wait(self, told):
        """Each close ends with another guarded close, which would settle the next."""
        closing = []

        class Body(SpyBody):
            def close(self):
                super().close()
                assert not closing
                closing.append(self)
                respond(CloseGuard(answering(SpyBody()))).close()
                closing.remove(self)

        bodies = [Body() for _ in range(40)]
        for body in bodies:
            cycle = [respond(CloseGuard(answering(body), on_leak=told.append))]
            cycle.append(cycle)
        del cycle
        drain()

        assert {body.closes for body in bodies} == {1}
        assert {finding.error for finding in told} == {None}

    def test_an_error_from_close_is_reported_and_not_raised(self, told):
        body = SpyBody(error=LookupError("on purpose"))

        respond(CloseGuard(answering(body), on_leak=told.append))
        drain()

        assert repr(told[0].error) == "LookupError('on purpose')"
        assert "its close() raised LookupError('on purpose')" in str(told[0])

    def test_a_close_inside_a_collection_settles_nothing(self, told):
        """A layer may close in its own finalizer, which the collector runs."""
        collecting = []

        class Body(SpyBody):
            def close(self):
                super().close()
                collecting.append(dropped._collecting)

        layer = ClosedByItsFinalizer(respond(CloseGuard(answering(SpyBody()))))
        box = [respond(CloseGuard(answering(Body()), on_leak=told.append))]
        run_thread(box.clear)
        del layer
        gc.collect()
        assert collecting == []

        dropped.settle()
        assert collecting == [False]

    def test_what_a_finalizer_in_the_same_cycle_closes_is_not_reported(self, told):
        body = SpyBody()
        application = CloseGuard(answering(body), on_leak=told.append)
        layer = ClosedByItsFinalizer(respond(application))
        del layer
        drain()

        assert body.closes == 1
        assert (told, application.leaks.total()) == ([], 0)

    @pytest.mark.parametrize("where", ["due", "close"])
    def test_an_interrupted_request_loses_no_body_that_waits(self, where, told, monkeypatch):
        """A signal or a timeout may be raised anywhere."""
        body = SpyBody()
        box = [respond(CloseGuard(answering(body), on_leak=told.append))]
        run_thread(box.clear)
        collected()

        def interrupted(self, thread):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(dropped.Drop, where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                respond(CloseGuard(hello))
        assert body.closes == 0

        respond(CloseGuard(hello))
        assert body.closes == 1

    @pytest.mark.at_once
    def test_an_interrupted_finalizer_loses_no_body(self, told, monkeypatch):
        """A signal may be raised there as well, or the stack be at its end."""
        body = SpyBody()
        unraisable = []

        def interrupted(frame):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(sys, "unraisablehook", lambda args: unraisable.append(args))
            patched.setattr(dropped, "_inside_a_call", interrupted)
            respond(CloseGuard(answering(body), on_leak=told.append))
        assert [args.exc_type for args in unraisable] == [KeyboardInterrupt]
        assert body.closes == 0
        unraisable.clear()

        respond(CloseGuard(hello))
        assert body.closes == 1

    @pytest.mark.parametrize("owners", ["one thread", "each its own"])
    def test_two_threads_may_settle_at_once(self, owners, told, monkeypatch):
        """Here one closes the rest while the other is in the middle of its first."""
        monkeypatch.setattr(dropped, "OVERDUE_SECONDS", -1.0)
        bodies = [SpyBody() for _ in range(3)]

        class First(SpyBody):
            def close(self):
                super().close()
                run_thread(dropped.settle)

        bodies.insert(0, First())
        box = []
        for body in bodies:
            application = CloseGuard(answering(body), on_leak=told.append)
            if owners == "one thread":
                box.append(respond(application))
            else:
                run_thread(lambda guard=application: box.append(respond(guard)))
        while box:
            run_thread(lambda: box.pop(0))
            collected()
        respond(CloseGuard(hello))

        assert [body.closes for body in bodies] == [1, 1, 1, 1]

    @pytest.mark.at_once
    def test_it_is_reported_though_its_close_exits(self, told, monkeypatch):
        monkeypatch.setattr(sys, "unraisablehook", lambda args: None)
        body = SpyBody(error=SystemExit(1))
        application = CloseGuard(answering(body), on_leak=told.append)

        settled(application)

        assert body.closes == application.leaks.total("closed") == len(told) == 1

    def test_an_error_from_close_keeps_no_other_body(self, told):
        """A traceback holds frames, these their callers, and they what these opened."""

        class Fails(SpyBody):
            def close(self):
                super().close()
                try:
                    raise LookupError("on purpose")
                except LookupError as error:
                    raise ValueError("on purpose") from error

        kept = SpyBody()

        def server():
            body = respond(CloseGuard(answering(kept), on_leak=told.append))
            respond(CloseGuard(answering(Fails()), on_leak=told.append))
            return type(body)

        server()
        drain()

        assert kept.closes == 1
        assert {type(finding.error) for finding in told} == {ValueError, type(None)}

    @pytest.mark.parametrize("how", ["as its context", "as its cause", "itself"])
    @pytest.mark.at_once
    def test_an_error_that_is_being_handled_keeps_its_traceback(self, how, told):
        """Of the error that a server is about to log: its handler lets the body go."""

        class Fails(SpyBody):
            def close(self):
                super().close()
                if how == "as its context":
                    raise ValueError("on purpose")
                if how == "as its cause":
                    raise ValueError("on purpose") from sys.exc_info()[1]
                raise

        body = Fails()
        try:
            raise LookupError("on purpose")
        except LookupError as error:
            respond(CloseGuard(answering(body), on_leak=told.append))
            frames = traceback.extract_tb(error.__traceback__)
        drain()

        [finding] = told
        assert body.closes == 1
        assert 'raise LookupError("on purpose")' in [frame.line for frame in frames]
        if how == "itself":
            assert type(finding.error) is LookupError
        else:
            assert type(finding.error) is ValueError
            assert (finding.error.__context__, finding.error.__cause__) == (None, None)

    @pytest.mark.at_once
    def test_a_child_process_closes_nothing_of_its_parent(self, told):
        body = SpyBody()
        box = [respond(CloseGuard(answering(body), on_leak=told.append))]
        waits = [respond(CloseGuard(answering(body), on_leak=told.append))]
        waits.append(waits)
        del waits
        gc.collect()
        own = SpyBody()

        child = os.fork()
        if child == 0:
            status = 1
            try:
                box.clear()
                dropped.settle()
                respond(CloseGuard(answering(own)))
                status = 0 if (body.closes, own.closes) == (0, 1) else 2
            finally:
                os._exit(status)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        box.clear()
        drain()
        assert body.closes == 2

    def test_a_child_process_does_not_wait_for_a_thread_that_was_counting(self, told):
        application = CloseGuard(answering(SpyBody()), on_leak=told.append)

        with ledger._counting:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                settled(application)
                os._exit(0 if application.leaks.total(CLOSED) == 1 else 1)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_a_child_process_may_still_close_by_hand(self):
        body = SpyBody()
        guarded = respond(CloseGuard(answering(body)))

        child = os.fork()
        if child == 0:
            guarded.close()
            os._exit(0 if body.closes == 1 else 1)

        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        guarded.close()

    def test_a_child_process_of_a_finalizer_goes_on_with_the_collection(self, told):
        body = SpyBody()
        guarded = CloseGuard(answering(body))  # the first one of a process begins to watch
        statuses = []

        class Forks:
            def __init__(self):
                self.cycle = self

            def __del__(self):
                child = os.fork()
                if child == 0:
                    respond(guarded)
                    os._exit(body.closes)
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        Forks()
        gc.collect()

        assert statuses == [0]

    def test_it_is_closed_where_no_python_code_drops_it(self, told):
        """As in a server written in C, and where a thread ends that keeps a body."""
        body = SpyBody()
        kept = threading.local()

        def keep():
            kept.body = respond(CloseGuard(answering(body), on_leak=told.append))

        run_thread(keep)
        drain()

        assert body.closes == 1
        assert [finding.where for finding in told] == [""]

    def test_what_waits_is_settled_where_no_python_code_makes_the_call(self, told, monkeypatch):
        """As in a server written in C."""
        body = SpyBody()
        cycle = [respond(CloseGuard(answering(body), on_leak=told.append))]
        cycle.append(cycle)
        del cycle
        gc.collect()
        answered = threading.Event()
        monkeypatch.setattr(dropped, "OVERDUE_SECONDS", -1.0)

        def start_response(status, headers):
            answered.set()

        _thread.start_new_thread(CloseGuard(hello), (make_environ(), start_response))
        assert answered.wait(10)

        assert body.closes == 1

    @pytest.mark.parametrize("collected", [True, False], ids=["waiting", "not yet found"])
    def test_what_was_dropped_is_closed_at_exit(self, collected):
        script = f"""if True:
            import gc
            from freedom_middleware import CloseGuard
            class Body:
                def __iter__(self): return iter(())
                def close(self): print("closed")
            gc.disable()
            cycle = [CloseGuard(lambda e, s: Body())({{}}, None)]
            cycle.append(cycle)
            del cycle
            if {collected}:
                gc.collect()
            print("the end")
        """

        assert printed_by(script).split("\n") == ["the end", "closed", ""]

    def test_what_layers_with_finalizers_hold_is_closed_at_exit(self):
        """PyPy runs those of the layers first, the outermost in the first collection."""
        script = """if True:
            from freedom_middleware import CloseGuard
            class Body:
                def __iter__(self): return iter((b"x", b"y"))
                def close(self): print("closed")
            def layer(inner):
                try:
                    for chunk in inner: yield chunk
                finally:
                    print("left")
            def server():
                body = CloseGuard(lambda e, s: Body())({}, None)
                for _ in range(3):
                    body = layer(body)
                next(body)
                cycle = [body]
                cycle.append(cycle)
            server()
        """

        assert printed_by(script).split() == ["left"] * 3 + ["closed"]

    def test_what_was_dropped_is_closed_at_the_end_of_a_process_of_multiprocessing(self):
        """Such a process, as a worker of granian is one, ends without atexit."""
        script = """if True:
            import gc, multiprocessing
            class Body:
                def __iter__(self): return iter(())
                def close(self): print("closed", flush=True)
            def work():
                from freedom_middleware import CloseGuard
                gc.disable()
                cycle = [CloseGuard(lambda e, s: Body())({}, None)]
                cycle.append(cycle)
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            worker.join()
            print("the end")
        """

        assert printed_by(script).split("\n") == ["closed", "the end", ""]

    def test_so_it_is_where_the_guard_was_made_before_the_process(self):
        """As where a server loads the application and then makes its workers."""
        script = """if True:
            import gc, multiprocessing
            from freedom_middleware import CloseGuard
            class Body:
                def __iter__(self): return iter(())
                def close(self): print("closed", flush=True)
            application = CloseGuard(lambda e, s: Body())
            application({}, None).close()
            def work():
                gc.disable()
                for _ in range(2):
                    cycle = [application({}, None)]
                    cycle.append(cycle)
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            worker.join()
            print("the end")
        """

        assert printed_by(script).split("\n") == [*["closed"] * 3, "the end", ""]

    def test_a_process_ends_though_each_report_drops_more(self):
        """A listener may ask the same site, through the layer that is at fault."""
        script = """if True:
            import logging, warnings
            from freedom_middleware import CloseGuard
            logging.disable(logging.CRITICAL)
            warnings.simplefilter("ignore")
            class Body:
                def __iter__(self): return iter(())
                def close(self): pass
            def ask(count=None):
                for _ in range(2):
                    application({}, None)
            application = CloseGuard(lambda e, s: Body(), on_count=ask)
            ask()
            print("the end")
        """

        assert printed_by(script) == "the end\n"

    def test_what_the_last_error_keeps_is_closed_at_exit(self):
        """As a server keeps it that is written in C, and prints an error with its frames."""
        script = """if True:
            from freedom_middleware import CloseGuard
            class Body:
                def __iter__(self): return iter(())
                def close(self): print("closed")
            def fails():
                body = CloseGuard(lambda e, s: Body())({}, None)
                raise LookupError
            fails()
        """

        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
        )

        assert "LookupError" in done.stderr
        assert done.stdout == "closed\n"

    def test_at_exit_all_are_closed_whatever_one_of_them_raises(self):
        script = """if True:
            import gc, sys
            from freedom_middleware import CloseGuard
            class Body:
                def __iter__(self): return iter(())
                def close(self):
                    print("closed")
                    raise SystemExit(1)
            for _ in range(3):
                cycle = [CloseGuard(lambda e, s: Body())({}, None)]
                cycle.append(cycle)
            del cycle
            gc.collect()
        """

        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
        )

        assert done.stdout.split() == ["closed"] * 3


class TestExhaustion:
    """Point 6."""

    def test_a_body_is_not_closed_because_it_is_exhausted(self):
        """The server may still have headers to send."""
        body = SpyBody([b"x"])
        guarded = respond(CloseGuard(answering(body)))

        assert list(guarded) == [b"x"]
        assert body.closes == 0
        guarded.close()

    def test_a_generator_outside_makes_it_close_at_exhaustion_and_that_is_reported(self, told):
        body = SpyBody([b"x"])
        application = CloseGuard(answering(body), on_leak=told.append)

        def layer(environ, start_response):
            yield from application(environ, start_response)

        exchange(layer)
        let_go()

        assert body.closes == 1
        assert [finding.id for finding in told] == ["close-lost"]


class TestReports:
    """Point 7."""

    def leaky(self, body_of, on_leak=None, **options):
        return CloseGuard(lambda e, s: body_of(), on_leak=on_leak, **options)

    @pytest.mark.at_once
    def test_each_place_is_reported_once_and_every_repair_counted(self, told):
        application = self.leaky(SpyBody, told.append)

        for _ in range(3):
            respond(application)
        respond(application)
        drain()

        assert len({finding.where for finding in told}) == len(told) == 2
        assert application.leaks.total("closed") == 4

    @pytest.mark.at_once
    def test_it_says_where_and_what_and_how_it_was_repaired(self, told):
        application = self.leaky(SpyBody, told.append)

        respond(application, make_environ("/report", SCRIPT_NAME="/site"))
        drain()

        [finding] = told
        assert str(finding).startswith(
            f"response body of GET '/site/report' was never closed: dropped at {__file__}:"
        )
        assert "CloseGuard closed it there and then" in str(finding)

    def test_it_names_the_request_though_its_environ_is_used_again(self, told):
        """As on uWSGI, which clears it and fills it for the next."""
        application = CloseGuard(
            Mount(hello, {"/shop": lambda e, s: SpyBody()}), on_leak=told.append
        )
        environ = make_environ("/shop/cart")
        respond(application, environ)
        collected()
        environ.clear()
        environ.update(make_environ("/innocent"))
        respond(application, environ)
        drain()

        assert [finding.request for finding in told] == ["GET '/shop/cart'"]
        assert [leak.mount for leak in application.leaks.snapshot()] == ["/shop"]

    @pytest.mark.parametrize("key", ["PATH_INFO", "freedom_middleware.mounted"])
    def test_it_is_counted_though_the_request_cannot_be_named(self, key, told):
        application = self.leaky(SpyBody, told.append)
        respond(application, make_environ(**{key: 42}))
        drain()

        assert application.leaks.total() == len(told) == 1

    @pytest.mark.refcounts
    def test_it_is_reported_where_the_compiler_knows_no_line(self, told):
        """At the end of some ``except`` clauses goes the error, with the frames it passed."""
        counts = []
        application = self.leaky(SpyBody, told.append, on_count=counts.append)

        def fails():
            body = respond(application)
            raise LookupError(body)

        def handles():
            try:
                fails()
            except LookupError as error:
                if not error.args:
                    told.clear()
            finally:
                told.copy()

        handles()
        drain()

        [finding] = told
        assert finding.where == f"{__file__}:{handles.__code__.co_firstlineno}"
        assert [count.where for count in counts] == [finding.where]

    @pytest.mark.refcounts
    def test_it_is_a_log_line_and_a_warning_at_the_place_of_the_drop(self, caplog):
        with pytest.warns(UnclosedBodyWarning, match="GET '/' was never closed") as record:
            settled(self.leaky(SpyBody))

        assert record[0].filename == __file__
        [line] = caplog.records
        assert line.name == "freedom_middleware.leaks"
        assert line.getMessage().endswith(
            "(the first like this; more are summed up once a minute)"
        )

    @pytest.mark.refcounts
    def test_where_warnings_are_errors_no_request_fails_for_it(self, caplog, monkeypatch):
        unraisable = []
        monkeypatch.setattr(
            sys, "unraisablehook", lambda args: unraisable.append(args.exc_type)
        )

        respond(self.leaky(SpyBody))
        exchange(CloseGuard(hello))

        assert unraisable == [UnclosedBodyWarning]

    def test_a_client_cannot_write_lines_into_the_log(self, told):
        respond(self.leaky(SpyBody, told.append), make_environ("/a\nERROR forged\r\n"))
        drain()

        assert "\n" not in str(told[0])
        assert r"'/a\nERROR forged\r\n'" in str(told[0])

    def test_what_on_leak_raises_is_logged(self, caplog):
        def fails(finding):
            raise LookupError("on purpose")

        with pytest.warns(UnclosedBodyWarning):
            settled(self.leaky(SpyBody, fails))

        assert "on_leak raised" in caplog.text
        assert "LookupError: on purpose" in caplog.text

    @pytest.mark.refcounts
    def test_a_report_that_cannot_be_made_fails_no_request(self, told, monkeypatch):
        class Unspeakable(Exception):
            def __repr__(self):
                raise LookupError("on purpose")

        unraisable = []
        monkeypatch.setattr(
            sys, "unraisablehook", lambda args: unraisable.append(args.exc_type)
        )

        respond(self.leaky(lambda: SpyBody(error=Unspeakable())))
        respond(CloseGuard(hello))

        assert unraisable == [LookupError]

    def test_nothing_is_told_from_within_a_finalizer(self, told):
        respond(self.leaky(SpyBody, told.append))
        collected()

        assert told == []
        dropped.settle()
        assert len(told) == 1

    def test_without_repair_nothing_is_closed_and_all_is_reported(self, told):
        body = SpyBody()

        respond(self.leaky(lambda: body, told.append, repair=False))
        drain()

        assert body.closes == 0
        assert told[0].repair == ""
        assert "nobody closed it" in str(told[0])

    @pytest.mark.refcounts
    @pytest.mark.parametrize("how", ["on another thread", "while a newer one is open"])
    def test_without_repair_a_body_that_nobody_has_goes_at_once(self, how, told):
        """As it would without the guard, with what its own finalizer gives back."""
        gone = []

        class Body(SpyBody):
            def __del__(self):
                gone.append(self.closes)

        application = self.leaky(Body, told.append, repair=False)
        box = [respond(application)]
        newer = respond(CloseGuard(answering(SpyBody())))
        if how == "on another thread":
            run_thread(box.clear)
        else:
            box.clear()
        assert gone == [0]

        newer.close()
        dropped.settle()
        assert [finding.repair for finding in told] == [""]

    def test_without_repair_any_thread_lets_go_of_what_was_collected(self, told):
        """Nothing of it belongs to a thread when nothing is closed."""
        application = self.leaky(SpyBody, told.append, repair=False)
        cycle = [respond(application)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        collected()

        run_thread(lambda: respond(CloseGuard(hello)))
        assert [finding.repair for finding in told] == [""]

    def test_without_repair_a_finalizer_in_the_same_cycle_still_closes(self, told):
        body = SpyBody()
        ClosedByItsFinalizer(respond(self.leaky(lambda: body, told.append, repair=False)))
        drain()

        assert (body.closes, told) == (1, [])

    def test_an_environment_variable_turns_repair_off(self, told, monkeypatch):
        monkeypatch.setenv("FREEDOM_MIDDLEWARE_REPAIR", "0")
        body = SpyBody()

        respond(self.leaky(lambda: body, told.append))
        drain()

        assert body.closes == 0

    def test_without_repair_an_explicit_close_still_closes(self):
        body = SpyBody()

        respond(self.leaky(lambda: body, repair=False)).close()

        assert body.closes == 1


class TestConstruction:
    @pytest.mark.parametrize(
        "options", [{"repair": "no"}, {"repair": 1}, {"on_leak": "print"}, {"on_count": 1}]
    )
    def test_an_option_it_does_not_know_is_refused(self, options):
        with pytest.raises(OptionError, match=f"CloseGuard's {next(iter(options))} must be"):
            CloseGuard(hello, **options)

    def test_an_environment_variable_it_cannot_read_is_refused(self, monkeypatch):
        monkeypatch.setenv("FREEDOM_MIDDLEWARE_REPAIR", "maybe")

        with pytest.raises(OptionError, match="must be '0' or '1', got 'maybe'"):
            CloseGuard(hello)

    def test_what_is_no_application_is_refused(self):
        with pytest.raises(ApplicationTypeError):
            CloseGuard(42)

    def test_it_takes_every_form_that_application_takes(self):
        assert exchange(CloseGuard("freedom_middleware.testing:hello")).code == 200

    @pytest.mark.parametrize("repair", [True, False])
    def test_of_two_guards_the_inner_one_decides(self, repair, told):
        body = SpyBody()
        inner = CloseGuard(answering(body), repair=repair)
        outer = CloseGuard(inner, repair=not repair, on_leak=told.append)
        settled(outer)

        assert body.closes == repair
        assert (inner.leaks.total(), outer.leaks.total(), told) == (1, 0, [])

    def test_around_a_mount_it_guards_every_child(self, told):
        site, shop = SpyBody(), SpyBody()
        application = CloseGuard(
            Mount(answering(site), {"/shop": answering(shop)}), on_leak=told.append
        )

        for path in ("/", "/shop"):
            respond(application, make_environ(path))
            let_go()

        assert (site.closes, shop.closes) == (1, 1)
