"""What a choice by predicate costs, beside the same written by hand, and Werkzeug's Map."""

from webob import Request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from freedom_middleware import Mount, When
from freedom_middleware.dispatch import client, cookie, method, path

from .guard import ENVIRON, ignore
from .timing import shown, side_by_side, verdict

SIZES = [1, 10, 100]


def answer(environ, start_response):
    return []


def other(environ, start_response):
    return []


def asked(application, path_info="/m00000/x", **more):
    environ = {**ENVIRON, "PATH_INFO": path_info, "REMOTE_ADDR": "192.0.2.1", **more}

    def ask():
        application(environ, ignore)

    return ask


def by_hand(prefixes):
    """Compare strings in environ: nothing can be cheaper."""

    def application(environ, start_response):
        path_info = environ["PATH_INFO"]
        for prefix in prefixes:
            below = path_info == prefix or path_info.startswith(prefix + "/")
            if below and environ["REQUEST_METHOD"] == "GET":
                return answer(environ.copy(), start_response)
        return other(environ.copy(), start_response)

    return application


def with_webob(prefixes):
    """Ask a Request, as a view does."""

    def application(environ, start_response):
        request = Request(environ)
        for prefix in prefixes:
            path_info = request.path_info
            below = path_info == prefix or path_info.startswith(prefix + "/")
            if below and request.method == "GET":
                return answer(environ.copy(), start_response)
        return other(environ.copy(), start_response)

    return application


def werkzeug(prefixes):
    """Ask Werkzeug's map of rules with methods, the nearest that frameworks have."""
    rules = [
        Rule(f"{prefix}{rest}", endpoint=answer, methods=["GET"])
        for prefix in prefixes
        for rest in ("", "/<path:rest>")
    ]
    rules = Map(rules)

    def application(environ, start_response):
        try:
            found, _ = rules.bind_to_environ(environ).match()
        except HTTPException:
            found = other
        return found(environ.copy(), start_response)

    return application


def cases(prefixes):
    return When(other, [(path(prefix) & method("GET"), answer) for prefix in prefixes])


def function(prefixes):
    """Ask functions of a request; each gets a copy and a Request of its own."""
    return When(
        other,
        [
            (lambda request, below=prefix + "/": request.path_info.startswith(below), answer)
            for prefix in prefixes
        ],
    )


MAKERS = {
    "When": cases,
    "by hand": by_hand,
    "webob": with_webob,
    "Werkzeug": werkzeug,
    "functions": function,
}


def row(title, cost):
    print(f"  {title:<30}" + "".join(f"{name} {shown(ns):<10}" for name, ns in cost.items()))


def main():
    windows = 120
    last, default = {}, {}
    for size in SIZES:
        prefixes = [f"/m{number:05}" for number in range(size)]
        made = {name: make(prefixes) for name, make in MAKERS.items()}
        made["one path"] = When(other, [(path(*prefixes) & method("GET"), answer)])
        last[size] = side_by_side(
            {name: asked(one, f"{prefixes[-1]}/x") for name, one in made.items()},
            windows=windows,
        )
        default[size] = side_by_side(
            {name: asked(one, "/nowhere/x") for name, one in made.items()}, windows=windows
        )
        row(f"the last of {size}", last[size])
        row(f"none of {size}", default[size])
    one = side_by_side(
        {
            "Mount": asked(Mount(other, {"/m00000": answer})),
            "path": asked(When(other, [(path("/m00000"), answer)])),
            "cookie, no": asked(
                When(other, [(cookie("beta"), answer)]), HTTP_COOKIE="a=b; c=d"
            ),
            "cookie, yes": asked(When(other, [(cookie("c"), answer)]), HTTP_COOKIE="a=b; c=d"),
            "client": asked(When(other, [(client("10.0.0.0/8"), answer)])),
        },
        windows=windows,
    )
    row("one case", one)
    for size in SIZES:
        for peer in ("by hand", "webob", "Werkzeug", "functions"):
            for where, cost in (("the last of", last[size]), ("none of", default[size])):
                # Cases are asked one after the other; Werkzeug has a tree of its rules.
                bar = 2.5 if peer == "by hand" or (peer, size) == ("Werkzeug", 100) else 1.0
                print(verdict(f"When / {peer}, {where} {size}", cost["When"] / cost[peer], bar))
    ratio = last[100]["one path"] / last[1]["one path"]
    print(verdict("path of 100 prefixes / of 1", ratio, 2.5))
    print(verdict("When(path) / Mount", one["path"] / one["Mount"], 2.0))
