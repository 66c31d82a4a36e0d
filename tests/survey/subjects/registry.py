"""Every configuration by its name, and the two ways to write one down."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

CONFIGURATIONS = {}


class Configuration(NamedTuple):
    """One use of one package.

    Attributes:
        name: ``"Paste: gzipper"``.
        subject: What the package is for.
        distribution: Its name on the package index.
        layer: From an application to the one with the layer around it.
    """

    name: str
    subject: str
    distribution: str
    layer: Callable


class Subject:
    """What a group of packages is for; registers the configurations of one module."""

    def __init__(self, name):
        self.name = name

    def of(self, distribution, name):
        """Register a function from an application to an application."""

        def register(layer):
            full = f"{distribution}: {name}"
            assert full not in CONFIGURATIONS, full
            CONFIGURATIONS[full] = Configuration(full, self.name, distribution, layer)
            return layer

        return register

    def wraps(self, distribution, target, *arguments, name=None, **keywords):
        """Register ``module:attribute``, called with an application and *arguments*."""
        module, _, attribute = target.partition(":")

        def layer(application):
            thing = importlib.import_module(module)
            for part in attribute.split("."):
                thing = getattr(thing, part)
            return thing(application, *arguments, **keywords)

        self.of(distribution, name or attribute)(layer)


class Sends:
    """Adds to every request what a client would send, such as credentials."""

    def __init__(self, application, **keys):
        self.application = application
        self.keys = keys

    def __call__(self, environ, start_response):
        return self.application({**environ, **self.keys}, start_response)
