"""Generated names and uids: functions of the seed, the start of the server and an ordinal.

Real servers draw them at random. Here the entropy is (seed, incarnation, ordinal), so that the same
history gives the same names, two objects of one history never share a uid, and a name that is
taken is drawn again, as Kubernetes does (release 1.32, apiserver's NameGenerator).
"""

from __future__ import annotations

import hashlib

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUFFIX_LENGTH = 5
GENERATED_LENGTH_MAX = 63 - SUFFIX_LENGTH
TRIES_MAX = 8


def entropy(seed: int, incarnation: int, ordinal: int, purpose: str) -> bytes:
    """Sixteen bytes that look random, the same for the same arguments in every process."""
    text = f"{seed}/{incarnation}/{ordinal}/{purpose}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def uid_from(data: bytes) -> str:
    """A version 4 UUID of sixteen bytes."""
    digits = data.hex()
    variant = "89ab"[data[8] & 3]
    return (f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-"
            f"{digits[20:]}")


def suffix_from(data: bytes) -> str:
    """Five characters, from the alphabet without vowels that Kubernetes uses."""
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in data[:SUFFIX_LENGTH])


def generated(prefix: str, data: bytes) -> str:
    """A name from its `generateName`."""
    return prefix[:GENERATED_LENGTH_MAX] + suffix_from(data)
