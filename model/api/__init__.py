"""The nouns of the cluster: objects, requests and replies."""
