"""Field rules by kind, on documents. Each rule gives causes in Kubernetes' order."""
