"""A long run of generated requests and table changes against the rule, read aloud.

    python -m tests.dispatch.long_run [--requests 1000000] [--seed 1]

``Hosts``, ``When``, ``Methods`` and two ``Mount`` stand one within the other, in an order
that is drawn anew every two thousand requests.  Between requests the tables change: an entry
is added, replaced or removed, or the whole table is.  Each request is answered by the
dispatchers and by a few lines that try every entry.  The two must agree on who answers, on
the SCRIPT_NAME and PATH_INFO that it sees, on what is sent, and on what the caller finds in
its environ afterwards.
"""

import argparse
import random
import sys
import time
from collections import Counter
from typing import NamedTuple

from freedom_middleware import Hosts, Mount, When
from freedom_middleware.body import close_body
from freedom_middleware.dispatch import Methods, method, path
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.environ import native

SEGMENTS = ["a", "b", "ab", "A", "ä", "é", "..", ".", "%2F", "a b", "a;b", "\x00", "日本"]
LABELS = ["a", "b", "ab", "www", "xn--4ca"]
PORTS = ["", "80", "443", "8080"]
ADDRESSES = {"127.0.0.1": ["127.0.0.1"], "[::1]": ["[::1]", "[0:0::1]", "[::0001]"]}
NO_HOSTS = [".", "..", ":80", "a..b", ".a", "a b", "a,b", "a@b", "a/b", "a?b", "a:b", "a:1:2"]
NO_HOSTS += ["a:65536", "[::1", "::1", "[1]", "[::1%1]", "%61", "ä", "a\x00", "b" * 64, "*.a"]
METHODS = ["GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", "BREW"]
MOST = 12  # entries in a table
REQUESTS_EACH = 2_000  # of one composition


class Asked(NamedTuple):
    """A request; *name* and *port* are what its Host means, *name* None that it is none."""

    header: str
    name: str | None
    port: str
    scheme: str
    method: str
    script_name: str
    path_info: str
    mounted: str | None = None
    emptied: bool = False


class Answer(NamedTuple):
    """Who answers, what it sees, what is sent, and where the caller is told that it was."""

    status: str
    allow: str | None
    body: bytes
    seen: tuple[str, str, str, str] | None
    mounted: str | None


class Recorder:
    """An application that writes down what it sees."""

    def __init__(self, name):
        self.name = name
        self.application = self

    def __call__(self, environ, start_response):
        keys = "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO"
        environ["seen"].append((self.name, *(environ[key] for key in keys)))
        start_response("200 OK", [])
        return [self.name.encode()]


# -- the rule, read aloud: for each dispatcher who is next, and what it sees --


def is_under(prefix, path_info):
    """Say whether the path is the prefix, or goes on with a slash behind it."""
    return path_info == native(prefix) or path_info.startswith(native(prefix) + "/")


class Mounted:
    """``Mount``: the longest prefix; it moves from PATH_INFO to SCRIPT_NAME."""

    def __init__(self, below, chance, **options):
        self.below = below
        self.mirror = {}
        self.application = Mount(below and below.application, {}, **options)
        self.table = self.application.mounts

    def choose(self, asked):
        script_name = "" if asked.script_name == "/" else asked.script_name
        matching = [p for p in self.mirror if is_under(p, asked.path_info)]
        if not matching:
            return self.below, asked._replace(script_name=script_name)
        best = max(matching, key=lambda prefix: len(native(prefix)))
        script_name += native(best)
        rest = asked.path_info[len(native(best)) :]
        return self.mirror[best], asked._replace(
            script_name=script_name, path_info=rest, mounted=script_name
        )

    def a_key(self, chance):
        return a_prefix(chance)

    def prefixes(self):
        return [*self.mirror]


class Hosted:
    """``Hosts``: with its port, then exactly, then the longest wildcard."""

    def __init__(self, below, chance, **options):
        self.below = below
        self.mirror = {}
        self.application = Hosts(below and below.application, {}, **options)
        self.table = self.application.hosts

    def choose(self, asked):
        if asked.name is None:
            return "400 Bad Request", asked
        port = asked.port or {"http": "80", "https": "443"}[asked.scheme]
        labels = asked.name.split(".")
        above = ["*." + ".".join(labels[n:]) for n in range(1, len(labels))]
        for name in [asked.name, *above]:
            for pattern in (f"{name}:{port}", name):
                if pattern in self.mirror:
                    return self.mirror[pattern], asked
        return self.below, asked

    def a_key(self, chance):
        name, port = a_name(chance), chance.choice(PORTS)
        if chance.random() < 0.3 and name not in ADDRESSES:
            name = f"*.{name}"
        return f"{name}:{port}" if port else name

    def prefixes(self):
        return []


class Asking:
    """``When``: the first question that is answered with yes."""

    def __init__(self, below, chance, **options):
        self.below = below
        self.mirror = []
        self.application = When(below and below.application, [], **options)
        self.table = self.application.cases

    def choose(self, asked):
        for _, yes, child in self.mirror:
            if yes(asked):
                return child, asked
        return self.below, asked

    def prefixes(self):
        return [prefix for prefix, _, _ in self.mirror]


class Served:
    """``Methods``: the method's own, HEAD by GET, OPTIONS with 204, and 405 for the rest."""

    def __init__(self, below, chance, **options):
        self.below = below
        self.mirror = {name: below or Recorder("bottom") for name in ("GET", "POST")}
        table = {name: child.application for name, child in self.mirror.items()}
        self.application = Methods(table, **options)
        self.table = self.application.methods

    def choose(self, asked):
        if asked.method in self.mirror:
            return self.mirror[asked.method], asked
        if asked.method == "HEAD" and "GET" in self.mirror:
            return self.mirror["GET"], asked._replace(emptied=True)
        if asked.method == "OPTIONS":
            return "204 No Content", asked
        return "405 Method Not Allowed", asked

    def allow(self):
        names = []
        for name in self.mirror:
            names += [name, "HEAD"] if name == "GET" else [name]
        return ", ".join(dict.fromkeys([*names, "OPTIONS"]))

    def a_key(self, chance):
        return chance.choice([name for name in METHODS if name.isupper()])

    def prefixes(self):
        return []


def expected(place, asked):
    """Go down, level by level, to who answers."""
    while not isinstance(place, (Recorder, str)) and place is not None:
        above = place
        place, asked = place.choose(asked)
    if isinstance(place, Recorder):
        seen = place.name, asked.method, asked.script_name, asked.path_info
        body = b"" if asked.emptied else place.name.encode()
        return Answer("200 OK", None, body, seen, asked.mounted)
    status = place or "404 Not Found"
    body = b"" if asked.method == "HEAD" or status[:3] == "204" else f"{status}\n".encode()
    allow = above.allow() if status[:3] in ("204", "405") else None
    return Answer(status, allow, body, None, asked.mounted)


# -- what is generated --


def a_prefix(chance):
    return "".join("/" + chance.choice(SEGMENTS) for _ in range(chance.choice([1, 1, 2, 3, 5])))


def a_question(chance):
    """Return a prefix, a predicate about it, and the same in plain words."""
    prefix, name = a_prefix(chance), chance.choice(METHODS[:6])
    return prefix, *chance.choice(
        [
            (path(prefix), lambda asked: is_under(prefix, asked.path_info)),
            (
                path(prefix, "/ab") & method(name),
                lambda asked: (
                    asked.method == name
                    and (is_under(prefix, asked.path_info) or is_under("/ab", asked.path_info))
                ),
            ),
            (
                ~(path("/a") | method(name)) & path(prefix),
                lambda asked: (
                    asked.method != name
                    and is_under(prefix, asked.path_info)
                    and not is_under("/a", asked.path_info)
                ),
            ),
        ]
    )


def a_path(chance, prefixes):
    """Return a path that is often some of the prefixes, or almost."""
    many = chance.choice([0, 1, 1, 2, 3]) if prefixes else 0
    path = "".join(chance.choices(prefixes, k=many)) if many else a_prefix(chance)
    path += chance.choice(["", "", "/", "//", "x", "/x", "/a/b", "/..", a_prefix(chance)])
    if chance.random() < 0.05:
        path = chance.choice(["", "a", "*", "//"]) + path[1:]
    return native(path)


def a_name(chance):
    if chance.random() < 0.1:
        return chance.choice([*ADDRESSES])
    return ".".join(chance.choice(LABELS) for _ in range(chance.choice([1, 2, 2, 3])))


def a_host(chance, patterns):
    """Return a Host header, and the name and the port that it means."""
    what = chance.random()
    if what < 0.05:
        return chance.choice(NO_HOSTS), None, ""
    if what < 0.1:
        return "", "localhost", "80"  # as the server says
    name = a_name(chance)
    if what < 0.7 and patterns:
        name = chance.choice(patterns).replace("*", chance.choice(LABELS))
        name = name if name in ADDRESSES else name.removesuffix(":" + name.rpartition(":")[2])
    port = chance.choice(PORTS)
    header = chance.choice(ADDRESSES.get(name, [name, name.upper(), f"{name}."]))
    return header + (f":{port}" if port else ""), name, port


def a_composition(chance):
    """Return the levels, outermost first."""
    kinds = [Mounted, Mounted, Hosted, Asking, Served]
    chance.shuffle(kinds)
    options = {"share": chance.random() < 0.25}
    levels = [chance.choice([None, Recorder("bottom")])]
    for kind in kinds:
        levels.insert(0, kind(levels[0], chance, **options))
    return levels[:-1], options["share"]


def change(chance, level, numbers):
    """Change a table that serves, and its mirror, which says what it should be."""

    def a_child():
        below = level.below is not None and chance.random() < 0.3
        return level.below if below else Recorder(f"leaf {next(numbers)}")

    what, table, mirror = chance.random(), level.table, level.mirror
    if isinstance(level, Asking):
        rows = [(*a_question(chance), a_child()) for _ in range(5 if what < 0.1 else 1)]
        served = [(predicate, child.application) for _, predicate, _, child in rows]
        mirrored = [(prefix, yes, child) for prefix, _, yes, child in rows]
        place = chance.randrange(len(mirror) + 1)
        if what < 0.1:
            table.replace(served)
            mirror[:] = mirrored
        elif place < len(mirror) and (what < 0.4 or len(mirror) >= MOST):
            del table[place], mirror[place]
        elif place < len(mirror) and what < 0.6:
            table[place], mirror[place] = served[0], mirrored[0]
        else:
            table.insert(place, served[0])
            mirror.insert(place, mirrored[0])
    elif what < 0.1:
        new = {level.a_key(chance): a_child() for _ in range(5)}
        table.replace({key: child.application for key, child in new.items()})
        mirror.clear()
        mirror.update(new)
    elif mirror and (what < 0.4 or len(mirror) >= MOST):
        key = chance.choice([*mirror])
        del table[key], mirror[key]
    else:
        key, child = level.a_key(chance), a_child()
        table[key], mirror[key] = child.application, child


# -- the run --


def send(application, environ):
    """Call as a server does; return what came."""
    sent = []
    body = application(
        environ, lambda status, headers, exc_info=None: sent.append((status, headers))
    )
    try:
        read = b"".join(body)
    finally:
        close_body(body)
    [(status, headers)] = sent
    seen = environ["seen"]
    assert len(seen) <= 1, seen
    allow = dict(headers).get("Allow")
    return Answer(status, allow, read, seen[0] if seen else None, environ.get(MOUNTED))


def run(requests, seed, progress=lambda done: None):
    """Send *requests*; raise AssertionError with all that is needed to repeat one."""
    chance = random.Random(seed)  # noqa: S311 - a run must be repeatable
    numbers = iter(range(10**12))
    found = Counter()
    for done in range(requests):
        if done % REQUESTS_EACH == 0:
            found["compositions"] += 1
            levels, share = a_composition(chance)
            patterns, prefixes = [], []
        if done % 5 == 0:
            found["changes"] += 1
            change(chance, chance.choice(levels), numbers)
            prefixes = [prefix for level in levels for prefix in level.prefixes()]
            [patterns] = [[*level.mirror] for level in levels if isinstance(level, Hosted)]
        asked = Asked(
            *a_host(chance, patterns),
            scheme=chance.choice(["http", "https"]),
            method=chance.choice(METHODS),
            script_name=chance.choice(["", "", "/outer", "/"]),
            path_info=a_path(chance, prefixes),
        )
        environ = {
            "REQUEST_METHOD": asked.method,
            "SCRIPT_NAME": asked.script_name,
            "PATH_INFO": asked.path_info,
            "HTTP_HOST": asked.header,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": asked.scheme,
            "seen": [],
        }
        before = environ.copy()
        must = expected(levels[0], asked)
        got = send(levels[0].application, environ)
        left = environ.copy()
        left.pop(MOUNTED, None)
        if got != must or not (share or left == before):
            shown = [(type(level).__name__, [*level.mirror]) for level in levels]
            raise AssertionError(
                f"seed {seed}, request {done}: {asked} must be answered by {must}, got {got};"
                f" environ {environ}; levels {shown}"
            )
        found[must.status[:3]] += 1
        if done % 50_000 == 0:
            progress(done)
    return found


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.dispatch.long_run")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    found = run(
        options.requests,
        options.seed,
        lambda done: print(f"{done:>10,} requests", end="\r", file=sys.stderr, flush=True),
    )
    seconds = time.perf_counter() - start
    statuses = ", ".join(f"{code} {found[code]:,}" for code in sorted(found) if code.isdigit())
    print(
        f"{options.requests:,} requests to {found['compositions']:,} compositions, with"
        f" {found['changes']:,} changes of their tables, seed {options.seed}: each one as the"
        f" rule says, in {seconds:.0f} s ({statuses})"
    )


if __name__ == "__main__":
    main()
