"""Labels of subjects as hashes."""

from dipy_synth.utils.labels import hash_labels, is_split_of, labels_on_side

SALT = "0123456789abcdef"


def split_of(train, validation, salt=SALT):
    sides = {"train": train, "validation": validation}
    hashed = {side: hash_labels(labels, salt) for side, labels in sides.items()}
    return {"salt": salt, **hashed}


def test_hashes_tell_neither_labels_nor_their_order_nor_another_salt():
    labels = [f"{number:02d}" for number in range(20)]
    hashed = hash_labels(labels, SALT)
    assert len(set(hashed)) == 20 and hashed == sorted(hashed)
    assert hashed == hash_labels(labels[::-1] + labels, SALT)
    assert not set(hashed) & set(hash_labels(labels, SALT[::-1]))
    assert not set(hashed) & set(labels)


def test_a_split_is_checked_by_labels():
    split = split_of(["01", "02"], ["03"])
    assert labels_on_side(split, ["03", "02", "04"], "train") == ["02"]
    assert labels_on_side(split, ["03", "02", "04"], "validation") == ["03"]
    assert is_split_of(split, {"02", "01"}, {"03"})
    assert not is_split_of(split, {"02", "03"}, {"01"})
    assert not is_split_of(split, {"01"}, {"03"})
