"""What checks that others keep to PEP 3333."""

from tests.leaks import layers

from .registry import Subject

subject = Subject("Lints")

subject.of("Python", "wsgiref.validate")(layers.validator)
subject.of("WebTest", "lint")(layers.lint)
subject.wraps("Werkzeug", "werkzeug.middleware.lint:LintMiddleware")
subject.wraps("Paste", "paste.lint:middleware", name="lint")
