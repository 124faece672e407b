"""What a report says of the parity audit, and what it no longer says where the audit fails."""

import pytest

from runners.parity import checks
from runners.parity.checks import FILE
from runners.parity.defaults import Defaults
from runners.report.build import assemble
from runners.report.output.html import render
from runners.report.sections.defaults import DRAWN, differing_defaults
from runners.report.wording import ABSENT
from tests.runners.report.conftest import ENVIRONMENT, an_audit


def sentences(report):
    return report.comparisons.set_index("metric")["sentence"].to_dict()


def test_a_passed_audit_is_on_the_page_and_pairs_the_runs(study_folder):
    report = assemble(study_folder())
    page = render(report, pictures=False)
    assert "Parity audit (quick): all 2 checks hold" in page
    assert '<th scope="row">gradient</th>' in page
    assert "the largest norm of a difference, divided by the norm of the second contender&#39;s" in page
    assert report.comparisons["paired"].all()
    assert report.notices == ()


def test_a_failed_audit_unpairs_the_comparison_and_takes_the_word_away(study_folder):
    folder = study_folder()
    checks.write(folder, an_audit(fails=True))
    report = assemble(folder)
    assert not report.comparisons["paired"].any()
    assert report.comparisons["wins"].isna().all()
    assert report.notices == (
        "torch: not matched: the parity audit's check of gradient (float64) fails. conv1/kernel is the first to "
        "differ; look at the loop; mend that, and use another --out.",
    )
    page = render(report, pictures=False)
    assert "<small>not matched</small>" in page
    assert "<small>matched</small>" not in page
    assert "Each run was set up" in page


def test_contenders_that_hold_stay_paired_beside_one_that_does_not(study_folder, make_plan):
    folder = study_folder(("keras", "torch", "torch:ddp:2"))
    plan = make_plan(contenders=("keras", "torch", "torch:ddp:2"))
    checks.write(folder, an_audit("torch", "torch:ddp:2", fails=True, plan=plan))
    paired = assemble(folder).comparisons.groupby(["a", "b"])["paired"].all().to_dict()
    assert paired == {("keras", "torch"): True, ("keras", "torch:ddp:2"): False, ("torch", "torch:ddp:2"): False}


def test_what_is_held_only_against_a_contender_that_does_not_hold_is_not_matched_either(study_folder, make_plan):
    contenders = ("keras", "keras:mirrored:2", "torch", "torch:ddp:2")
    folder, plan = study_folder(contenders), make_plan(contenders=contenders)
    rows = [row for pair in checks.pairs(plan.contenders) for row in an_audit(*pair, fails=pair[1] == "torch").rows]
    assert [(row.a, row.b) for row in rows[::2]] == [("keras", name) for name in contenders[1:3]] + [contenders[2:]]
    checks.write(folder, an_audit(plan=plan).model_copy(update={"rows": tuple(rows)}))
    report = assemble(folder)
    assert report.inputs.audit.unmatched == {"torch", "torch:ddp:2"}
    paired = report.comparisons.groupby(["a", "b"])["paired"].all()
    assert [pair for pair, holds in paired.items() if holds] == [("keras", "keras:mirrored:2")]
    assert "does not show that torch and torch:ddp:2 computes what keras does. With it nothing pairs." in render(
        report, pictures=False
    )


def test_a_failed_audit_withholds_what_the_defaults_are_worth(study_folder):
    folder = study_folder(tracks=("matched", "native"))
    assert len(assemble(folder).tables["defaults"]) == 4
    checks.write(folder, an_audit(fails=True))
    assert len(assemble(folder).tables["defaults"]) == 0


OTHERS = [None, {"threads": 2}, {"batch_size": 64}, {"contenders": ("torch", "keras")}]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_without_an_audit_of_the_same_conditions_a_study_says_so(study_folder, make_plan, other):
    folder = study_folder()
    (folder / FILE).unlink()
    if other:
        checks.write(folder, an_audit(fails=True, plan=make_plan(**other)))
    report = assemble(folder)
    assert report.inputs.audit is None
    assert report.notices == (
        "The folder has no parity audit of these contenders, this code and these settings; python scripts/audit.py "
        f"keras torch --batch-size 128 --threads 1 --device cpu --out {folder} does it.",
    )


def test_runs_on_a_machine_that_was_not_audited_are_told(study_folder):
    folder = study_folder()
    done = an_audit().model_copy(update={"machines": ("Another CPU",)})
    checks.write(folder, done)
    (notice,) = assemble(folder).notices
    assert notice.startswith(f"Runs on {ENVIRONMENT.cpu_model} were not audited there; ")


@pytest.mark.parametrize("given", [{"tracks": ("native",)}, {"contenders": ("keras",)}], ids=str)
def test_where_nothing_is_matched_no_audit_is_missed(study_folder, given):
    folder = study_folder(**given)
    (folder / FILE).unlink()
    assert assemble(folder).notices == ()


def test_the_page_shows_the_defaults_that_differ_and_no_others(study_folder):
    folder = study_folder()
    chosen = tuple(
        Defaults(
            contender=name, native={"epsilon": own, "beta 1": "0.9"}, matched={"epsilon": "1e-07", "beta 1": "0.9"}
        )
        for name, own in (("keras", "1e-07"), ("torch", "1e-08"))
    )
    checks.write(folder, an_audit().model_copy(update={"defaults": chosen}))
    page = render(assemble(folder), pictures=False)
    assert '<th scope="row">epsilon</th><td>1e-07</td><td>1e-08</td><td>1e-07</td><td>1e-07</td>' in page
    assert "beta 1" not in page


def test_what_matched_takes_from_no_framework_is_called_drawn_and_what_one_has_alone_is_left_open():
    chosen = (
        Defaults(contender="keras", native={"shuffling": "fit"}, matched={}),
        Defaults(contender="torch", native={"shuffling": "sampler", "benchmark": "off"}, matched={"benchmark": "on"}),
    )
    assert differing_defaults(an_audit().model_copy(update={"defaults": chosen})).rows == [
        ("shuffling", "fit", "sampler", DRAWN, DRAWN),
        ("benchmark", ABSENT, "off", ABSENT, "on"),
    ]
