"""Encoders, decoders and heads: pure flax.linen modules, images channels-last, any number of channels."""
