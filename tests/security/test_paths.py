"""What docs/security/path-confusion.md says, asked of the real proxies once more."""

from urllib.parse import unquote_to_bytes

import pytest

from .paths import (
    INTO,
    KNOWN,
    PAST,
    Outcome,
    ask_everywhere,
    breaks_the_rule,
    committed,
    difference,
    places,
    smallest,
    targets,
)

SAFE = {
    "nginx, proxy_pass with a path",
    "nginx, fastcgi_pass with $uri",
    "Apache, ProxyPass",
    "Apache, mod_wsgi",
}
"""What the page recommends."""


@pytest.fixture(scope="module")
def answers():
    """The outcome of each known target, and of the page's own, by proxy and server."""
    return ask_everywhere({*targets(0, 1), *(least for _, least in committed())})


@pytest.mark.server("nginx and Apache")
@pytest.mark.compiled
class TestAtRealProxies:
    def test_every_row_of_the_page_is_still_so(self, answers):
        """A path goes past a block, or into it, where the page says, and nowhere else."""
        rows = committed()

        assert {what for what, _ in rows} == {PAST, INTO}
        for (what, least), where in rows.items():
            assert places(answers, what, least) == where, least

    def test_nothing_goes_past_what_the_page_recommends(self, answers):
        past = {
            (proxy, target)
            for (proxy, _), outcomes in answers.items()
            for target, outcome in outcomes.items()
            if difference(outcome) == PAST
        }

        assert {proxy for proxy, _ in answers} > SAFE
        assert not {proxy for proxy, _ in past} & SAFE
        assert past

    def test_the_mount_that_answers_is_the_one_that_the_rule_names(self, answers):
        outcomes = [outcome for each in answers.values() for outcome in each.values()]
        mounts = {outcome.mount for outcome in outcomes}

        assert mounts == {"", "the rest", "/admin", "/shop"}
        assert not [
            outcome for outcome in outcomes if outcome.mount and breaks_the_rule(outcome)
        ]


class TestTheRunItself:
    def test_it_asks_what_is_known_and_what_is_made_up(self):
        made = targets(200, seed=3)

        assert len(made) > len(KNOWN) + 100
        assert made == targets(200, seed=3)
        assert len(set(made)) == len(made)

    @pytest.mark.parametrize(
        ("target", "least"),
        [
            (b"/admin/%2e%2E/shop", b"/admin/.."),
            (b"/%61dmin/some/where/../../.%2e?x", b"/admin/.."),
            (b"http://example.test/admin/..;/../../x", b"/admin/.."),
            (b"/admin/" + b"a/" * 20 + b"../" * 21, b"/admin/.."),
        ],
    )
    def test_it_finds_the_least_path(self, target, least):
        def goes_up(path):
            """Say whether it begins with /admin and ends elsewhere when it is resolved."""
            kept = []
            path = path.removeprefix(b"http://example.test").partition(b"?")[0]
            names = unquote_to_bytes(path).split(b"/")[1:]
            for name in names:
                kept = kept[:-1] if name == b".." else [*kept, name]
            return names[:1] == [b"admin"] and kept[:1] != [b"admin"]

        assert goes_up(target)
        assert smallest(target, goes_up) == least

    @pytest.mark.parametrize(
        ("outcome", "what"),
        [
            (Outcome(200, "/", "/admin", "/admin", "/.."), PAST),
            (Outcome(200, "/admin", "the rest", "", "/x/../admin"), INTO),
            (Outcome(200, "/admin", "/admin", "/admin", ""), ""),
            (Outcome(200, "/", "/shop", "/shop", ""), ""),
            (Outcome(403, "/admin"), ""),
            (Outcome(200, "", "/admin", "/admin", ""), ""),
        ],
    )
    def test_it_knows_who_is_wrong_about_whom(self, outcome, what):
        assert difference(outcome) == what

    @pytest.mark.parametrize(
        ("outcome", "broken"),
        [
            (Outcome(200, "", "/admin", "/admin", "/x"), False),
            (Outcome(200, "", "the rest", "", "//admin"), False),
            (Outcome(200, "", "the rest", "", "/admin/x"), True),
            (Outcome(200, "", "/admin", "/adm", "in"), False),
            (Outcome(200, "", "/admin", "", "/adminx"), True),
            (Outcome(200, "", "/shop", "/admin", "/x"), True),
        ],
    )
    def test_it_knows_the_rule(self, outcome, broken):
        assert breaks_the_rule(outcome) == broken

    def test_a_server_is_named_where_it_happens_with_that_one_only(self):
        past, agreed = Outcome(200, "/", "/admin"), Outcome(200, "/admin", "/admin")
        where = {
            ("nginx", "gunicorn"): {b"//admin": agreed, b"/": past},
            ("nginx", "waitress"): {b"//admin": past, b"/": past},
            ("Apache", ""): {b"//admin": past, b"/": agreed},
        }

        assert places(where, PAST, b"//admin") == {"nginx (waitress only)", "Apache"}
        assert places(where, PAST, b"/") == {"nginx"}
        assert places(where, INTO, b"/") == set()
