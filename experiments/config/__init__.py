"""Every setting of the experiments, with its default and its seed, as frozen dataclasses that become the command line."""

from experiments.config.base import SettingError as SettingError
from experiments.config.base import Training as Training
from experiments.config.base import require as require
from experiments.config.base import strengths as strengths
from experiments.config.benchmarks import LassoBenchmark as LassoBenchmark
from experiments.config.benchmarks import SweepBenchmark as SweepBenchmark
from experiments.config.benchmarks import UpdateBenchmark as UpdateBenchmark
from experiments.config.study import QUICK as QUICK
from experiments.config.study import Drawing as Drawing
from experiments.config.study import Study as Study
from experiments.config.study import Sweep as Sweep
