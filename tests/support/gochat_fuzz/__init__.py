"""Random and mutated bytes for what reads the bytes of others: ``make fuzz``.

The targets are :mod:`~gochat_fuzz.targets`, which are pure, and :mod:`~gochat_fuzz.sessions`, a
real server. Inputs come from :mod:`~gochat_fuzz.inputs`: payloads of every type, what the cases of
the conformance suite send, and mutations of both. An input is a function of the seed, the target
and its number, so each that is found can be repeated.
"""
