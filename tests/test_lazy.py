"""``Application(..., lazy=True)``: loaded by the first request, and 503 while that fails."""

import os
import sys
import threading
import time

import pytest

from freedom_middleware import Application, Mount, lazy
from freedom_middleware.errors import ApplicationError, ApplicationTypeError, OptionError
from freedom_middleware.testing import exchange, hello


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported, and forget it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)
        return f"{name}:application"

    yield write
    for name in written:
        sys.modules.pop(name, None)


STUCK = """\
import threading
inside, leave = threading.Event(), threading.Event()
def make():
    inside.set()
    leave.wait(10)
    from freedom_middleware.testing import hello
    return hello
"""

HELLO = "from freedom_middleware.testing import hello as application\n"


class TestLoading:
    def test_nothing_is_imported_before_the_first_request(self, module):
        spec = module("lazy_one", HELLO)

        application = Application(spec, lazy=True)
        assert "lazy_one" not in sys.modules
        assert application.kind == "lazy"

        assert exchange(application).code == 200
        assert application.kind == "WSGI"

    def test_load_loads_it_now(self, module):
        application = Application(module("lazy_two", HELLO), lazy=True)

        application.load()

        assert "lazy_two" in sys.modules

    def test_load_of_what_is_not_lazy_does_nothing(self):
        Application(hello).load()

    def test_a_factory_is_called_once_for_many_first_requests(self, module):
        module(
            "lazy_slow",
            "import time\n"
            "calls = []\n"
            "def make():\n"
            "    calls.append(1)\n"
            "    time.sleep(0.05)\n"
            "    from freedom_middleware.testing import hello\n"
            "    return hello\n",
        )
        application = Application("lazy_slow:make()", lazy=True)
        barrier = threading.Barrier(8)
        codes = []

        def ask():
            barrier.wait()
            codes.append(exchange(application).code)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert codes == [200] * 8
        assert sys.modules["lazy_slow"].calls == [1]

    def test_what_is_mounted_twice_is_loaded_once_and_tells_its_kind(self, module):
        application = Application(module("lazy_three", HELLO), lazy=True)
        mount = Mount(None, {"/a": application, "/b": Application(application, name="b")})

        exchange(mount, "/a")

        assert [child.kind for child in mount.mounts.values()] == ["WSGI", "WSGI"]

    def test_a_module_whose_body_loads_it_does_not_deadlock_with_a_request(self, module):
        """One thread would hold our lock and want the import, the other the import's lock."""
        module("lazy_registry", "import threading\nentered = threading.Event()\n")
        module(
            "lazy_eager",
            "import time, lazy_registry\n"
            "from freedom_middleware.errors import ApplicationError\n"
            "from freedom_middleware.testing import hello as application\n"
            "lazy_registry.entered.set()\n"
            "time.sleep(0.1)\n"
            "lazy_registry.application.load()\n",
        )
        import lazy_registry

        lazy_registry.application = Application("lazy_eager", lazy=True)
        importing = threading.Thread(target=__import__, args=("lazy_eager",), daemon=True)
        importing.start()
        lazy_registry.entered.wait(10)
        codes = []
        asking = threading.Thread(
            target=lambda: codes.append(exchange(lazy_registry.application).code), daemon=True
        )
        asking.start()
        importing.join(10)
        asking.join(10)

        assert codes == [200]

    def test_a_child_process_does_not_wait_for_a_thread_of_its_parent(self, module):
        module("lazy_forked", STUCK)
        application = Application("lazy_forked:make()", lazy=True)
        thread = threading.Thread(target=application.load)
        thread.start()
        import lazy_forked

        lazy_forked.inside.wait(10)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                lazy_forked.leave = threading.Event()
                lazy_forked.leave.set()
                status = 0 if exchange(application).code == 200 else 2
            finally:
                os._exit(status)
        try:
            deadline = time.monotonic() + 20
            while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            lazy_forked.leave.set()
            thread.join()
        assert os.waitstatus_to_exitcode(done[1]) == 0


class TestFailure:
    def test_it_is_a_503_for_that_mount_alone_and_logged_once(self, module, caplog):
        broken = Application(module("lazy_broken", "1 / 0\n"), lazy=True)
        mount = Mount(hello, {"/broken": broken})

        answers = [exchange(mount, "/broken") for _ in range(3)]

        assert [answer.code for answer in answers] == [503, 503, 503]
        assert answers[0].header("Retry-After") == "10"
        assert b"ZeroDivisionError" not in answers[0].body
        assert exchange(mount, "/").code == 200
        [line] = caplog.records
        assert "lazy_broken:application cannot be loaded" in line.getMessage()
        assert "ZeroDivisionError" in caplog.text

    def test_it_is_tried_again_when_the_time_has_come(self, module, caplog, monkeypatch):
        spec = module("lazy_mended", "1 / 0\n")
        application = Application(spec, lazy=True)
        assert exchange(application).code == 503

        module("lazy_mended", HELLO)
        sys.path_importer_cache.clear()
        assert exchange(application).code == 503

        monkeypatch.setattr(lazy, "RETRY_SECONDS", 0)
        assert exchange(application).code == 200

    def test_the_same_cause_is_not_logged_again_and_another_is(
        self, module, caplog, monkeypatch
    ):
        monkeypatch.setattr(lazy, "RETRY_SECONDS", 0)
        application = Application(module("lazy_worse", "1 / 0\n"), lazy=True)
        exchange(application)
        exchange(application)
        assert len(caplog.records) == 1

        module("lazy_worse", "no_such_name\n# longer, so that it is read anew\n")
        exchange(application)

        assert len(caplog.records) == 2
        assert "NameError" in caplog.text

    def test_a_module_that_exits_is_a_503_as_any_other(self, module, caplog):
        """A SystemExit would leave through the server, and end its worker."""
        application = Application(module("lazy_exits", "raise SystemExit(3)\n"), lazy=True)

        assert exchange(application).code == 503
        assert "got SystemExit: 3" in caplog.text

    def test_a_module_that_fails_is_imported_once(self, module, capsys):
        spec = module("lazy_prints", "print('imported')\n1 / 0\n")

        exchange(Application(spec, lazy=True))

        assert capsys.readouterr().out == "imported\n"

    def test_who_waited_while_it_failed_does_not_try_again(self, module, caplog):
        """A factory that needs its minute to fail would be called by one after the other."""
        module(
            "lazy_slow",
            "import threading\n"
            "calls, inside, leave = [], threading.Event(), threading.Event()\n"
            "def make():\n"
            "    calls.append(1)\n"
            "    inside.set()\n"
            "    leave.wait(10)\n"
            "    raise LookupError('on purpose')\n",
        )
        application = Application("lazy_slow:make()", lazy=True)
        codes = []
        threads = [
            threading.Thread(target=lambda: codes.append(exchange(application).code))
            for _ in range(5)
        ]
        import lazy_slow

        threads[0].start()
        lazy_slow.inside.wait(10)
        for thread in threads[1:]:
            thread.start()
        lazy_slow.leave.set()
        for thread in threads:
            thread.join()

        assert codes == [503] * 5
        assert len(lazy_slow.calls) == 1

    def test_what_is_no_application_is_told_by_load(self, module):
        module("lazy_number", "application = 42\n")

        with pytest.raises(ApplicationTypeError, match="lazy_number"):
            Application("lazy_number", lazy=True).load()

    def test_what_asks_for_itself_is_refused(self, module):
        module(
            "lazy_circle",
            "from freedom_middleware import Application\n"
            "itself = Application('lazy_circle:make()', lazy=True)\n"
            "def make():\n"
            "    itself.load()\n",
        )
        import lazy_circle

        with pytest.raises(ApplicationError, match="must not ask for itself"):
            lazy_circle.itself.load()

    def test_waiting_for_another_thread_has_an_end(self, module, monkeypatch):
        monkeypatch.setattr(lazy, "LOCK_SECONDS", 0.01)
        module("lazy_stuck", STUCK)
        application = Application("lazy_stuck:make()", lazy=True)
        thread = threading.Thread(target=application.load)
        thread.start()
        import lazy_stuck

        lazy_stuck.inside.wait(10)
        with pytest.raises(ApplicationError, match="must load within"):
            application.load()
        lazy_stuck.leave.set()
        thread.join()


class TestConstruction:
    @pytest.mark.parametrize(
        ("target", "how"), [(hello, True), (Application(hello), True), ("a:b", "yes")]
    )
    def test_only_an_import_string_can_be_lazy(self, target, how):
        with pytest.raises(OptionError, match="lazy must be True only for an import string"):
            Application(target, lazy=how)

    def test_the_form_of_the_string_is_checked_at_once(self):
        with pytest.raises(ApplicationError, match="must have the form"):
            Application("no such form", lazy=True)
