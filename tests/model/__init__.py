"""CloseGuard against a model of its promise: ``python -m tests.model`` prints the figures."""
