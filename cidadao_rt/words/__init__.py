"""What is said: messages, codes, topics, rules. Pure: no event loop, clock, randomness or aiohttp."""
