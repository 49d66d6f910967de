"""The API server over HTTP: an ASGI application over the same System that the explorer drives."""
