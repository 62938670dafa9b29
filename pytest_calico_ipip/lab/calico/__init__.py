"""What Calico keeps in the datastore: its objects, its address management, its own workload."""
