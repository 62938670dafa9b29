"""The lab's kubelets: pods become network namespaces and processes.

Importing this package costs nothing, since the shim is a program in it.
"""
