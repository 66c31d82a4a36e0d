"""The projects whose tests are run, and what their tests need."""

from typing import NamedTuple


class Suite(NamedTuple):
    """A project, where its tests are, and what they need.

    Attributes:
        name: What the package index calls it.
        tests: The files and folders, as its runner takes them.
        needs: What is installed beside it.
        options: More for its runner.
        runner: ``"pytest"``, or the folder of Django's ``runtests.py``.
        environment: More environment variables, also while it is installed.
    """

    name: str
    tests: tuple[str, ...] = ("tests",)
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    runner: str = "pytest"
    environment: tuple[tuple[str, str], ...] = ()


SUITES = (
    Suite("flask", needs=("asgiref", "python-dotenv", "greenlet", "pytest<9")),
    Suite(
        "werkzeug",
        needs=("cryptography", "watchdog", "ephemeral-port-reserve", "pytest-timeout"),
        # Waits for two minutes for an event of the file system, bare as well.
        options=("--deselect", "tests/test_serving.py::test_reloader_sys_path"),
    ),
    Suite("webtest", needs=("PasteDeploy", "WSGIProxy2", "pyquery")),
    Suite("webob"),
    Suite("bottle", tests=("test",), needs=("mako", "jinja2")),
    Suite(
        "falcon",
        needs=(
            *("pyyaml", "requests", "msgpack", "mujson", "ujson", "orjson", "cbor2"),
            *("jsonschema", "gunicorn", "waitress", "httpx", "aiofiles"),
            "pytest<9",  # whose own files survive a test that replaces os.fstat()
        ),
        # No WSGI application is called there.
        options=("--ignore", "tests/asgi", "-k", "not asgi"),
        environment=(("FALCON_DISABLE_CYTHON", "1"),),
    ),
    Suite("pyramid", needs=("webtest", "zope.component")),
    Suite("paste", needs=("setuptools<81",)),
    Suite(
        "django",
        tests=(
            *("wsgi", "servers", "handlers", "staticfiles_tests", "file_uploads"),
            "requests_tests",
        ),
        needs=("jinja2", "pillow", "tblib"),
        runner="tests",
    ),
)

COPIED = (
    "it looks in its own environ for what the application changed there, and each application"
    " gets a copy; with `share=True` it passes"
)
REASONS = {
    ("webob", "test_client_functional.py::test_client"): COPIED,
    ("webob", "::test_call_application_closes_iterable_when_mixed_w_write_calls"): COPIED,
    ("pyramid", "TestRouter::test_finish_request_when_view_raises"): COPIED,
    ("pyramid", "TestRouter::test_finish_request_when_view_succeeds"): COPIED,
    ("pyramid", "TestRouter::test_tween_factories"): COPIED,
}
"""Why a test cannot pass wrapped: by project, and the end of the test's name."""
