"""What the command line does with a gateway that runs: follow it, record it, verify it. Built on the Python client."""
