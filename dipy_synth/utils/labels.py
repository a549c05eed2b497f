"""Labels of subjects as salted hashes: a split can be checked, not read."""

import hashlib

_DIGITS = 16


def hash_labels(labels, salt):
    """Hash labels of subjects: 16 digits of each SHA-256, sorted, to hide the order.

    `salt` goes before each of them, so that tables of hashes made beforehand, or of
    another model, are of no use. Who knows the salt and guesses a label can test the
    guess.
    """
    return sorted(_hashed(label, salt) for label in set(labels))


def labels_on_side(split, labels, side):
    """Select the labels that are on one side of a split of hashes, sorted."""
    hashes = set(split.get(side, ()))
    salt = split.get("salt", "")
    return sorted(label for label in set(labels) if _hashed(label, salt) in hashes)


def is_split_of(split, train, validation):
    """Check whether a split of hashes has these labels on its sides: bool."""
    salt = split.get("salt", "")
    sides = {"train": train, "validation": validation}
    return all(
        split[side] == hash_labels(labels, salt) for side, labels in sides.items()
    )


def _hashed(label, salt):
    digest = hashlib.sha256(f"{salt}/{label}".encode())
    return digest.hexdigest()[:_DIGITS]
