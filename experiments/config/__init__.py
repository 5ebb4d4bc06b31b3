"""Every setting of the experiments, with its default and its seed, as frozen dataclasses that become the command line."""

from experiments.config.base import SettingError as SettingError
from experiments.config.base import Training as Training
from experiments.config.base import require as require
from experiments.config.base import strengths as strengths
from experiments.config.baselines import QUICK_BASELINES as QUICK_BASELINES
from experiments.config.baselines import Baselines as Baselines
from experiments.config.baselines import PairStudy as PairStudy
from experiments.config.baselines import TiltStudy as TiltStudy
from experiments.config.benchmarks import LassoBenchmark as LassoBenchmark
from experiments.config.benchmarks import SweepBenchmark as SweepBenchmark
from experiments.config.benchmarks import UpdateBenchmark as UpdateBenchmark
from experiments.config.claims import QUICK_CLAIMS as QUICK_CLAIMS
from experiments.config.claims import ChatterStudy as ChatterStudy
from experiments.config.claims import Claims as Claims
from experiments.config.claims import LinearStudy as LinearStudy
from experiments.config.claims import RelevanceStudy as RelevanceStudy
from experiments.config.claims import StrengthStudy as StrengthStudy
from experiments.config.images import FASHION as FASHION
from experiments.config.images import MNIST as MNIST
from experiments.config.images import Images as Images
from experiments.config.images import image_defaults as image_defaults
from experiments.config.report import Report as Report
from experiments.config.study import QUICK as QUICK
from experiments.config.study import Drawing as Drawing
from experiments.config.study import Study as Study
from experiments.config.study import Sweep as Sweep
