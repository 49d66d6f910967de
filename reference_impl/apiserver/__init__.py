"""The API server: REST, access control, registry, storage. `component` is the component."""
