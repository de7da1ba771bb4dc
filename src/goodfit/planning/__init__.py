"""Fingerprint, memory and plan: the rules that turn the first two into the third."""
