"""What the API server promises."""
