"""Fuzz targets: what a cluster, a node or a capture file may send, and that none of it can do harm."""
