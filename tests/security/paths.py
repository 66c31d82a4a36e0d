"""Does the proxy in front mean the same path as the mount behind it?

    python -m tests.security.paths [--requests 1000] [--seed 1] [--write]

Request lines that a browser would never send go as raw bytes through real proxies, in which
``/admin`` has a block of its own, to a site in which ``/admin`` is a mount.  The proxy says
in a header which of its blocks it took, the mount says who it is and what it was given.
Where the two do not agree the path is made smaller for as long as they do not, and what is
left is a row of the table.  ``--write`` puts the table into docs/security/path-confusion.md.

Needs what the tests of real servers need: the extras ``test``, ``servers`` and ``compiled``,
and the Debian packages of ``.ci/debian-packages``.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests import written as pages
from tests.servers.deployments import APACHE, APACHE_COMMAND, NGINX, NGINX_COMMAND
from tests.servers.harness import SERVERS, Server, running

PAGE = Path(__file__).parents[2] / "docs" / "security" / "path-confusion.md"
COMMAND = "python -m tests.security.paths --write"

WAIT_SECONDS = 60

GUARDED = "/admin"
"""The mount that the proxy has a block for."""

# -- what is asked --

KNOWN = [
    *("/", "/admin", "/admin/", "/admin/x", "/shop", "/shop/", "/adminx", "/ADMIN", "/Admin/"),
    *("/admin/..", "/admin/../", "/admin/../shop", "/admin/x/../../shop", "/shop/../admin"),
    *("/./admin", "/x/../admin", "/../admin", "/admin/.", "/admin/./x", "/.../admin"),
    *("/%2e/admin", "/x/%2e%2e/admin", "/admin/%2e%2e", "/admin/%2E%2E/shop", "/admin/.%2e/"),
    *("/x/..%2fadmin", "/admin%2f..", "/admin/..%2f", "/admin/x%2f..%2f..%2fshop"),
    *("/x/%252e%252e/admin", "/admin/%252e%252e/shop", "/%2561dmin", "/admin%252fx"),
    *("/admin%2f", "/admin%2Fx", "/shop%2F", "/shop%2f..%2fadmin", "/%2fadmin", "/%2f%2fadmin"),
    *("/admin%5c", "/admin\\x", "/x%5c..%5cadmin", "/x\\..\\admin", "/\\admin", "/%5cadmin"),
    *("//admin", "///admin", "//", "/admin//", "/admin//x", "/shop//admin", "//shop/../admin"),
    *("//example.test/admin", "//admin/x", "/x//../admin", "/admin//.."),
    *("/admin;x", "/admin;x/y", "/;x/admin", "/admin;/..", "/x/..;/admin", "/admin/..;/shop"),
    *("http://example.test/admin", "http://example.test//admin", "http://other.test/admin"),
    *("http://example.test", "http://example.test/x/../admin", "http:///admin", "http:/admin"),
    *("HTTP://example.test/admin/..", "https://example.test/admin", "example.test:80", "*"),
    *("/admin.", "/admin./", "/admin%20", "/admin%20/", "/admin /x", "/admin ", "/%20admin"),
    *("/admin%00", "/%00/admin", "/admin%00/..", "/x%00/../admin", "/admin%09", "/admin%0a"),
    *("/%61dmin", "/adm%69n/x", "/%41dmin", "/admin%", "/admin%2", "/admin%zz", "/%u0061dmin"),
    *("/x/%c0%ae%c0%ae/admin", "/admin%c0%af", "/%c1%a1dmin", "/%ef%bc%8fadmin", "/%e9/admin"),
    *("/admin?", "/?/admin", "/admin?/../shop", "?/admin", "/%3f/admin", "/admin%3f/..", "/x?"),
    *("/admin#", "/#/admin", "/admin%23/..", "/x#/../admin", "admin", "", "/admin/\u00e9"),
    "/" + "a" * 3_000 + "/../admin",
    "/" + "a/" * 20 + "../" * 20 + "admin",
    "/admin" + "/x" * 1_500,
]

STARTS = ["/"] * 12 + ["//", "/./", "/x/../", "/%2e/", "/%2f", "/\\", "http://example.test/"]
STARTS += ["http://example.test//", "http://other.test/", "///", "/shop/../", "/;x/", ""]
NAMES = ["admin", "admin", "admin", "shop", "x", "ADMIN", "adminx", "%61dmin", "admi%6e", ""]
NAMES += [".", "..", "..", "%2e", "%2e%2e", "%2E.", "%252e%252e", "..;", "admin;x", ";", "..."]
NAMES += ["admin.", "admin%20", "admin%00", "%c0%ae%c0%ae", "\u00e9", "%e9", "a%20b", "%25"]
JOINS = ["/"] * 9 + ["//", "%2f", "%2F", "%5c", "\\", "%252f", "%c0%af", "/./", "/x/../", ";/"]
ENDS = [""] * 8 + ["/", "/", "?", "?x=/admin", "#", ";x", "%00", " ", "%20", "/.", "/..", "%2f"]
ENDS += ["/%2e%2e", "/..%2f", "/../shop", "//..", "%", "/" + "x" * 2_000]


def targets(requests: int, seed: int) -> list[bytes]:
    """Return what is known to confuse somebody, and *requests* that are put together."""
    chance = random.Random(seed)  # noqa: S311 - a run must be repeatable

    def one() -> str:
        path = chance.choice(STARTS) + chance.choice(NAMES)
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3, 5])):
            path += chance.choice(JOINS) + chance.choice(NAMES)
        return path + chance.choice(ENDS)

    made = [*KNOWN, *(one() for _ in range(requests))]
    return list(dict.fromkeys(path.encode("latin-1") for path in made))


# -- who answers --


class Outcome(NamedTuple):
    """What came of one request.

    Attributes:
        status: The status code; 0 where the connection was closed without an answer.
        place: The block that the proxy took; "" if it took none, or there is no proxy.
        mount: The mount that answered; "" if none was reached.
        script_name, path_info: What that mount was given.
    """

    status: int
    place: str = ""
    mount: str = ""
    script_name: str = ""
    path_info: str = ""


def ask(port: int, target: bytes) -> Outcome:
    """Send one request line as it is, and see who answers."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
        try:
            connection.sendall(
                b"GET %b HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n" % target
            )
            while more := connection.recv(65536):
                received += more
        except ConnectionError:  # some servers do not read on what they refuse
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.[01] (\d{3})", lines[0])
    if found is None:
        return Outcome(0)
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    told = json.loads(body) if "x-told" in headers else []
    return Outcome(int(found[1]), headers.get("x-place", ""), *told)


# -- through what --


def nginx(what: Callable[[str], str], options: str = "") -> dict[str, str]:
    """Return nginx's configuration; *what* says what a block does."""
    blocks = "".join(
        f"location {path} {{{{ add_header X-Place {path} always; {what(path)} }}}}\n"
        for path in ("/", GUARDED)
    )
    return {
        "nginx.conf": f"{NGINX}server {{{{ listen 127.0.0.1:{{port}}; {options}\n"
        f"{blocks}}}}}\n}}}}\n"
    }


PLAIN_APACHE = re.sub(r"Include .*\n|WSGI.*\n", "", APACHE)
"""Apache without mod_wsgi."""


def apache(pass_on: str, modules: str, around: str = PLAIN_APACHE) -> dict[str, str]:
    """Return Apache's configuration; *pass_on* says where all requests go."""
    load = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("headers", *modules.split())
    )
    return {
        "httpd.conf": f"{around}{load}"
        "<VirtualHost 127.0.0.1:{port}>\n"
        f"{pass_on}\n"
        "<Location />\nHeader always set X-Place /\n</Location>\n"
        f"<Location {GUARDED}>\nHeader always set X-Place {GUARDED}\n</Location>\n"
        "</VirtualHost>\n"
    }


def front(name: str, *, files: dict[str, str], command: str = NGINX_COMMAND) -> Server:
    is_apache = "httpd.conf" in files
    return Server(
        name, command, announces=False, files=files, refuses_root=is_apache, ready="/"
    )


AS_PROXY = "apache2 -f {folder}/httpd.conf -DFOREGROUND"
ALL = "AllowEncodedSlashes NoDecode\n"


def proxies(port: int) -> list[Server]:
    """Return the proxies that pass requests on to a server at *port*."""
    there = f"http://127.0.0.1:{port}"
    found = [
        front(
            "nginx, proxy_pass without a path", files=nginx(lambda path: f"proxy_pass {there};")
        ),
        front(
            "nginx, proxy_pass with a path",
            files=nginx(lambda path: f"proxy_pass {there}{path};"),
        ),
        front(
            "nginx, without a path, merge_slashes off",
            files=nginx(lambda path: f"proxy_pass {there};", "merge_slashes off;"),
        ),
    ]
    for name, before, after in [
        ("Apache, ProxyPass", "", ""),
        ("Apache, ProxyPass nocanon", "", " nocanon"),
        ("Apache, ProxyPass, AllowEncodedSlashes NoDecode", ALL, ""),
        ("Apache, ProxyPass nocanon, AllowEncodedSlashes NoDecode", ALL, " nocanon"),
    ]:
        files = apache(f"{before}ProxyPass / {there}/{after}", "proxy proxy_http")
        found.append(front(name, files=files, command=AS_PROXY))
    return found


SITE = "confusion:application"

BACKENDS = [
    Server("gunicorn", f"gunicorn -k sync -b 127.0.0.1:{{port}} {SITE}", ready="/"),
    Server("waitress", f"waitress-serve --listen=127.0.0.1:{{port}} {SITE}", ready="/"),
]

OTHERS = [
    Server(
        "nginx, fastcgi_pass with $uri",
        f"freedom-middleware serve {SITE} --protocol fastcgi --unix mysite.sock",
        announces=False,
        files=nginx(
            lambda path: (
                "include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_NAME '';"
                " fastcgi_param PATH_INFO $uri; fastcgi_pass unix:{folder}/mysite.sock;"
            )
        ),
        front=NGINX_COMMAND,
        ready="/",
    ),
    Server(
        "Apache, mod_wsgi",
        APACHE_COMMAND,
        announces=False,
        compiled=True,
        refuses_root=True,
        files=apache(
            "WSGIDaemonProcess mysite threads=4 python-path={path}\n"
            "WSGIScriptAlias / {sites}/confusion.py process-group=mysite"
            " application-group=%{{GLOBAL}}\n"
            "<Directory {sites}>\nRequire all granted\n</Directory>",
            "",
            APACHE,
        ),
        ready="/",
    ),
]
"""Where the site runs behind another protocol, or inside the web server."""

assert all(backend.name in " ".join(s.name for s in SERVERS) for backend in BACKENDS)


@contextmanager
def deployments(*, compiled: bool = True) -> Iterator[Iterator[tuple[str, str, int]]]:
    """Yield proxy, server and port of each, one after the other; "" stands for no proxy."""

    def each(stack: ExitStack, folder: Path) -> Iterator[tuple[str, str, int]]:
        def place() -> Path:
            made = folder / str(len([*folder.iterdir()]))
            made.mkdir()
            return made

        for backend in BACKENDS:
            site = stack.enter_context(running(backend, place()))
            yield "", backend.name, site.port
            for proxy in proxies(site.port):
                with running(proxy, place()) as before:
                    yield proxy.name, backend.name, before.port
        for other in OTHERS:
            if compiled or not other.compiled:
                with running(other, place()) as site:
                    yield other.name, "", site.port

    with ExitStack() as stack, TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # Apache is somebody else
        yield each(stack, Path(folder))


# -- who is wrong about whom --

PAST = "past the block"
"""The proxy took it for something else, and the mount answered."""
INTO = "into the block"
"""The proxy took it for the mount's, and something else answered."""


def difference(outcome: Outcome) -> str:
    """Return PAST, INTO, or "" where the proxy and the site agree, or only one was asked."""
    if not (outcome.place and outcome.mount):
        return ""
    guarded, answered = outcome.place == GUARDED, outcome.mount == GUARDED
    return "" if guarded == answered else INTO if guarded else PAST


def breaks_the_rule(outcome: Outcome) -> bool:
    """Say whether the mount that answered is another than the rule names, byte for byte."""
    path = outcome.script_name + outcome.path_info
    under = [m for m in (GUARDED, "/shop") if path == m or path.startswith(f"{m}/")]
    return outcome.mount != (under[0] if under else "the rest") or not path.startswith(
        outcome.script_name
    )


TOKEN = re.compile(rb"^https?://[a-z.]+(?=/)|%[0-9a-f]{2}|.", re.DOTALL | re.IGNORECASE)
PLAIN = {b"%%%02x" % code: b"%c" % code for code in b"./\\abcdefghijklmnopqrstuvwxyz"}


def smallest(target: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Return the least of *target* of which *still* is true, as plainly spelt as it can be."""
    tokens = TOKEN.findall(target)
    before = None
    while tokens != before:
        before = tokens
        for other in simpler(tokens):
            if still(b"".join(other)):
                tokens = other
                break
    return b"".join(tokens)


def simpler(tokens: list[bytes]) -> Iterator[list[bytes]]:
    """Yield what is a little less than *tokens*, the much shorter first."""
    width = len(tokens) // 2
    while width:
        for start in range(0, len(tokens), width):
            yield tokens[:start] + tokens[start + width :]
        width //= 2
    path = b"".join(tokens)
    for found in re.finditer(rb"[^/]*/", path):  # a segment, and one way back behind it
        for back in re.finditer(rb"\.\./|/\.\.$", path[found.end() :]):
            start, end = (found.end() + at for at in back.span())
            yield TOKEN.findall(path[: found.start()] + path[found.end() : start] + path[end:])
    for index, token in enumerate(tokens):
        for plain in (PLAIN.get(token.lower(), b"x"), token.lower(), b"x"):
            if token not in (plain, b"x", b"/"):
                yield [*tokens[:index], plain, *tokens[index + 1 :]]


class Found(NamedTuple):
    """What a run found.

    Attributes:
        times: How many requests came down to a least path, by what happened and the path.
        where: What came of the least paths, by proxy and server.
        asked: How many requests were sent.
        broken: Who answered against the rule, and what was asked.
        apart: What two servers without a proxy gave to different mounts.
    """

    times: Counter[tuple[str, bytes]]
    where: dict[tuple[str, str], dict[bytes, Outcome]]
    asked: int
    broken: list[tuple[str, str, bytes, Outcome]]
    apart: list[tuple[Outcome, Outcome]]


def ask_everywhere(paths: Collection[bytes]) -> dict[tuple[str, str], dict[bytes, Outcome]]:
    """Return what comes of each of *paths*, by proxy and server."""
    with deployments() as each:
        return {
            (proxy, server): {path: ask(port, path) for path in paths}
            for proxy, server, port in each
        }


def run(requests: int, seed: int, *, progress: Callable[[str], object] = str) -> Found:
    """Send all requests through all deployments."""
    sent = targets(requests, seed)
    times: Counter[tuple[str, bytes]] = Counter()
    broken, asked = [], 0
    direct: dict[str, dict[bytes, Outcome]] = {}
    with deployments() as each:
        for proxy, server, port in each:
            seen: dict[bytes, Outcome] = {}

            def outcome(
                target: bytes, port: int = port, seen: dict[bytes, Outcome] = seen
            ) -> Outcome:
                if target not in seen:
                    seen[target] = ask(port, target)
                return seen[target]

            for target in sent:
                got = outcome(target)
                if got.mount and breaks_the_rule(got):
                    broken.append((proxy, server, target, got))
                if what := difference(got):
                    least = smallest(
                        target, lambda t, what=what: difference(outcome(t)) == what
                    )
                    times[what, least] += 1
            asked += len(seen)
            if not proxy:
                direct[server] = seen
            progress(f"{proxy or 'directly'}, {server}: {len(seen):,} requests")
    pairs = [(direct["gunicorn"][target], direct["waitress"][target]) for target in sent]
    apart = [(a, b) for a, b in pairs if a.mount and b.mount and a.mount != b.mount]
    where = ask_everywhere({least for _, least in times})
    return Found(times, where, asked, broken, apart)


# -- the table --


def shown(target: bytes) -> str:
    """Return part of a request line for a page: what is not printable as an escape."""
    if not target:
        return "nothing"
    text = target.decode("latin-1")
    return f"`{text if text.isascii() and text.isprintable() else target}`"


def table(found: Found, what: str) -> str:
    """Return a table of the least paths that went one way, and where they do."""
    rows = []
    for least in sorted(path for happened, path in found.times if happened == what):
        gets = {
            f"{outcome.mount}, {shown(outcome.path_info.encode('latin-1'))}"
            for outcomes in found.where.values()
            if difference(outcome := outcomes[least]) == what
        }
        where = places(found.where, what, least)
        rows.append(
            [
                shown(least),
                "; ".join(sorted(gets)),
                "; ".join(sorted(where)),
                str(found.times[what, least]),
            ]
        )
    heads = ["least path", "who answered, and its part of the path", "where", "times"]
    return pages.table(heads, rows)


def begins_with_two(outcomes: tuple[Outcome, ...]) -> bool:
    return any(outcome.path_info.startswith("//") for outcome in outcomes)


def places(
    where: Mapping[tuple[str, str], Mapping[bytes, Outcome]], what: str, least: bytes
) -> set[str]:
    """Name the proxies at which *what* happens, and the server if it does with one only."""
    servers: dict[str, list[str]] = {}
    for (proxy, server), outcomes in where.items():
        if difference(outcomes[least]) == what:
            servers.setdefault(proxy, []).append(server)
    return {
        proxy + (f" ({names[0]} only)" if len(names) == 1 and names[0] else "")
        for proxy, names in servers.items()
    }


def written(found: Found, requests: int, seed: int) -> str:
    """Return what stands on the page."""
    differ = sum(found.times.values())
    proxied = sum(bool(proxy) for proxy, _ in found.where)
    return (
        f"**Past the block**: the proxy took the path for something else, and the mount"
        f" `{GUARDED}` answered.\n\n{table(found, PAST)}\n\n"
        f"**Into the block**: the proxy took the path for the mount's, and something else"
        f" answered.\n\n{table(found, INTO)}\n\n"
        f"{found.asked:,} requests through {proxied} combinations of a proxy and a"
        f" server, from {len(KNOWN)} known targets and {requests:,} generated ones, seed"
        f" {seed}. In {differ:,} of them the two meant different paths. Mounts that answered"
        f" against the rule: {len(found.broken)}.\n\n"
        f"With no proxy in front, gunicorn and waitress gave {len(found.apart)} of the targets"
        f" to different mounts; {sum(map(begins_with_two, found.apart))} of these begin"
        " with two slashes or more, once they are decoded.\n"
    )


def committed() -> dict[tuple[str, bytes], set[str]]:
    """Return where the page says that a least path goes PAST or INTO the block."""
    text = pages.part(PAGE.read_text("utf-8"), COMMAND)
    found: dict[tuple[str, bytes], set[str]] = {}
    for what, part in zip((PAST, INTO), text.split("**Into the block**"), strict=True):
        for line in part.splitlines():
            if line.startswith("| `"):
                path, _, where, _ = line.strip("| ").split(" | ")
                key = what, path.strip("`").encode()
                found.setdefault(key, set()).update(where.split("; "))
    return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.paths")
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"rewrite docs/{PAGE.name}")
    options = parser.parse_args()
    found = run(
        options.requests,
        options.seed,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    text = written(found, options.requests, options.seed)
    print(text)
    for each in found.broken:
        print("against the rule:", *each, sep="  ")
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(pages.rewritten(page, COMMAND, text), "utf-8")
    return int(bool(found.broken))


if __name__ == "__main__":
    sys.exit(main())
