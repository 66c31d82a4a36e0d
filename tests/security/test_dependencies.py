"""The one dependency at run time, held against the advisories that are known of it."""

from urllib.parse import urlsplit

import pytest
from webob import Response

from freedom_middleware import Application
from freedom_middleware.testing import exchange


# CVE-2024-42353, mended in WebOb 1.8.8; GHSA-fh3h-vg37-cc95, in 1.8.10; and the rest in 1.8.11.
@pytest.mark.parametrize(
    "location",
    [
        "//evil.example/x",
        "/\t/evil.example/x",
        "\t//evil.example/x",
        " //evil.example/x",
        "\x01//evil.example/x",
        " https://evil.example/x",
    ],
)
def test_a_view_that_repeats_a_client_redirects_to_its_own_host(location):
    application = Application.from_view(lambda request: Response(status=302, location=location))

    found = exchange(application, "/", validate=False).header("Location")

    assert urlsplit(found).netloc == "127.0.0.1"
    assert found.startswith("http://127.0.0.1/")
