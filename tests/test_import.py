"""What ``import freedom_middleware`` does: nothing but define names, and few at once."""

import json
import pickle
import subprocess
import sys
from itertools import permutations

import pytest

import freedom_middleware
from freedom_middleware import dispatch

SCRIPT = """
import json, sys
import atexit, gc, os, signal, threading, warnings

def state():
    return [
        threading.active_count(), len(gc.callbacks), atexit._ncallbacks(), len(sys.meta_path),
        sys.excepthook is sys.__excepthook__, sys.unraisablehook is sys.__unraisablehook__,
        sys.getprofile(), sys.gettrace(), len(warnings.filters), dict(os.environ), sys.path[:],
        str(signal.getsignal(signal.SIGTERM)),
    ]

before, loaded = state(), set(sys.modules)
import freedom_middleware
print(json.dumps([before == state(), sorted(set(sys.modules) - loaded)]))
"""


def test_it_starts_patches_and_registers_nothing_and_imports_no_dependency():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    unchanged, modules = json.loads(done.stdout)

    assert unchanged
    for heavy in ("webob", "django", "a2wsgi", "asyncio", "waitress", "dataclasses", "logging"):
        assert heavy not in modules
    assert [name for name in modules if name.startswith("freedom_middleware.dispatch.")] == [
        "freedom_middleware.dispatch.mount",
        "freedom_middleware.dispatch.table",
    ]


def run(script):
    """Run *script* in a process that has imported nothing, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_public_names_are_on_one_screen():
    assert freedom_middleware.__all__ == [
        *("Application", "Cascade", "CloseGuard", "Hosts", "Mount", "When", "explain"),
    ]


class TestNamesThatAreLoadedWhenTheyAreAskedFor:
    @pytest.mark.parametrize(
        ("package", "name"),
        [(p, n) for p in (freedom_middleware, dispatch) for n in p.__all__],
        ids=lambda value: getattr(value, "__name__", value),
    )
    def test_each_is_there_after_a_plain_import(self, package, name):
        script = (
            f"import {package.__name__} as p; print(p.{name}.__name__, {name!r} in vars(p))"
        )

        assert run(script) == [getattr(package, name).__name__, "True"]

    @pytest.mark.parametrize("package", ["freedom_middleware", "freedom_middleware.dispatch"])
    def test_a_star_brings_them_all(self, package):
        script = f"""if True:
            import {package} as package
            from {package} import *
            print(*(name for name in package.__all__ if name not in globals()))
        """

        assert run(script) == []

    @pytest.mark.parametrize("package", ["freedom_middleware", "freedom_middleware.dispatch"])
    def test_dir_names_them_before_they_are_loaded(self, package):
        script = f"import {package} as p; print(*sorted(set(p.__all__) - set(dir(p))))"

        assert run(script) == []

    @pytest.mark.parametrize(
        "order",
        list(
            permutations(
                [
                    "from freedom_middleware.dispatch.explaining import explain",
                    "from freedom_middleware import explain",
                    "from freedom_middleware.dispatch import explain",
                ]
            )
        ),
        ids=lambda order: " ".join(line.split()[1].rpartition(".")[2] for line in order),
    )
    def test_a_name_is_never_the_module_that_it_is_in(self, order):
        checks = "assert callable(freedom_middleware.explain) and callable(p.dispatch.explain)"
        script = [*order, "import freedom_middleware", "p = freedom_middleware", checks]

        run("\n".join(script))

    def test_no_module_has_the_name_of_something_in_it(self):
        folder = dispatch.__path__[0]
        script = (
            f"import os; print(*(f[:-3] for f in os.listdir({folder!r}) if f[-3:] == '.py'))"
        )

        assert not {*run(script)} & {*dispatch.__all__, *freedom_middleware.__all__}

    def test_many_threads_that_ask_at_once_get_the_same(self):
        script = """if True:
            import sys, threading
            import freedom_middleware
            sys.setswitchinterval(1e-6)
            barrier, found = threading.Barrier(8), []
            def ask():
                barrier.wait()
                found.append((freedom_middleware.Cascade, freedom_middleware.dispatch.Methods))
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(len(found), len(set(found)))
        """

        assert run(script) == ["8", "1"]

    def test_what_is_loaded_can_be_pickled(self):
        for name in freedom_middleware.__all__:
            thing = getattr(freedom_middleware, name)
            assert pickle.loads(pickle.dumps(thing)) is thing  # noqa: S301 - our own

    @pytest.mark.parametrize(
        "package", [freedom_middleware, dispatch], ids=lambda p: p.__name__
    )
    def test_a_name_that_is_none_is_no_attribute(self, package):
        with pytest.raises(
            AttributeError, match=f"module '{package.__name__}' has no attribute 'Mont'"
        ):
            package.Mont  # noqa: B018 - asked for on purpose
