"""Published results, computed again on the published data."""

from experiments import idx
from experiments.studies.published import diabetes, lassonet
from experiments.studies.published.settings import QUICK, Settings
from experiments.studies.published.table import diabetes_table, lassonet_table, tabulate
from experiments.study import Study, Sweep

STUDY = Study(
    name="published",
    summary="Published results on the same data",
    description="Published value, ours, difference. On scikit-learn's diabetes data: the lasso "
    "path of Efron et al. (2004), "
    "the coefficients of Park and Casella (2008), and u⊙v under weight decay as L1 (Ziyin and "
    "Wang 2023). On Fashion-MNIST: "
    "LassoNet's selection of 50 pixels (Lemhadri et al. 2021), by a path of a concave group "
    "penalty on the first layer; "
    "where the package lassonet is installed (the extra `lassonet`), it runs on the same splits.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("diabetes", diabetes.count_parts, diabetes.fit_diabetes),
        Sweep("lassonet", lassonet.count_splits, lassonet.fit_splits),
    ),
    tabulate=tabulate,
    check=lambda _: idx.load(idx.FASHION),
    excerpts={"diabetes": diabetes_table, "lassonet": lassonet_table},
)
