"""etcd: the multi-version store behind the API server. `member` is the component."""
