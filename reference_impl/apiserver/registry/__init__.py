"""What the server knows of each kind: defaults, validation, strategies, names, allocators."""
