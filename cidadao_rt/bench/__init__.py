"""`bench`: a load generator, what it measures, and how that is told. Imports nothing of a server in its own process."""
