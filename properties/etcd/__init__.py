"""What etcd promises."""
