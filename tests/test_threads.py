"""Many threads at once: each response is closed once, whichever of them lets it go.

The tables of the dispatchers around the guard change meanwhile.  Where threads are free this
is the only test that runs them side by side for a while.
"""

import gc
import logging
import random
import threading
import warnings
from collections import Counter

import pytest

from freedom_middleware import CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, path
from freedom_middleware.errors import UnclosedBodyWarning
from freedom_middleware.testing import make_environ

from .interpreters import IS_FREE_THREADED, collected, settled_by_anybody

THREADS = 4
REQUESTS_EACH = 150


class Body:
    """Counts its closes, so that no close can be lost between threads."""

    def __init__(self):
        self.closes = []

    def __iter__(self):
        return iter([b"a", b"b"])

    def close(self):
        self.closes.append(threading.get_ident())


@pytest.fixture(autouse=True)
def _silent():
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnclosedBodyWarning)
        yield
    logging.disable(logging.NOTSET)


def start_nothing(status, headers, exc_info=None):
    return lambda data: None


class Site:
    """A guarded application behind every dispatcher, and what its clients do to a response."""

    def __init__(self):
        self.opened, self.given_away, self.errors = [], [], []
        self.guard = CloseGuard(self.application)
        self.mount = Mount(self.guard, {"/a": self.guard})
        self.methods = Methods({"GET": Hosts(self.mount, {"example.org": self.mount})})
        self.when = When(self.methods, [(path("/x"), self.methods)])
        self.done = threading.Event()

    def application(self, environ, start_response):
        body = Body()
        self.opened.append(body.closes)
        start_response("200 OK", [])
        return body

    def respond(self, chance):
        where = chance.choice(["/", "/a/b", "/x", "/n1/c"])
        return self.when(make_environ(where), start_nothing)

    def read_and_close(self, chance):
        body = self.respond(chance)
        list(body)
        body.close()
        body.close()

    def drop(self, chance):
        self.respond(chance)

    def lose_in_a_generator(self, chance):
        chunks = (chunk for chunk in self.respond(chance))
        chance.choice([list, next])(chunks)

    def drop_in_a_cycle(self, chance):
        cycle = [self.respond(chance)]
        cycle.append(cycle)

    def close_on_three_threads(self, chance):
        body = self.respond(chance)
        ready = threading.Barrier(3)

        def close():
            ready.wait()
            body.close()

        others = [threading.Thread(target=close) for _ in range(2)]
        for thread in others:
            thread.start()
        close()
        for thread in others:
            thread.join()

    def give_away(self, chance):
        self.given_away.append(self.respond(chance))

    def take(self, chance):
        try:
            body = self.given_away.pop()
        except IndexError:
            return
        if chance.random() < 0.5:
            body.close()

    WAYS = (
        *(read_and_close, drop, lose_in_a_generator, drop_in_a_cycle),
        *(close_on_three_threads, give_away, take),
    )

    def ask(self, seed):
        chance = random.Random(seed)  # noqa: S311 - no secret
        try:
            for _ in range(REQUESTS_EACH):
                chance.choice(self.WAYS)(self, chance)
        except Exception as error:  # noqa: BLE001 - compared with none
            self.errors.append(error)

    def change(self):
        number, total = 0, 0
        while not self.done.wait(0.001):
            number += 1
            self.mount.mounts[f"/n{number % 5}"] = self.guard
            self.when.cases[:] = [(path("/x"), self.methods), (path("/y"), self.guard)]
            before, total = total, self.guard.leaks.total()
            if total < before:
                self.errors.append(f"{total} leaks after {before}")


def test_each_response_is_closed_once_whichever_thread_lets_it_go():
    site = Site()
    threads = [threading.Thread(target=site.ask, args=(seed,)) for seed in range(THREADS)]
    changing = threading.Thread(target=site.change)

    for thread in (*threads, changing):
        thread.start()
    for thread in threads:
        thread.join()
    site.done.set()
    changing.join()

    site.given_away.clear()
    gc.collect()
    collected()
    settled_by_anybody()
    assert site.errors == []
    assert Counter(map(len, site.opened)) == {1: len(site.opened)}
    asked = sum(sum(heads.values()) for heads in site.when.counts().values())
    assert asked == len(site.opened) > THREADS * REQUESTS_EACH / 2
    assert 0 < site.guard.leaks.total() < asked


def test_what_another_thread_drops_is_not_closed_under_a_lock_of_its_own():
    """Where threads are free its own thread finalizes it, in the midst of what that does."""
    lock = threading.Lock()
    closed_under_it, box, done = [], [], threading.Event()

    class LocksToClose(Body):
        def close(self):
            closed_under_it.append(lock.locked())

    guard = CloseGuard(lambda environ, start_response: LocksToClose())

    def drop():
        while not done.is_set():
            box.clear()

    thread = threading.Thread(target=drop)
    thread.start()
    for _ in range(20_000 if IS_FREE_THREADED else 200):
        box.append(guard(make_environ(), start_nothing))
        with lock:
            for _ in range(50):
                pass
    done.set()
    thread.join()
    box.clear()
    gc.collect()
    collected()
    settled_by_anybody()

    assert not any(closed_under_it)
