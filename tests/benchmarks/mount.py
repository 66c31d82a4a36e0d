"""What a dispatch costs, beside cheroot, CherryPy and Paste, and Werkzeug, which shares."""

import importlib

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from freedom_middleware import Mount

from .guard import ENVIRON, ignore
from .timing import shown, side_by_side, verdict

SIZES = [1, 10, 100, 1_000, 10_000]


def answer(environ, start_response):
    return []


def other(environ, start_response):
    return []


def asked(application, path):
    """Return a request for *path*; the two strings are set anew, since some change them."""
    environ = dict(ENVIRON)

    def ask():
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path
        application(environ, ignore)

    return ask


def cheroot(table):
    return importlib.import_module("cheroot.wsgi").PathInfoDispatcher({**table, "": other})


def cherrypy(table):
    tree = importlib.import_module("cherrypy._cptree").Tree()
    for prefix, application in table.items():
        tree.graft(application, prefix)
    tree.graft(other, "")
    return tree


def paste(table):
    urlmap = importlib.import_module("paste.urlmap").URLMap()
    urlmap["/"] = other
    # Its own __setitem__ sorts the whole table anew each time.
    urlmap.applications = [
        ((None, prefix), application) for prefix, application in table.items()
    ]
    urlmap.sort_apps()
    urlmap.applications.append(((None, ""), other))
    return urlmap


COPYING = {
    "Mount": lambda table: Mount(other, table),
    "cheroot": cheroot,
    "CherryPy": cherrypy,
    "Paste": paste,
}
SHARING = {
    "Mount(share=True)": lambda table: Mount(other, table, share=True),
    "Werkzeug": lambda table: DispatcherMiddleware(other, table),
}


def table_of(size):
    """Return a table of prefixes of one length, so that none of them is found early."""
    return {f"/m{number:05}": answer for number in range(size)}


def row(title, cost):
    print(f"  {title:<34}" + "".join(f"{name} {shown(ns):<11}" for name, ns in cost.items()))


def main():
    hits = {}
    windows = 120
    for size in SIZES:
        table = table_of(size)
        makers = COPYING | SHARING
        cost = side_by_side(
            {name: asked(make(table), f"/m{size // 2:05}/x") for name, make in makers.items()},
            windows=windows,
        )
        hits[size] = cost
        row(f"a hit in the middle of {size}", cost)
    deep = {}
    for depth in range(1, 11):
        above = "/a" * (depth - 1)
        mounts = {
            size: Mount(other, {above + prefix: answer for prefix in table_of(size)})
            for size in (SIZES[0], SIZES[-1])
        }
        deep[depth] = side_by_side(
            {
                str(size): asked(mount, f"{above}/m{size // 2:05}/x")
                for size, mount in mounts.items()
            },
            windows=windows,
        )
    for depth in (1, 2, 5, 10):
        row(f"of {depth} segments, among 1 and 10000", deep[depth])
    crowded = Mount(other, {f"/api/v1/m{number}": answer for number in range(1000)})
    thin = Mount(other, {"/api/v1/m999": answer})
    long = "/a" * 30_000
    short = "/a" * 3_000
    walk = Mount(other, {"/a": answer, "/a/a": answer, "/a/a/b": answer})
    rest = side_by_side(
        {
            "default": asked(Mount(other, table_of(1)), "/nowhere/at/all"),
            "default, 10000": asked(Mount(other, table_of(10_000)), "/nowhere/at/all"),
            "crowded": asked(crowded, "/api/v1/m999/x"),
            "thin": asked(thin, "/api/v1/m999/x"),
            "hostile": asked(walk, long),
            "hostile/10": asked(walk, short),
            "hostile default": asked(Mount(other, {"/b": answer}), long),
            "hostile Werkzeug": asked(DispatcherMiddleware(other, {"/a/a/b": answer}), short),
        },
        windows=windows,
    )
    row("no prefix matches, among 1, 10000", {"": rest["default"], " ": rest["default, 10000"]})
    row("1000 under /api/v1, one alone", {"": rest["crowded"], " ": rest["thin"]})
    row(
        "a path of 30000 segments", {"hit": rest["hostile"], "default": rest["hostile default"]}
    )
    row("of 3000", {"hit": rest["hostile/10"], "Werkzeug": rest["hostile Werkzeug"]})

    for depth, cost in deep.items():
        ratio = cost[str(SIZES[-1])] / cost[str(SIZES[0])]
        print(verdict(f"a hit of {depth} segments, among 10000 / among 1", ratio, 1.25))
    print(
        verdict(
            "no match among 10000 / among 1", rest["default, 10000"] / rest["default"], 1.25
        )
    )
    print(verdict("1000 under one head / one", rest["crowded"] / rest["thin"], 1.25))
    print(verdict("30000 segments / 3000", rest["hostile"] / rest["hostile/10"], 10))
    for peer in ("cheroot", "CherryPy", "Paste"):
        for size, cost in hits.items():
            print(verdict(f"Mount / {peer}, among {size}", cost["Mount"] / cost[peer], 1.0))
    for size, cost in hits.items():
        ratio = cost["Mount(share=True)"] / cost["Werkzeug"]
        print(verdict(f"Mount(share=True) / Werkzeug, among {size}", ratio, 1.0))
