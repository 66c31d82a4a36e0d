"""What a choice by host costs, beside Paste, CherryPy and Starlette."""

import importlib

from freedom_middleware import Hosts

from .guard import ENVIRON, ignore
from .timing import shown, side_by_side, verdict

SIZES = [1, 10, 100, 1_000, 10_000]


def answer(environ, start_response):
    return []


def other(environ, start_response):
    return []


def asked(application, host):
    """Return a request for *host*; the two strings are set anew, since Paste changes them."""
    environ = {**ENVIRON, "HTTP_HOST": host}

    def ask():
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = "/x"
        application(environ, ignore)

    return ask


def paste(table):
    urlmap = importlib.import_module("paste.urlmap").URLMap()
    # Its own __setitem__ sorts the whole table anew each time.
    urlmap.applications = [((host, ""), application) for host, application in table.items()]
    urlmap.sort_apps()
    urlmap.applications.append(((None, ""), other))
    return urlmap


def cherrypy(table):
    # It looks the header up as it is: no case, no port, no wildcard, no check.
    virtual = importlib.import_module("cherrypy._cpwsgi").VirtualHost
    return virtual(other, table, use_x_forwarded_host=False)


def starlette(table):
    """Return Starlette's router; building its scope is part of the request."""
    routing = importlib.import_module("starlette.routing")

    async def served(scope, receive, send):
        pass

    router = routing.Router([routing.Host(host, served) for host in table], default=served)

    def application(environ, start_response):
        headers = [(b"host", environ["HTTP_HOST"].encode("latin-1"))]
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": headers}
        try:
            router(scope, None, None).send(None)
        except StopIteration:
            pass

    return application


PEERS = {"Paste": paste, "CherryPy": cherrypy, "Starlette": starlette}
MAKERS = {
    "Hosts": lambda table: Hosts(other, table),
    "Hosts(share=True)": lambda table: Hosts(other, table, share=True),
    **PEERS,
}


def table_of(size):
    return {f"m{number:05}.example.org": answer for number in range(size)}


def row(title, cost):
    print(f"  {title:<34}" + "".join(f"{name} {shown(ns):<11}" for name, ns in cost.items()))


def main():
    windows = 120
    hits = {}
    for size in SIZES:
        table = table_of(size)
        hits[size] = side_by_side(
            {
                name: asked(make(table), f"m{size // 2:05}.example.org")
                for name, make in MAKERS.items()
            },
            windows=windows,
        )
        row(f"a hit in the middle of {size}", hits[size])
    small = Hosts(other, {**table_of(1), "*.example.net": answer})
    large = Hosts(
        other,
        {
            **table_of(10_000),
            **{f"*.m{number}.example.net": answer for number in range(10_000)},
        },
    )
    paste_small = paste(table_of(1))
    long = ".".join(["a"] * 126)
    rest = side_by_side(
        {
            "upper case": asked(small, "M00000.Example.org"),
            "port": asked(small, "m00000.example.org:8000"),
            "port, 10000": asked(large, "m09999.example.org:8000"),
            "Paste, port": asked(paste_small, "m00000.example.org:8000"),
            "wildcard": asked(small, "shop.example.net"),
            "wildcard, 10000": asked(large, "shop.m9999.example.net"),
            "default": asked(small, "nowhere.example.com"),
            "default, 10000": asked(large, "nowhere.example.com"),
            "Paste, default": asked(paste_small, "nowhere.example.com"),
            "Starlette, default": asked(starlette(table_of(1)), "nowhere.example.com"),
            "malformed": asked(small, "m00000.example.org,evil.example"),
            "IPv6": asked(Hosts(other, {"[::1]": answer}), "[0:0::1]:8000"),
            "126 labels": asked(large, long),
            "a million characters": asked(large, "a" * 1_000_000),
        },
        windows=windows,
    )
    for name, ns in rest.items():
        row(name, {"": ns})
    for size in SIZES[1:]:
        ratio = hits[size]["Hosts"] / hits[1]["Hosts"]
        print(verdict(f"a hit among {size} / among 1", ratio, 1.25))
    for name in ("port", "wildcard", "default"):
        ratio = rest[f"{name}, 10000"] / rest[name]
        print(verdict(f"{name}: among 10000 / among 1", ratio, 1.25))
    for peer in ("Paste", "Starlette"):
        for size, cost in hits.items():
            print(verdict(f"Hosts / {peer}, among {size}", cost["Hosts"] / cost[peer], 1.0))
        ratio = rest["default"] / rest[f"{peer}, default"]
        print(verdict(f"default: Hosts / {peer}, among 1", ratio, 1.5))
    # What is not spelled like a pattern is checked first; Paste checks nothing.
    ratio = rest["port"] / rest["Paste, port"]
    print(verdict("another port: Hosts / Paste, among 1", ratio, 1.5))
    for size, cost in hits.items():
        ratio = cost["Hosts(share=True)"] / cost["CherryPy"]
        print(verdict(f"Hosts(share=True) / CherryPy, among {size}", ratio, 2.0))
