"""Published results, computed again on the published data."""

from experiments import idx
from experiments.studies.published import lassonet
from experiments.studies.published.settings import QUICK, Settings
from experiments.studies.published.table import tabulate
from experiments.study import Study, Sweep

STUDY = Study(
    name="published",
    summary="Published results on the same data",
    description="LassoNet's selection of 50 pixels of Fashion-MNIST (Lemhadri et al. 2021), by a path of a concave group "
    "penalty on the first layer: published value, ours, difference. Where the package lassonet is installed (the extra "
    "`lassonet`), it runs on the same splits.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(Sweep("lassonet", lassonet.count_splits, lassonet.fit_splits),),
    tabulate=tabulate,
    check=lambda _: idx.load(idx.FASHION),
    excerpts={"lassonet": tabulate},
)
