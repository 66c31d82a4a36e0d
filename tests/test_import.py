"""What ``import freedom_middleware`` does: nothing but define names."""

import json
import subprocess
import sys

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


def test_the_public_names_are_on_one_screen():
    import freedom_middleware

    assert freedom_middleware.__all__ == [
        *("Application", "Cascade", "CloseGuard", "Hosts", "Mount", "When", "explain"),
    ]
