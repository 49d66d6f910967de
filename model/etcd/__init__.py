"""What etcd may do: `member` is the store and its leases, `watch` the history and its watches."""
