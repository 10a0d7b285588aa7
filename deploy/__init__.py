"""Deployment: one machine (local) and Kubernetes (k8s)."""
