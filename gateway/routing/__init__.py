"""Which replica answers: names, replicas and their health."""
