"""The canary: it sends a known number of events through the public path, and asks whether they were counted.

It knows nothing of the inside: what it sees is what producers and readers see. Its videos lie in all shards; each round
takes four of them, so that four rounds pass through every shard.
"""
