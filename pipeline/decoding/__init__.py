"""Processes that decode pictures: a picture that crashes its decoder, or takes too long, ends one of them."""
