"""How the report's numbers are made, in words: each rule beside the module that computes it."""

COMPARISON_NOTES = (
    "**Difference**: of two contenders the one that was named first is the reference. A difference is the other's mean"
    " less the reference's, in points, which are percentage points; of times and losses it is the other's over the"
    " reference's, less one, in per cent. **Margin**: the differences too small to matter, declared before the first"
    " run; a ratio may be larger or smaller by one factor, so that 5 % are from 1/1.05, which is -4.762 %, to 1.05.",
    "**Interval**: were the study repeated many times, so many per cent of such intervals would hold the true"
    " difference. **p of a difference**: how often runs that do not differ would look at least this different."
    " **p of equivalence**: how often runs that differ by the margin would look at least this alike.",
    "**Paired**: the runs of one seed are compared with each other, because they share initial weights and batches."
    " **Wins of the other**: the seeds in which it came out better than the reference; a failed run is a loss.",
    "**Other better**: how probable it is that a run of the other comes out better than one of the reference,"
    " ties one half: of pairs the share of wins, with its exact (Clopper-Pearson) interval; elsewhere every run meets"
    " every other (Mann and Whitney), with Newcombe's interval, and **runs to show it** are about how many each must"
    " have for such a share to be told from chance (Noether 1987; 5 % of false alarms, one-sided, and 5 % of misses).",
    "**Holm**: a metric that is not the primary one has its p of a difference corrected for their number, within its"
    " track and pair. Unless that is below 0.05 no such metric is better or different, whatever its own interval says,"
    " which is not corrected: it **may differ**, and is inconclusive.",
    "**Equivalent**: the 90 % interval lies wholly inside the margin. **Better**: the 95 % interval lies wholly"
    " beyond it. **Different**: the 95 % interval excludes zero, but its size against the margin is unresolved."
    " **Inconclusive**: neither a difference nor equivalence is shown. **Descriptive**: what carries no verdict, such"
    " as fewer than 5 seeds, runs that repeat one draw, or runs that never reached a target.",
)
METHOD = (
    "**Verdicts.** Test accuracy is the one primary metric; the p values of the others are corrected for their number"
    " (Holm 1979), and decide whether these differ. The margins and the rules were fixed before any run. A wide"
    " interval is never read as agreement: what is neither shown to differ nor shown to be equivalent is inconclusive."
    " Each pair is judged by itself; the exit code of `--fail-if-different` is corrected for the number of pairs and"
    " tracks (Holm).",
    "**Intervals and tests.** Matched runs pair by seed: paired t test and two one-sided tests (Schuirmann 1987)."
    " Elsewhere nothing pairs: Welch's t test. Times are compared as ratios, by their logarithms. Intervals of means"
    " are t intervals; a percentile bootstrap covers too little at the few runs that a study has.",
    "**Curves.** From 8 runs on, a simultaneous 95 % band by the multiplier-t bootstrap (Telschow and Schwartzman"
    " 2022); below, every run. **Wins** carry an exact (Clopper-Pearson) interval. **Outliers** (more than 14.8"
    " median absolute deviations from the median) are flagged and never dropped.",
    "**Runs that did not complete** are in no mean, are counted beside every mean, and are losses among the wins.",
    "**Sampling error.** 10,000 test images alone leave an uncertainty of about 0.3 percentage points (one standard"
    " error) at an accuracy of 90 %; paired runs share these images.",
    "**Variance.** Why one run is not a result: Bouthillier et al. 2021, Accounting for Variance in Machine Learning"
    " Benchmarks; Jordan 2024, On the Variance of Neural Network Training; Agarwal et al. 2021, Deep RL at the Edge"
    " of the Statistical Precipice.",
)
