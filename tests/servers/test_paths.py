"""The promise "Composed" at real servers: each application is told the right paths."""

import json


class TestPaths:
    """At the servers, whose decoding is part of what is tested."""

    variant = "guarded"

    def test_the_shop_makes_urls_that_lead_back_to_it(self, site):
        answer = site.get("/shop/cart")

        assert json.loads(answer.body) == {
            "script_name": "/shop",
            "path_info": "/cart",
            "url": "/shop/cart",
        }

    def test_a_prefix_ends_at_a_segment(self, site):
        answer = site.get("/shopping")

        assert answer.body == b"the site has no /shopping"
        # ElasticAPM is a generator, and calls start_response when the body is read.
        assert answer.status == (404 if site.server.starts_late else 200)

    def test_the_site_sees_the_whole_path_decoded_once(self, site):
        answer = site.get("/stra%C3%9Fe/100%2525/")

        assert json.loads(answer.body) == {
            "script_name": "",
            "path_info": "/straße/100%25/",
            "path": "/straße/100%25/",
            "name": "100%25",
        }

    def test_a_prefix_may_be_any_text(self, site):
        answer = site.get("/gr%C3%B6%C3%9Fe/caf%C3%A9")

        told = json.loads(answer.body)
        assert (told["script_name"], told["path_info"]) == ("/größe", "/café")
