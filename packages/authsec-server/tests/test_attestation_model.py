"""What a token says is a set of selectors, though none is made before somebody looks."""

from __future__ import annotations

from authsec_server.attestation.model import Selectors
from authsec_server.clients.model import Selector
from hypothesis import given
from hypothesis import strategies as st

said = st.dictionaries(st.sampled_from(["k8s:ns", "k8s:sa", "k8s:pod-name"]), st.text("ab", max_size=2))
others = st.frozensets(st.builds(Selector, key=st.sampled_from(["k8s:ns", "x:y"]), value=st.text("ab", max_size=2)))


@given(said, others)
def test_it_is_the_set_of_its_selectors(values: dict[str, str], others: frozenset[Selector]) -> None:
    plain = frozenset(Selector(key=key, value=value) for key, value in values.items())
    its = Selectors(values)
    assert (its == plain, len(its), set(its)) == (True, len(plain), set(plain))
    assert its | others == plain | others
    assert [each in its for each in others] == [each in plain for each in others]
    assert "k8s:ns" not in its
