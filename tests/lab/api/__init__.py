"""Tests of the lab's Kubernetes API: the store alone, the server over HTTPS, and real clients."""
