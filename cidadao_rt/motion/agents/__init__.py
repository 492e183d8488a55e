"""The simulated agents: stories of investigations, voices of the chat."""
