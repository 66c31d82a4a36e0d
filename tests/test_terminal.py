import io

import pytest

from freedom_middleware.terminal import (
    PLAIN,
    Progress,
    Terminal,
    cut,
    padded,
    width_of,
    wrapped,
)


class Stream(io.TextIOWrapper):
    def __init__(self, encoding="utf-8", *, is_terminal=True):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environ", "colour"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_and_for_those_who_ask(is_terminal, environ, colour):
    assert Terminal.of(Stream(is_terminal=is_terminal), environ).colour is colour


@pytest.mark.parametrize(
    ("encoding", "ascii"), [("utf-8", False), ("ascii", True), ("latin-1", True)]
)
def test_lines_are_ascii_where_the_encoding_has_no_others(encoding, ascii):
    assert Terminal.of(Stream(encoding), {}).ascii is ascii


def test_nothing_is_cut_in_a_file(monkeypatch):
    assert Terminal.of(Stream(is_terminal=False), {}).columns is None
    monkeypatch.setenv("COLUMNS", "40")
    assert Terminal.of(Stream(is_terminal=False)).columns == 40
    monkeypatch.setenv("COLUMNS", "1")
    assert Terminal.of(Stream()).columns == 20


def test_spaces_and_plain_terminals_are_not_painted():
    assert PLAIN.paint("text", "bold") == "text"
    assert Terminal(colour=True).paint("text", "bold") == "\x1b[1mtext\x1b[0m"
    assert Terminal(colour=True).paint("  ", "dim") == "  "


@pytest.mark.parametrize("width", range(1, 12))
@pytest.mark.parametrize("text", ["/shop/cart", "/店/かご", "/cafe\u0301/menu"])
def test_what_is_cut_fits(text, width):
    assert width_of(cut(text, width)) <= width
    assert width_of(cut(text, width, ascii=True)) <= width
    assert width_of(padded(cut(text, width), width)) == width


@pytest.mark.parametrize("width", [2, 3, 7, 20])
@pytest.mark.parametrize("text", ["", "a few words", "/店/かご is long", "a" * 20])
def test_lines_are_wrapped_between_words_and_else_within(text, width):
    lines = wrapped(text, width)

    assert max(map(width_of, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


class TestProgress:
    def make(self, columns=60, *seconds):
        stream = io.StringIO()
        return Progress(stream, columns, clock=iter([0.0, *seconds]).__next__), stream

    def test_is_a_line_that_is_written_over_and_taken_away(self):
        progress, stream = self.make(60, 0.5, 0.6)

        progress.show(1, 4, "ElasticAPM")
        progress.show(2, 4, "Layer\x1b[2J")
        progress.clear()
        progress.clear()

        assert stream.getvalue() == (
            "\r\x1b[2K[#####---------------] 1/4 ElasticAPM"
            "\r\x1b[2K[##########----------] 2/4 Layer\\x1b[2J"
            "\r\x1b[2K"
        )

    def test_what_is_done_soon_shows_none(self):
        progress, stream = self.make(60, 0.2)

        progress.show(0, 1, "Layer")
        progress.clear()

        assert stream.getvalue() == ""

    def test_it_never_wraps(self):
        progress, stream = self.make(30, 1)

        progress.show(0, 0, "a long name of a layer")

        assert width_of(stream.getvalue().removeprefix("\r\x1b[2K")) == 29

    def test_what_others_print_stays_and_the_line_goes(self):
        progress, stream = self.make(60, 1)

        progress.show(0, 1, "Layer")
        print("said", file=progress)

        assert stream.getvalue().endswith("Layer\r\x1b[2Ksaid\n")
        assert progress.isatty() is False
