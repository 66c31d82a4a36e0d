import pytest

from freedom_middleware.body import close_body
from freedom_middleware.testing import SpyBody


class TestCloseBody:
    def test_it_closes_a_body_that_can_be_closed(self):
        body = SpyBody()

        close_body(body)

        assert body.closes == 1

    def test_it_leaves_one_that_cannot_be_closed(self):
        close_body([b"x"])

    def test_a_close_that_cannot_be_called_is_an_error(self):
        """To pass over it would hide a bug."""
        body = SpyBody()
        body.close = "soon"

        with pytest.raises(TypeError, match="not callable"):
            close_body(body)
