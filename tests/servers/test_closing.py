"""The promise "Closed" at real servers, with clients that stay and clients that leave.

Without anything around the site each response is closed once: the measure is right.  Under
a layer that loses ``close()`` none is: there is something to repair.
"""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

SIZE = 198_000

LONG = "?size=24000000"
"""More than server and kernel take from an application while nobody reads."""

each_response = pytest.mark.parametrize("target", ["/page/", "/stream/", "/file/", "/shop/"])
each_way_out = pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])


class ClosesOnce:
    """Whatever becomes of a response, it is closed exactly once."""

    under_a_generator = False

    @each_response
    def test_closes_what_is_read_whole(self, site, watch, target):
        answer = site.get(target)

        assert (answer.status, len(answer.body), answer.complete) == (200, SIZE, True)
        assert self.seen(site, watch, target) in self.outcomes(site, target)

    def test_closes_a_stream_after_its_end(self, site, watch):
        site.get("/stream/")

        seen = [event.what for event in watch.until_closed()]
        assert seen == ["opened", "read whole", "closed"]

    @each_response
    def test_closes_the_answer_to_head(self, site, watch, target):
        answer = site.get(target, method="HEAD")

        assert (answer.status, answer.body) == (200, b"")
        assert self.seen(site, watch, target) in self.outcomes(site, target)

    @each_way_out
    @each_response
    def test_closes_when_the_client_leaves(self, site, watch, target, reset):
        site.leave(target + LONG, reset=reset)

        assert self.seen(site, watch, target, left=True) in self.outcomes(site, target)

    @each_way_out
    def test_closes_a_slow_stream_when_the_client_leaves(self, site, watch, reset):
        site.leave("/slow/", reset=reset)

        assert [event.what for event in watch.until_closed()] == ["opened", "closed"]

    @pytest.mark.parametrize("target", ["/fail/", "/shop/fail"])
    def test_closes_when_the_view_raises(self, site, watch, target):
        answer = site.get(target)

        assert answer.status == self.error_status(site)
        assert self.seen(site, watch) == ["opened", "closed"]

    def test_closes_when_the_stream_raises(self, site, watch):
        answer = site.get("/fail-midway/")

        assert answer.body.startswith(b"chunk ")
        assert self.seen(site, watch) == ["opened", "closed"]

    def test_closes_each_of_many_at_once(self, site, watch):
        targets = ["/page/", "/stream/", "/file/", "/shop/"] * 8
        targets = [target for target in targets if len(self.outcomes(site, target)) == 1]

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(site.get, targets))

        seen = Counter(self.seen(site, watch, *targets))
        assert seen == {"opened": len(targets), "closed": len(targets)}

    def outcomes(self, site, target):
        return [["opened", "closed"]]

    def error_status(self, site):
        late = self.under_a_generator and not site.server.starts_late
        return 200 if late else 500

    def seen(self, site, watch, *targets, left=False):
        return names(watch.until_closed(len(targets) or 1))


class TestBare(ClosesOnce):
    """The site and the shop, and nothing around them."""

    variant = "bare"

    def seen(self, site, watch, *targets, left=False):
        seen = super().seen(site, watch, *targets)
        if site.server.name == "waitress" and left and targets == ("/file/",):
            seen = seen[:2]  # it closes the file twice, and Django counts both
        return seen


class TestGuard(ClosesOnce):
    """CloseGuard, and nothing around it."""

    variant = "alone"


class TestGuardUnderLoss(ClosesOnce):
    """ElasticAPM, which loses ``close()``, around CloseGuard."""

    variant = "guarded"
    under_a_generator = True

    def outcomes(self, site, target):
        if target == "/file/" and site.server.dropped_file == "perhaps":
            return [["opened"], ["opened", "closed"]]
        return [["opened", "closed"]]

    def seen(self, site, watch, *targets, left=False):
        """The same, and each response was closed on the thread that opened it."""
        how = site.server.dropped_file if "/file/" in targets else "at once"
        if how == "perhaps":
            events = watch.in_a_moment()
        else:
            late = how == "late" or (site.server.interleaves and len(targets) > 1)
            events = watch.until_closed(len(targets) or 1, late=late)
        opened, closed = (
            Counter(event.thread for event in events if event.what == what)
            for what in ("opened", "closed")
        )
        assert not closed - opened
        return names(events)

    def test_names_the_place_in_the_log(self, site):
        """Not in a finalizer: the next request does."""
        site.get("/page/")
        site.get("/page/")

        assert re.search(r"never closed: dropped at \S+elasticapm\S+\.py:\d+", site.log())


class TestLoss:
    """ElasticAPM, which loses ``close()``, and no guard."""

    variant = "lossy"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @each_response
    def test_no_response_is_closed(self, site, watch, target, method):
        answer = site.get(target, method=method)

        assert answer.status == 200
        assert names(watch.in_a_moment()) == ["opened"]

    @pytest.mark.parametrize("target", ["/fail/", "/fail-midway/", "/shop/fail"])
    def test_no_failing_response_is_closed(self, site, watch, target):
        site.get(target)

        assert names(watch.in_a_moment()) == ["opened"]


def names(events):
    return [event.what for event in events if event.what != "read whole"]
