"""A Flask application that knows nothing of the site around it."""

from __future__ import annotations

from flask import Flask, Response, url_for

app = Flask(__name__)


@app.get("/")
def shelf() -> Response:
    """Say where the shop believes to be: url_for() shows the prefix."""
    return Response(f"<h1>The shop</h1><p>This page is {url_for('shelf')}</p>\n")
