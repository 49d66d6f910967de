"""The spec of the API server."""
