"""With CloseGuard or LeakWatch around, a server sends what it sends without it.

Servers look at what an application returns: a list, a file of their own wrapper.  What
they gain by that neither must cost.
"""

import re
import time
from pathlib import Path

import pytest

from .harness import SERVERS, Watch, each, running

SIZE = 198_000
TRACE_SECONDS = 5.0

sending_files = [server for server in SERVERS if server.sends_files]


@pytest.fixture(scope="module", params=each(SERVERS))
def server(request):
    return request.param


@pytest.fixture(scope="module")
def bare(server, tmp_path_factory):
    with running(server, tmp_path_factory.mktemp("bare"), MYSITE_VARIANT="bare") as site:
        yield site


@pytest.fixture(scope="module")
def guarded(server, tmp_path_factory):
    with running(server, tmp_path_factory.mktemp("guarded"), MYSITE_VARIANT="alone") as site:
        yield site


@pytest.fixture(scope="module")
def watched(server, tmp_path_factory):
    with running(server, tmp_path_factory.mktemp("watched"), MYSITE_VARIANT="watched") as site:
        yield site


class TestAnswers:
    """What a client gets."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        "target",
        [
            "/plain/one-chunk",
            "/plain/three-chunks",
            "/plain/file",
            "/plain/no-content",
            "/plain/not-modified",
            "/page/",
            "/stream/",
            "/file/",
            "/shop/",
            "/folder/views.py",
            "/folder/missing",
        ],
    )
    def test_no_header_and_no_byte_changes(self, bare, guarded, watched, target, method):
        answer = told(bare.get(target, method=method))

        assert told(guarded.get(target, method=method)) == answer
        assert told(watched.get(target, method=method)) == answer

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_list_of_one_chunk_has_its_length_where_the_server_counts(
        self, guarded, watched, method
    ):
        for site in guarded, watched:
            answer = site.get("/plain/one-chunk", method=method)

            length = dict(told(answer).headers).get("content-length")
            assert length == ("9" if site.server.counts_one_chunk else None)


class TestLists:
    """A list that can be closed: two servers take it for one that cannot."""

    target = "/plain/closable-list"

    def test_bare_some_servers_never_close_it(self, bare):
        watch = Watch(bare)
        closes = bare.server.closes_lists

        assert bare.get(self.target).body == b"one chunk"

        events = watch.until_closed() if closes else watch.in_a_moment()
        assert [what for what, _ in events] == ["opened", "closed"][: 1 + closes]

    def test_guarded_every_server_closes_it_once(self, guarded):
        watch = Watch(guarded)

        assert guarded.get(self.target).body == b"one chunk"

        assert [what for what, _ in watch.until_closed()] == ["opened", "closed"]


@pytest.mark.parametrize("server", each(sending_files))
class TestSendfile:
    """A file goes from the disk to the socket, and not through Python."""

    @pytest.mark.parametrize("variant", ["bare", "alone", "watched"])
    def test_the_kernel_sends_the_file(self, server, variant, tmp_path):
        assert sent_by_the_kernel(server, variant, tmp_path) == SIZE

    def test_so_it_does_with_a_file_of_a_mounted_folder(self, server, tmp_path):
        size = Path(__file__).parent.parent.joinpath("sites/mysite/views.py").stat().st_size

        sent = sent_by_the_kernel(server, "alone", tmp_path, "/folder/views.py", size)

        assert sent == size

    def test_under_a_layer_that_reads_the_body_it_does_not(self, server, tmp_path):
        """So the measure is right; and it is the layer that costs it, with the guard or not."""
        assert sent_by_the_kernel(server, "lossy", tmp_path) == 0


def told(answer):
    """Return *answer* without the time of day."""
    headers = [(name.lower(), value) for name, value in answer.headers]
    return answer._replace(headers=[pair for pair in headers if pair[0] != "date"])


def sent_by_the_kernel(server, variant, folder, target="/file/", size=SIZE):
    """Return how many bytes of *target* went out by ``sendfile()``."""
    trace = folder / "trace"
    # -D: the tracer is the child, so the process that we start and stop is the server.
    strace = ("strace", "-DD", "-f", "-o", str(trace), "-e", "trace=sendfile,sendfile64")
    with running(server, folder, under=strace, MYSITE_VARIANT=variant) as site:
        answer = site.get(target)
    assert (answer.status, len(answer.body)) == (200, size)
    deadline = time.monotonic() + TRACE_SECONDS
    ended = re.compile(rf"^{site.process.pid} +\+\+\+ ", re.MULTILINE)  # a short id is padded
    while not ended.search(trace.read_text()):
        assert time.monotonic() < deadline, trace.read_text()
        time.sleep(0.01)
    return sum(map(int, re.findall(r"sendfile.*\) += (\d+)", trace.read_text())))
