"""An audit whose processes do not come back: that says nothing about whether contenders match."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cluster.parity import follow_divergence, run_audit
from lenet.data import FashionMnist
from runners.core.environment import Software
from runners.core.errors import BadInput, ClusterLost, ProcessDied
from runners.core.spec import Contender, RunSpec, Settings
from tests.helpers.stubs import NO_DATA

NAMED = [Contender.model_validate(name) for name in ("keras", "torch")]
DEATH = (ProcessDied("exit code -9"), ClusterLost, r"died \(exit code -9\)")
REFUSAL = (BadInput("no torch"), BadInput, "no torch")


@pytest.mark.parametrize(("answer", "raised", "sentence"), [DEATH, REFUSAL], ids=["died", "refused"])
def test_a_process_without_an_answer_is_no_mismatch(answer: Exception, raised: type[Exception], sentence: str) -> None:
    def call_each(
        _function: Callable[[Any, FashionMnist], Any], _specs: Sequence[RunSpec], items: Sequence[Any], _: FashionMnist
    ) -> list[Any]:
        return [answer] * len(items)

    with pytest.raises(raised, match=sentence):
        run_audit(NAMED, Settings(), "quick", NO_DATA, call_each, Software("c" * 64, {}))
    with pytest.raises(raised, match=sentence):
        follow_divergence(NAMED, Settings(), NO_DATA, call_each)
