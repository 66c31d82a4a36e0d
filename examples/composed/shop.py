"""A shop in Flask."""

from flask import Flask, url_for

app = Flask(__name__)


@app.get("/cart")
def cart() -> str:
    return f"The cart at {url_for('cart')}\n"
