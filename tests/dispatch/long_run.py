"""A long run of generated requests and table changes against the rule, read aloud.

    python -m tests.dispatch.long_run [--requests 1000000] [--seed 1]

``Hosts`` stands above several ``Mount``, one of them above another.  Between requests the
tables change: an entry is added, replaced or removed, or the whole table is.  Each request
is answered by the dispatchers and by a few lines that try every entry, and the two must
agree on the application and on the SCRIPT_NAME and PATH_INFO that it sees.
"""

import argparse
import random
import sys
import time

from freedom_middleware import Hosts, Mount
from freedom_middleware.environ import native

SEGMENTS = ["a", "b", "ab", "A", "ä", "é", "..", ".", "%2F", "a b", "a;b", "\x00", "日本"]
LABELS = ["a", "b", "ab", "www", "xn--4ca"]
PORTS = ["", ":80", ":443", ":8080"]
MOST = 12  # entries in a table


class Recorder:
    """An application that writes down what it sees."""

    def __init__(self, name):
        self.name = name

    def __call__(self, environ, start_response):
        environ["seen"].append((self.name, environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return ()


# -- the rule, read aloud --


def expected_mount(table, script_name, path_info):
    """Return the longest prefix that equals the path or is followed by a slash in it."""
    best = ""
    for prefix in table:
        raw = native(prefix)
        if (path_info == raw or path_info.startswith(raw + "/")) and len(raw) > len(
            native(best)
        ):
            best = prefix
    script_name = "" if script_name == "/" else script_name
    raw = native(best)
    return best, script_name + raw, path_info[len(raw) :]


def expected_host(table, host, scheme):
    """Return the pattern: with port, then exact, then the longest wildcard, then ''."""
    name, _, port = host.rpartition(":") if ":" in host else (host, "", "")
    port = port or {"http": "80", "https": "443"}[scheme]
    name = name.lower().removesuffix(".")
    for wanted in (f"{name}:{port}", name):
        if wanted in table:
            return wanted
    suffixes = [p for p in table if p.startswith("*.") and name.endswith(p[1:])]
    return max(suffixes, key=len, default="")


# -- what is generated --


def a_prefix(chance):
    return "".join("/" + chance.choice(SEGMENTS) for _ in range(chance.choice([1, 1, 2, 3, 5])))


def a_path(chance, tables):
    """Return a path that is often a prefix, or almost one."""
    table = chance.choice(tables)
    path = chance.choice([*table, ""]) if chance.random() < 0.7 else a_prefix(chance)
    path += chance.choice(["", "", "/", "//", "x", "/x", "/a/b", "/..", a_prefix(chance)])
    if chance.random() < 0.05:
        path = chance.choice(["", "a", "*", "//"]) + path[1:]
    return native(path)


def a_pattern(chance):
    labels = ".".join(chance.choice(LABELS) for _ in range(chance.choice([1, 2, 2, 3])))
    if chance.random() < 0.3:
        return f"*.{labels}"
    return labels + chance.choice(PORTS)


def a_host(chance, table):
    host = chance.choice([*table, "a"]) if chance.random() < 0.7 else a_pattern(chance)
    host = host.replace("*", chance.choice(LABELS))
    if ":" not in host:
        host += chance.choice(["", "", "."]) + chance.choice(PORTS)
    return chance.choice([host, host, host.upper()])


def change(chance, table, mirror, make_key, make_child):
    """Change *table*, which serves, and *mirror*, which is what it should be."""
    what = chance.random()
    if what < 0.1:
        new = {key: make_child() for key in {make_key(chance) for _ in range(5)}}
        table.replace(new)
        mirror.clear()
        mirror.update(new)
    elif mirror and (what < 0.4 or len(mirror) >= MOST):
        key = chance.choice([*mirror])
        del table[key]
        del mirror[key]
    else:
        key = make_key(chance)
        table[key] = mirror[key] = make_child()


def run(requests, seed, progress=lambda done: None):
    """Send *requests*; raise AssertionError with all that is needed to repeat one."""
    chance = random.Random(seed)  # noqa: S311 - a run must be repeatable
    numbers = iter(range(10**12))

    def leaf():
        return Recorder(f"leaf {next(numbers)}")

    hosts_mirror, outer_mirror, inner_mirror = {}, {}, {}
    inner = Mount(Recorder("inner default"), {})
    outer = Mount(Recorder("outer default"), {})
    inner_prefix = "/ab"
    hosts = Hosts(outer, {})
    outer.mounts[inner_prefix] = inner
    changes = 0
    for done in range(requests):
        if done % 10 == 0:
            changes += 1
            which = chance.random()
            if which < 0.3:
                change(chance, hosts.hosts, hosts_mirror, a_pattern, leaf)
            elif which < 0.6:
                change(chance, inner.mounts, inner_mirror, a_prefix, leaf)
            else:
                change(chance, outer.mounts, outer_mirror, a_prefix, leaf)
                outer.mounts[inner_prefix] = inner
                outer_mirror[inner_prefix] = inner
        host = a_host(chance, hosts_mirror)
        path = a_path(chance, [outer_mirror, {inner_prefix + p: 0 for p in inner_mirror}])
        script_name = chance.choice(["", "", "/outer", "/"])
        scheme = chance.choice(["http", "https"])
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": script_name,
            "PATH_INFO": path,
            "HTTP_HOST": host,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": scheme,
            "seen": [],
        }
        before = dict(environ)
        pattern = expected_host(hosts_mirror, host, scheme)
        clean = "" if script_name == "/" else script_name
        if pattern:
            expected = hosts_mirror[pattern].name, script_name, path
        else:
            prefix, seen_script, seen_path = expected_mount(outer_mirror, script_name, path)
            if prefix == inner_prefix:
                prefix, seen_script, seen_path = expected_mount(
                    inner_mirror, seen_script, seen_path
                )
                child = inner_mirror[prefix].name if prefix else "inner default"
            else:
                child = outer_mirror[prefix].name if prefix else "outer default"
            expected = child, seen_script, seen_path
            assert seen_script + seen_path == clean + path
        hosts(environ, None)
        after = {key: environ[key] for key in before}
        if environ["seen"] != [expected] or after != before | {"seen": [expected]}:
            raise AssertionError(
                f"seed {seed}, request {done}: {before} must reach {expected}, got"
                f" {environ['seen']}; hosts {[*hosts_mirror]}, mounts {[*outer_mirror]},"
                f" below {inner_prefix} {[*inner_mirror]}"
            )
        if done % 50_000 == 0:
            progress(done)
    return changes


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.dispatch.long_run")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    changes = run(
        options.requests,
        options.seed,
        lambda done: print(f"{done:>10,} requests", end="\r", file=sys.stderr, flush=True),
    )
    seconds = time.perf_counter() - start
    print(
        f"{options.requests:,} requests, {changes:,} changes of the tables, seed"
        f" {options.seed}: every one as the rule says, in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
