"""Splits: all of the material, no overlap, something of everything for each where there is enough."""

from hypothesis import given
from hypothesis import strategies as st

from graphmix.songbook.splits import SHARES, SPLITS, assign, fingerprint, split_of


def test_shares_of_scores_are_as_stated() -> None:
    found = [split_of(f"{k:016x}") for k in range(4000)]
    for split, share in {**SHARES, "train": 1 - sum(SHARES.values())}.items():
        assert abs(found.count(split) / 4000 - share) < 0.03  # type: ignore[arg-type]
    assert all(0 <= fingerprint(str(k)) < 1 for k in range(100))


ABILITIES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5), st.sets(st.sampled_from("klmn"), min_size=1), max_size=30
)


@given(ABILITIES)
def test_training_keeps_every_ability_and_tests_get_those_of_three(abilities: dict[str, set[str]]) -> None:
    found = assign(abilities)
    assert set(found) == set(abilities)
    assert set(found.values()) <= set(SPLITS)
    for ability in {a for its in abilities.values() for a in its}:
        assert any(found[name] == "train" for name, its in abilities.items() if ability in its)


@given(ABILITIES, st.randoms())
def test_the_order_of_instruments_does_not_matter(abilities: dict[str, set[str]], random: "object") -> None:
    names = list(abilities)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert assign({name: abilities[name] for name in names}) == assign(abilities)


def test_each_split_can_play_what_enough_instruments_can() -> None:
    abilities = {f"{role} {k}": {role} for role in ("bass", "lead", "pad") for k in range(10)}
    found = assign(abilities)
    for role in ("bass", "lead", "pad"):
        its = [found[name] for name in abilities if role in abilities[name]]
        assert (its.count("test"), its.count("valid"), its.count("train")) == (2, 1, 7)
    two = assign({"one": {"bass"}, "other": {"bass"}})
    assert sorted(two.values()) == ["test", "train"]
