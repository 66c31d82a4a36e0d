"""A folder as an application."""

import os
import re
import resource
import subprocess
import sys
import threading
from email.utils import formatdate
from urllib.parse import unquote
from wsgiref.util import FileWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.errors import OptionError
from freedom_middleware.testing import exchange, make_environ

TEN = b"0123456789"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "folder"
    root.mkdir()
    (root / "ten.txt").write_bytes(TEN)
    (root / "empty.txt").write_bytes(b"")
    (root / "below").mkdir()
    (root / "below" / "index.html").write_bytes(b"<p>below")
    (root / ".env").write_bytes(b"SECRET=1")
    (tmp_path / "outside.txt").write_bytes(b"outside")
    (tmp_path / "folder-beside").mkdir()
    (tmp_path / "folder-beside" / "ten.txt").write_bytes(b"beside")
    return root


@pytest.fixture
def files(folder):
    return Application.from_directory(folder)


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    (folder / "ten.txt").write_bytes(TEN)
    return Application.from_directory(folder)


def ask(files, path="/ten.txt", method="GET", **headers):
    """Send one request; ``if_range=`` is the header ``If-Range``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange(files, path, method=method, headers=named)


def raw(files, path_info):
    environ = make_environ()
    environ["PATH_INFO"] = path_info
    return exchange(files, environ=environ, validate=False)


class TestAnswers:
    def test_a_file_is_sent_with_all_that_a_cache_needs(self, files, folder):
        os.utime(folder / "ten.txt", (1_000_000_000, 1_000_000_000))

        answer = ask(files)

        assert (answer.status, answer.body) == ("200 OK", TEN)
        assert sorted(answer.headers) == [
            ("Accept-Ranges", "bytes"),
            ("Content-Length", "10"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("ETag", '"de0b6b3a7640000-a"'),
            ("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT"),
        ]

    def test_head_has_the_same_headers_and_no_body(self, files):
        head = ask(files, method="HEAD")

        assert (head.status, head.headers, head.body) == ("200 OK", ask(files).headers, b"")

    def test_an_empty_file_is_a_file(self, files):
        answer = ask(files, "/empty.txt")

        assert (answer.status, answer.body) == ("200 OK", b"")
        assert dict(answer.headers)["Content-Length"] == "0"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
    @pytest.mark.parametrize("path", ["/ten.txt", "/missing"])
    def test_any_other_method_is_405(self, files, method, path):
        answer = exchange(files, path, method=method, validate=False)

        assert answer.status == "405 Method Not Allowed"
        assert dict(answer.headers)["Allow"] == "GET, HEAD"

    def test_a_404_reflects_nothing(self, files):
        answer = ask(files, "/missing")

        assert (answer.status, answer.body) == ("404 Not Found", b"404 Not Found\n")
        assert ask(files, "/missing", "HEAD").headers == answer.headers
        assert ask(files, "/missing", "HEAD").body == b""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("a.html", "text/html; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.json", "application/json"),
            ("a.unknown-thing", "application/octet-stream"),
            ("a", "application/octet-stream"),
            # Not as text with Content-Encoding, which a browser would unpack.
            ("a.csv.gz", "application/gzip"),
            ("a.tar.xz", "application/x-xz"),
            ("a.tar.uue.Z", "application/x-compress"),
        ],
    )
    def test_the_type_comes_from_the_name(self, files, folder, name, expected):
        (folder / name).write_bytes(b"x")

        headers = dict(ask(files, f"/{name}").headers)

        assert headers["Content-Type"] == expected
        assert "Content-Encoding" not in headers

    def test_a_copy_may_be_used_for_as_long_as_was_said(self, folder):
        files = Application.from_directory(folder, max_age_seconds=60)

        assert dict(ask(files).headers)["Cache-Control"] == "max-age=60"


class TestRanges:
    @pytest.mark.parametrize(
        ("asked", "sent", "part"),
        [
            ("bytes=0-0", "bytes 0-0/10", b"0"),
            ("bytes=9-9", "bytes 9-9/10", b"9"),
            ("bytes=2-4", "bytes 2-4/10", b"234"),
            ("bytes=7-", "bytes 7-9/10", b"789"),
            ("bytes=-3", "bytes 7-9/10", b"789"),
            ("bytes=-99", "bytes 0-9/10", TEN),
            ("bytes=8-99", "bytes 8-9/10", b"89"),
        ],
    )
    def test_a_part_is_sent(self, files, asked, sent, part):
        answer = ask(files, range=asked)

        headers = dict(answer.headers)
        assert (answer.status, answer.body) == ("206 Partial Content", part)
        assert (headers["Content-Range"], headers["Content-Length"]) == (sent, str(len(part)))

    @pytest.mark.parametrize(
        "asked",
        [
            "bytes=0-1,4-5",
            "lines=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=4-2",
            "bytes=0-1 ",
            "bytes=\u0661-",
            "bytes=" + "9" * 5000 + "-",
        ],
    )
    def test_what_is_no_single_range_is_answered_with_the_whole(self, files, asked):
        assert ask(files, range=asked).body == TEN

    @pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0"])
    def test_a_range_beyond_the_end_is_416_with_the_length(self, files, asked):
        answer = ask(files, range=asked)

        assert answer.status == "416 Requested Range Not Satisfiable"
        assert dict(answer.headers)["Content-Range"] == "bytes */10"

    @pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-5", "bytes=0-0"])
    def test_an_empty_file_has_no_part(self, files, asked):
        answer = ask(files, "/empty.txt", range=asked)

        assert answer.status == "416 Requested Range Not Satisfiable"
        assert dict(answer.headers)["Content-Range"] == "bytes */0"

    def test_head_has_no_ranges(self, files):
        """RFC 9110, 14.2: only GET has; any other method must ignore the header."""
        for asked in ("bytes=2-4", "bytes=99-"):
            answer = ask(files, method="HEAD", range=asked)

            assert (answer.status, answer.body) == ("200 OK", b"")
            assert answer.header("Content-Length") == "10"

    def test_a_download_goes_on_only_if_the_file_is_the_same(self, files):
        """Else the end of the new file would be joined to the beginning of the old one."""
        etag = dict(ask(files).headers)["ETag"]

        assert ask(files, range="bytes=2-4", if_range=etag).body == b"234"
        assert ask(files, range="bytes=2-4", if_range='"other"').body == TEN
        assert ask(files, range="bytes=2-4", if_range=f"W/{etag}").body == TEN

    def test_nor_if_the_date_differs_in_either_direction(self, files, folder):
        """A file put back from a backup is older, and another one."""
        os.utime(folder / "ten.txt", (1_000_000_000, 1_000_000_000))
        dates = [formatdate(1_000_000_000 + late, usegmt=True) for late in (-1, 0, 1)]

        parts = [ask(files, range="bytes=2-4", if_range=date).body for date in dates]

        assert parts == [TEN, b"234", TEN]

    numbers = st.integers(0, 12).map(str) | st.just("")

    @given(
        asked=st.builds("bytes={}-{}".format, numbers, numbers) | st.text(),
        if_range=st.none() | st.text(),
        none_match=st.none() | st.text(),
        since=st.none() | st.text(),
    )
    def test_whatever_is_asked_the_bytes_are_the_named_ones(
        self, ten, asked, if_range, none_match, since
    ):
        sent = {
            "Range": asked,
            "If-Range": if_range,
            "If-None-Match": none_match,
            "If-Modified-Since": since,
        }

        answer = exchange(
            ten, "/ten.txt", headers={k: v for k, v in sent.items() if v is not None}
        )

        headers = dict(answer.headers)
        if answer.status == "206 Partial Content":
            [(first, last)] = re.findall(r"^bytes (\d)-(\d)/10$", headers["Content-Range"])
            assert answer.body == TEN[int(first) : int(last) + 1] != b""
        elif answer.status == "200 OK":
            assert answer.body == TEN
        else:
            assert answer.status[:3] in ("304", "416")

    def test_a_part_larger_than_a_chunk_is_whole(self, files, folder):
        data = bytes(range(256)) * 1024
        (folder / "large.bin").write_bytes(data)

        answer = ask(files, "/large.bin", range="bytes=1000-200999")

        assert answer.body == data[1000:201000]
        assert answer.chunks > 1


class TestConditions:
    def test_who_has_it_gets_304(self, files):
        etag = dict(ask(files).headers)["ETag"]

        for sent in (etag, f"W/{etag}", f'"other", {etag}'):
            answer = ask(files, if_none_match=sent)
            assert (answer.status, answer.body) == ("304 Not Modified", b"")
            assert dict(answer.headers)["ETag"] == etag
            assert "Content-Length" not in dict(answer.headers)
        assert ask(files, if_none_match='"other"').body == TEN

    def test_a_star_means_any_file_that_is_there(self, files):
        """RFC 9110, 13.1.2."""
        assert ask(files, if_none_match="*").status == "304 Not Modified"
        assert ask(files, "/missing", if_none_match="*").code == 404

    def test_who_wants_another_file_gets_412(self, files, folder):
        """RFC 9110, 13.2.2: these come before all other conditions."""
        os.utime(folder / "ten.txt", (1_000_000_000, 1_000_000_000))
        etag = ask(files).header("ETag")
        same, older = (formatdate(1_000_000_000 - ago, usegmt=True) for ago in (0, 1))

        for sent in (etag, f'"other", {etag}', "*"):
            assert ask(files, if_match=sent, if_unmodified_since=older).body == TEN
        for sent in ('"other"', f"W/{etag}"):
            answer = ask(files, if_match=sent, if_none_match=etag, if_unmodified_since=same)
            assert (answer.status, answer.body) == (
                "412 Precondition Failed",
                b"412 Precondition Failed\n",
            )
        assert ask(files, if_unmodified_since=same).body == TEN
        assert ask(files, if_unmodified_since="yesterday").body == TEN
        assert ask(files, if_unmodified_since=older, range="bytes=0-1").code == 412

    def test_dates_do_as_well(self, files, folder):
        os.utime(folder / "ten.txt", (1_000_000_000, 1_000_000_000))

        same = ask(files, if_modified_since=formatdate(1_000_000_000, usegmt=True))
        older = ask(files, if_modified_since=formatdate(999_999_999, usegmt=True))
        assert same.status == "304 Not Modified"
        assert older.body == TEN

    @pytest.mark.parametrize("year", ["99999", "99999999", "9" * 400])
    @pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since"])
    def test_a_date_of_no_calendar_is_none(self, files, name, year):
        """WebOb raises at it, and a client could make errors at will."""
        sent = {name: f"Mon, 01 Jan {year} 00:00:00 GMT"}

        assert exchange(files, "/ten.txt", headers=sent).body == TEN

    def test_the_tag_wins_over_the_date(self, files):
        headers = dict(ask(files).headers)

        answer = ask(files, if_none_match='"other"', if_modified_since=headers["Last-Modified"])

        assert answer.body == TEN

    def test_a_change_of_the_same_length_within_a_second_is_seen(self, files, folder):
        os.utime(folder / "ten.txt", ns=(0, 10**18))
        etag = dict(ask(files).headers)["ETag"]

        (folder / "ten.txt").write_bytes(TEN[::-1])
        os.utime(folder / "ten.txt", ns=(0, 10**18 + 1))

        assert ask(files, if_none_match=etag).body == TEN[::-1]


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/..",
            "/../outside.txt",
            "/below/../ten.txt",
            "/below/../../outside.txt",
            "/./ten.txt",
            "/%2e%2e/outside.txt",
            "/..%2foutside.txt",
            "/%2e%2e%2foutside.txt",
            "/below/%2e%2e/ten.txt",
            "/%252e%252e/outside.txt",
            "/..%5coutside.txt",
            "/..%c0%afoutside.txt",
            "/below%5cindex.html",
            "//ten.txt",
            "/below//index.html",
            "//etc/passwd",
            "/ten.txt/",
            "/ten.txt/more",
            "/ten.txt%00",
            "/ten.txt%00.png",
            "/%00",
            "/.env",
            "/below/.env",
            "/../folder-beside/ten.txt",
            "/" + "n" * 300,
            "/" + "n/" * 3000,
            "/",
            "/below",
            "/below/",
            "/TEN.TXT",
        ],
    )
    def test_what_does_not_spell_the_way_is_404(self, files, path):
        assert raw(files, unquote(path, "latin-1")).status == "404 Not Found"
        assert raw(files, path).status == "404 Not Found"

    @pytest.mark.parametrize("path_info", ["", "*", "ten.txt\u20ac", "/\ud800"])
    def test_so_is_what_no_server_should_send(self, files, path_info):
        assert raw(files, path_info).status == "404 Not Found"

    @pytest.mark.parametrize(
        "name",
        [
            "café.txt",
            "日本.txt",
            "a b+c&d=e;f.txt",
            "50%.txt",
            "%2e%2e",
            "a:b.txt",
            "a..b",
        ],
    )
    def test_odd_names_are_served(self, files, folder, name):
        (folder / name).write_bytes(b"odd")

        assert raw(files, "/" + name.encode().decode("latin-1")).body == b"odd"

    def test_so_is_a_name_that_is_no_text(self, files, folder):
        (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")

        assert raw(files, "/caf\xe9").body == b"latin"

    def test_links_are_followed_inside_of_the_folder_only(self, files, folder):
        (folder / "inside").symlink_to("ten.txt")
        (folder / "outside").symlink_to("../outside.txt")
        (folder / "beside").symlink_to("../folder-beside")
        (folder / "absolute").symlink_to("/etc")
        (folder / "round").symlink_to("round")
        (folder / "nowhere").symlink_to("nothing")

        assert ask(files, "/inside").body == TEN
        for path in ("/outside", "/beside/ten.txt", "/absolute/passwd", "/round", "/nowhere"):
            assert ask(files, path).status == "404 Not Found"

    def test_the_folder_itself_may_be_a_link_that_moves(self, folder, tmp_path):
        """As a deployment does it, from one release to the next."""
        current = tmp_path / "current"
        current.symlink_to(folder)
        files = Application.from_directory(current)
        assert ask(files).body == TEN

        current.unlink()
        current.symlink_to(tmp_path / "folder-beside")

        assert ask(files).body == b"beside"

    def test_a_relative_folder_stays_where_it_was(self, folder, monkeypatch, tmp_path):
        monkeypatch.chdir(folder.parent)
        files = Application.from_directory("folder")
        monkeypatch.chdir("/")

        assert ask(files).body == TEN

    def test_a_pipe_is_no_file_and_keeps_nobody_waiting(self, files, folder):
        os.mkfifo(folder / "pipe")
        answers = []

        asking = threading.Thread(
            target=lambda: answers.append(ask(files, "/pipe").status), daemon=True
        )
        asking.start()
        asking.join(5)

        assert answers == ["404 Not Found"]

    def test_the_root_of_the_disk_can_be_served(self, folder):
        assert ask(Application.from_directory("/"), str(folder / "ten.txt")).body == TEN


class TestChanges:
    def test_files_come_and_go(self, files, folder):
        (folder / "new.txt").write_bytes(b"new")
        assert ask(files, "/new.txt").body == b"new"

        (folder / "new.txt").unlink()
        assert ask(files, "/new.txt").status == "404 Not Found"

    def test_a_file_that_is_replaced_while_it_is_sent_stays_itself(self, files, folder):
        """Its length has been announced."""
        (folder / "next").write_bytes(b"longer than ten")

        def replace_then_start(environ, start_response):
            def start(status, headers, exc_info=None):
                os.replace(folder / "next", folder / "ten.txt")
                return start_response(status, headers, exc_info)

            return files(environ, start)

        assert ask(replace_then_start).body == TEN


class TestIndex:
    @pytest.fixture
    def files(self, folder):
        return Application.from_directory(folder, index="index.html")

    def test_it_answers_for_its_folder(self, files):
        answer = ask(files, "/below/")

        assert answer.body == b"<p>below"
        assert dict(answer.headers)["Content-Type"] == "text/html; charset=utf-8"
        assert ask(files, "/below/index.html").body == b"<p>below"

    def test_the_folder_without_its_slash_is_redirected(self, files):
        answer = exchange(Mount(None, {"/café": files}), "/café/below?a=1%20b")

        assert answer.status == "308 Permanent Redirect"
        assert dict(answer.headers)["Location"] == "/caf%C3%A9/below/?a=1%20b"

    def test_so_is_the_mount_itself(self, files, folder):
        (folder / "index.html").write_bytes(b"front")
        site = Mount(None, {"/files": files})

        assert dict(exchange(site, "/files").headers)["Location"] == "/files/"
        assert exchange(site, "/files/").body == b"front"

    @pytest.mark.parametrize("path", ["/", "/empty", "/empty/", "/ten.txt/"])
    def test_without_an_index_a_folder_is_404(self, files, folder, path):
        (folder / "empty").mkdir()

        assert ask(files, path).status == "404 Not Found"

    @pytest.mark.parametrize("path", ["//below", "//evil.example/..", "//evil.example"])
    def test_no_path_is_redirected_to_another_host(self, files, path):
        assert raw(files, path).status == "404 Not Found"


class TestUnderAMount:
    """whitenoise compares a URL with its prefix to PATH_INFO, which has lost it."""

    @pytest.mark.parametrize("script_name", ["", "/outer", "/files"])
    def test_the_prefix_takes_no_part(self, files, script_name):
        environ = make_environ("/files/ten.txt")
        environ["SCRIPT_NAME"] = script_name

        assert exchange(Mount(None, {"/files": files}), environ=environ).body == TEN


class Opened(FileWrapper):
    """A server's wrapper that says which file it was given, and counts its closes."""

    def __init__(self, filelike, blksize=8192):
        super().__init__(filelike, blksize)
        self.file = filelike
        self.closes = 0
        self.close = self.count

    def count(self):
        self.closes += 1
        self.file.close()


def open_files():
    """Return the regular files that this process has open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the listing's own
            continue
    return links


class TestClosing:
    def test_a_whole_file_is_the_server_s_own_wrapper(self, files):
        environ = make_environ("/ten.txt")
        environ["wsgi.file_wrapper"] = Opened

        body = CloseGuard(files)(environ, lambda status, headers, exc_info=None: None)

        assert type(body) is Opened
        assert body.file.fileno() > 0
        body.close()
        body.close()
        assert (body.file.closed, body.closes) == (True, 1)

    def test_a_file_that_grows_is_not_sent_beyond_its_content_length(self, files, folder):
        """What is too much would be taken for the next response."""
        sent = []
        environ = make_environ("/ten.txt")
        environ.pop("wsgi.file_wrapper", None)
        body = files(environ, lambda status, headers, exc_info=None: sent.extend(headers))
        with (folder / "ten.txt").open("ab") as file:
            file.write(b"more")

        assert (dict(sent)["Content-Length"], b"".join(body)) == ("10", TEN)
        body.close()
        assert str(folder / "ten.txt") not in open_files()

    @pytest.mark.parametrize("chunks", [0, 1, None], ids=["unread", "half-read", "read"])
    @pytest.mark.parametrize(
        ("method", "headers"),
        [
            ("GET", {}),
            ("HEAD", {}),
            ("GET", {"Range": "bytes=1-2"}),
            ("HEAD", {"Range": "bytes=1-2"}),
            ("GET", {"Range": "bytes=99-"}),
            ("HEAD", {"Range": "bytes=99-"}),
            ("GET", {"If-None-Match": "*"}),
            ("GET", {"If-Match": '"other"'}),
            ("GET", {"Range": "bytes=0-1,3-4"}),
        ],
    )
    def test_no_file_stays_open(self, files, folder, method, headers, chunks):
        exchange(files, "/ten.txt", method=method, headers=headers, chunks=chunks)

        assert str(folder / "ten.txt") not in open_files()

    def test_nor_when_the_server_fails_meanwhile(self, files, folder):
        def fails(status, headers, exc_info=None):
            raise LookupError("on purpose")

        with pytest.raises(LookupError) as caught:
            files(make_environ("/ten.txt"), fails)

        assert str(folder / "ten.txt") not in open_files(), caught

    def test_nor_where_a_folder_is_redirected(self, folder):
        files = Application.from_directory(folder, index="index.html")

        answer = ask(files, "/below")

        assert answer.status.startswith("308")
        assert str(folder / "below" / "index.html") not in open_files()

    def test_too_many_open_files_is_not_a_404(self, folder):
        """It would be cached, and nobody would look for the reason."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        program = (
            "import os, resource, sys\n"
            "from freedom_middleware import Application\n"
            "from freedom_middleware.testing import exchange\n"
            "files = Application.from_directory(sys.argv[1])\n"
            "assert exchange(files, '/ten.txt').status == '200 OK'\n"
            f"resource.setrlimit(resource.RLIMIT_NOFILE, (20, {hard}))\n"
            "taken = []\n"
            "while True:\n"
            "    try: taken.append(os.open('/dev/null', os.O_RDONLY))\n"
            "    except OSError: break\n"
            "try: print(exchange(files, '/ten.txt').status)\n"
            "except OSError as error: print(error.strerror)\n"
            "for descriptor in taken: os.close(descriptor)\n"
        )

        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )

        assert ended.stdout == "Too many open files\n"


class TestConstruction:
    @pytest.mark.parametrize("path", ["/no/such/folder", __file__, b"/", None, 7, "\0", ""])
    def test_the_folder_must_exist(self, path):
        with pytest.raises(OptionError, match="must be a folder that exists, got"):
            Application.from_directory(path)

    @pytest.mark.parametrize("index", ["", "a/b", "../index.html", ".", True, "a\\b"])
    def test_an_index_is_the_name_of_a_file(self, folder, index):
        with pytest.raises(OptionError, match=r"write .index\.html."):
            Application.from_directory(folder, index=index)

    @pytest.mark.parametrize("seconds", [-1, 1.5, "60", True])
    def test_an_age_is_a_number_of_seconds(self, folder, seconds):
        with pytest.raises(OptionError, match="whole number from 0"):
            Application.from_directory(folder, max_age_seconds=seconds)

    def test_it_shows_its_kind_and_its_folder(self, files, folder):
        assert (files.kind, files.wsgi_name) == ("files", str(folder))
