"""The shop: a Flask application that knows nothing of the site that it is mounted in."""

import journal
from flask import Flask, jsonify, redirect, request, url_for

app = Flask(__name__)


@app.after_request
def note_response(response):
    journal.note("opened")
    response.call_on_close(lambda: journal.note("closed"))
    return response


@app.get("/")
def front():
    return "shop " * (request.args.get("size", 198_000, int) // 5)


@app.get("/go")
def go():
    """Sends elsewhere, with a cookie for the shop alone."""
    response = redirect(url_for("where", name="cart"))
    response.set_cookie("basket", "full", path=f"{request.script_root}/")
    return response


@app.get("/<name>")
def where(name):
    return jsonify(
        script_name=request.root_path,
        path_info=request.path,
        url=url_for("where", name=name),
    )


@app.get("/fail")
def fail():
    raise RuntimeError("the shop's view failed, as it was asked to")
