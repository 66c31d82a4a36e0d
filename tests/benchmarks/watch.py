"""What LeakWatch adds to a request: around a Flask site under three layers, and around nothing.

A sample of 0.01 costs what a request outside it costs, and a hundredth of what one inside
costs more.  Both are measured, and put together: a window of half a millisecond holds too
few requests to have its share of the sample.
"""

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

from freedom_middleware.leaks import LeakWatch

from .guard import ENVIRON, answering_a_list, forwarding
from .timing import shown, side_by_side, verdict

SAMPLE = 0.01
NEVER = 1e-300


def flask():
    site = Flask("site", root_path="/")

    @site.route("/")
    def page():
        return "x"

    return site.wsgi_app


def site():
    return ProxyFix(DispatcherMiddleware(WhiteNoise(flask())))


def trivial():
    return forwarding(forwarding(forwarding(answering_a_list)))


def ignore(status, headers, exc_info=None):
    return None


def served(application):
    """Return a request as a server handles it: call, read, close."""

    def serve():
        body = application(ENVIRON.copy(), ignore)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return serve


def fastest_of(cases, *, of=6):
    """Return the cost of each, as the fastest of several that were made in turn.

    One site is slower by some hundredths than the next, by where its objects lie.
    """
    made = {(name, n): served(make()) for n in range(of) for name, make in cases.items()}
    cost = side_by_side(made)
    return {name: min(cost[name, n] for n in range(of)) for name in cases}


def main():
    for name, make, bar in (
        ("Flask under three layers", site, 1.02),
        ("a list under three functions", trivial, None),
    ):
        cost = fastest_of(
            {
                "bare": make,
                "not in the sample": lambda make=make: LeakWatch(make(), sample=NEVER),
                "in the sample": lambda make=make: LeakWatch(make(), sample=1),
            }
        )
        for case, nanoseconds in cost.items():
            print(f"  {f'{name}, {case}':<62}{shown(nanoseconds):>7}")
        watched = (1 - SAMPLE) * cost["not in the sample"] + SAMPLE * cost["in the sample"]
        line, ratio = f"{name}: LeakWatch(sample={SAMPLE}) / bare", watched / cost["bare"]
        # Four calls that do nothing more are no stack to hold a bar against.
        print(verdict(line, ratio, bar) if bar else f"  {line:<62}{ratio:>7.2f}")
