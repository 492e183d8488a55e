"""What is remembered: log, cursor, investigations, session. As pure as `words`."""
