"""Each framework under its prefix: the URLs that it makes lead back to it."""

from urllib.parse import unquote

import pytest

from .browser import TOKEN


@pytest.fixture
def base(browser):
    """Where the site is, as text."""
    return unquote(browser.base)


class TestDjango:
    def test_it_knows_where_it_is(self, browser, base):
        page = browser.get("/portal/where/?q=1")

        told = page.json
        assert told["SCRIPT_NAME"] == f"{base}/portal"
        assert (told["path"], told["path_info"]) == (f"{base}/portal/where/", "/where/")
        assert told["full"] == f"{browser.base}/portal/where/?q=1"
        assert told["absolute"] == page.url

    def test_reverse_static_and_template_tags_have_the_prefix(self, browser, base):
        told = browser.get("/portal/where/").json

        assert told["reverse"] == f"{browser.base}/portal/item/7/"
        assert told["static"] == f"{base}/portal/static/admin/css/base.css"
        assert told["template"] == f"{told['reverse']} {base}/portal/static/a.css"
        assert browser.open(told["reverse"]).text == "item 7"
        assert browser.open(told["static"]).status == 200

    def test_a_redirect_to_a_view_leads_to_it(self, browser):
        assert browser.follow(browser.get("/portal/go/")).text == "item 7"

    def test_append_slash_stays_under_the_prefix(self, browser):
        page = browser.get("/portal/where")

        assert page.status == 301
        assert browser.follow(page).json["path_info"] == "/where/"

    def test_at_the_prefix_exactly_it_is_asked_for_its_front_page(self, browser):
        """Which this site has not; no redirect leads anywhere else."""
        assert browser.get("/portal").status == 404

    def test_the_csrf_check_passes_with_its_token_and_not_without(self, browser):
        token = browser.get("/portal/form/").text

        good = browser.send(
            f"{browser.base}/portal/form/", word="hello", csrfmiddlewaretoken=token
        )
        bad = browser.send(f"{browser.base}/portal/form/", word="hello")

        assert (good.status, good.text) == (200, "got hello")
        assert bad.status == 403

    def test_the_admin_from_login_to_logout(self, browser, base):
        asked = browser.get("/portal/admin/")
        assert asked.location.startswith(f"{browser.base}/portal/admin/login/?next=")

        login = browser.follow(asked)
        assert login.status == 200
        style = login.found(r'href="([^"]*/base\.css)"')
        assert browser.open(style).status == 200

        done = browser.log_in(login, "ann", "ann's password")
        assert done.url.startswith(f"{browser.address}{browser.base}/portal/admin/login/")
        assert (done.status, done.location) == (302, f"{browser.base}/portal/admin/")
        admin = browser.follow(done)
        assert "Site administration" in admin.text
        out = admin.found(r'<form id="logout-form" method="post" action="([^"]*)"')
        assert out == f"{browser.base}/portal/admin/logout/"

        gone = browser.send(out, csrfmiddlewaretoken=admin.found(TOKEN))
        if base.isascii():
            assert gone.status == 200
        else:  # without LOGOUT_REDIRECT_URL it asks once more, and that is to log in
            assert "/portal/admin/login/?next=" in browser.follow(gone).location
        assert browser.get("/portal/admin/").status == 302

    def test_its_cookies_are_for_the_whole_host(self, browser):
        browser.get("/portal/form/")

        assert browser.cookie("csrftoken").path == "/"

    def test_login_url_as_a_view_s_name_leads_to_the_login(self, browser):
        login = browser.follow(browser.get("/portal/private/"))

        assert login.status == 200
        assert login.found(r'name="next" value="([^"]*)"') == f"{browser.base}/portal/private/"

    def test_login_url_as_a_path_loses_the_prefix(self, browser):
        """The commonest mistake; docs/subpath.md says so."""
        page = browser.get("/portal/private-by-path/")

        assert page.location.startswith("/admin/login/?next=")
        assert browser.follow(page).status in (404, 500)  # gunicorn misses SCRIPT_NAME


class TestFlask:
    def test_url_for_has_the_prefix(self, browser, base):
        page = browser.get("/shop/where/")

        told = page.json
        assert told["url_for"] == f"{base}/shop/item/7"
        assert told["static"] == f"{base}/shop/static/a.txt"
        assert (told["script_root"], told["path"]) == (f"{base}/shop", "/where/")
        assert unquote(told["url"]) == unquote(page.url)
        assert browser.open(told["url_for"]).text == "item 7"
        assert browser.open(told["external"]).text == "item 7"
        assert browser.open(told["static"]).text == "an asset\n"

    def test_redirects_lead_back(self, browser):
        assert browser.follow(browser.get("/shop/go")).text == "item 7"
        assert browser.follow(browser.get("/shop/where")).json["path"] == "/where/"

    def test_its_session_cookie_is_for_the_whole_host(self, browser):
        browser.get("/shop/")

        assert browser.cookie("session").path == "/"


class TestTwoFlasks:
    def test_their_sessions_collide(self, browser):
        assert [browser.get("/shop/").text for _ in range(2)] == ["1", "2"]
        assert browser.get("/blog/").text == "1"
        assert browser.get("/shop/").text == "1"

    def test_that_is_detected_and_explained(self, browser):
        assert browser.get("/collisions").text == (
            "cookie 'session': /shop (Flask) and /blog (Flask) log out each other's visitors\n"
            "  fix: set SESSION_COOKIE_NAME = 'blog_session' in /blog"
        )

    def test_the_fix_works(self, browser):
        visits = [browser.get(path).text for path in ("/shop/", "/news/") * 2]

        assert visits == ["1", "1", "2", "2"]


class TestPyramid:
    def test_the_urls_that_it_makes_lead_back(self, browser, base):
        told = browser.get("/pyramid/where/").json

        assert told["route_path"] == f"{base}/pyramid/item/7"
        assert browser.open(told["route_path"]).text == "item 7"
        assert browser.open(told["route_url"]).text == "item 7"
        assert browser.open(told["static"]).text == "an asset\n"
        assert browser.open(told["resource_url"]).text == "a view by its name"
        assert browser.follow(browser.get("/pyramid/go")).text == "item 7"

    @pytest.mark.parametrize("path", ["/pyramid", "/pyramid/"])
    def test_it_has_a_front_page_with_a_slash_and_without(self, browser, path):
        assert browser.get(path).text == "front"

    def test_its_added_slash_stays_under_the_prefix(self, browser):
        page = browser.get("/pyramid/where")

        assert page.status == 307
        assert browser.follow(page).json["url"].endswith("/pyramid/where/")


class TestBottle:
    def test_get_url_and_a_redirect_to_it_lead_back(self, browser, base):
        told = browser.get("/bottle/where/").json
        page = browser.get("/bottle/go")

        if base.isascii():
            assert told["get_url"] == f"{base}/bottle/item/7"
            assert browser.open(told["get_url"]).text == "item 7"
            assert browser.follow(page).text == "item 7"
        else:  # it takes each byte of SCRIPT_NAME for a letter: its URLs lead nowhere
            assert browser.open(told["get_url"]).status == 404
            assert not page.location.isascii()

    def test_a_redirect_to_a_relative_path_leads_back(self, browser, base):
        page = browser.get("/bottle/go-relative")

        if base.isascii():
            assert browser.follow(page).text == "item 7"
        else:
            assert browser.follow(page).status == 404


class TestFalcon:
    def test_relative_uri_and_prefix_lead_back(self, browser, base):
        page = browser.get("/falcon/where")
        moved = browser.get("/falcon/go")

        told = page.json
        assert told["root_path"] == f"{base}/falcon"
        assert told["relative_uri"] == f"{base}/falcon/where"
        assert browser.open(told["uri"]).json == told
        assert browser.open(told["prefix"] + "/item/7").text == "item 7"
        if base.isascii():
            assert browser.follow(moved).text == "item 7"
        else:  # the prefix is text, and a Location is not encoded
            assert not moved.location.isascii()
        assert browser.follow(browser.get("/falcon/go-encoded")).text == "item 7"


class TestFastAPI:
    def test_its_documentation_finds_its_schema(self, browser, base):
        docs = browser.get("/api/docs")

        schema = docs.found(r"url: '([^']*)'")
        assert schema == f"{base}/api/openapi.json"
        told = browser.open(schema).json
        assert told["servers"] == [{"url": f"{base}/api"}]
        assert list(told["paths"]) == ["/where", "/item/{number}", "/go", "/go-by-path"]

    def test_url_for_and_redirects_lead_back(self, browser):
        told = browser.get("/api/where").json

        assert browser.open(told["url_for"]).json == {"item": 7}
        assert browser.follow(browser.get("/api/go")).json == {"item": 7}

    def test_a_slash_too_many_is_redirected_under_the_prefix(self, browser):
        page = browser.get("/api/where/")

        assert page.status == 307
        assert browser.follow(page).json["url"].endswith("/api/where")


@pytest.mark.parametrize("prefix", ["shop", "pyramid", "bottle", "falcon", "api"])
def test_a_redirect_to_a_path_loses_the_prefix(browser, prefix):
    """In every framework: a path that somebody has written is taken as it is."""
    page = browser.get(f"/{prefix}/go-by-path")

    assert page.location.removeprefix(browser.address) == "/item/7"


class TestNeighbours:
    def test_a_folder(self, browser):
        assert browser.get("/files/a.txt").text == "an asset\n"
        assert browser.get("/files/missing").status == 404

    @pytest.mark.parametrize(
        "path",
        [
            "/files/..%2fframeworks.py",
            "/files/%2e%2e/frameworks.py",
            "/files/..%5cframeworks.py",
            "/files/../portal/settings.py",
            "/files/%2e%2e%2f%2e%2e%2fportal%2fsettings.py",
        ],
    )
    def test_nothing_above_a_folder(self, browser, path):
        assert browser.get(path).status == 404

    def test_a_redirect_goes_where_a_browser_would(self, browser):
        assert browser.get("/old/cart?page=2").location == "/new/cart?page=2"
