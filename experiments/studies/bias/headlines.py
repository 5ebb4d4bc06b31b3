"""The numbers of this study's claim in a few short lines, for the table of claims in the
documents.
"""

from collections.abc import Sequence

from experiments.claims import Finding
from experiments.study import Results


def bias(results: Results, findings: Sequence[Finding]) -> list[str]:
    """Shrinkage, signal explained and irrelevant columns of the linear models, and shrinkage and
    accuracy of the networks.

    Args:
        results: the results of the study.
        findings: of the linear model six on shrinkage (L1, refitted, MCP and MCP minus L1, log-sum
            and log-sum minus L1), four on the signal explained (refitted, refitted at its own λ,
            MCP, log-sum) and two on irrelevant columns (MCP, log-sum); of the network two on L1
            (shrinkage, refitting), then three on MCP (shrinkage, and shrinkage and accuracy minus
            L1) and three on log-sum.

    Returns:
        The lines.
    """
    l1, refitted, mcp, _, log_sum, _ = findings[:6]
    same, own, mcp_explained, log_sum_explained = findings[6:10]
    mcp_columns, log_sum_columns = findings[10:12]
    shrunk, gain, *network = findings[12:]
    network_at = f"network, {100 * float(results['network']['share']):g} % of the weights kept"
    return [
        f"linear model, relevant coefficients kept are too small by: L1 {l1.numbers}, L1 refitted "
        f"{refitted.numbers} %, MCP "
        f"{mcp.numbers}, log-sum {log_sum.numbers}",
        f"linear model, signal explained minus L1: L1 refitted {same.numbers}, refitted at its "
        f"own λ {own.numbers}, MCP "
        f"{mcp_explained.numbers}, log-sum {log_sum_explained.numbers}",
        f"linear model, irrelevant columns kept minus L1: MCP {mcp_columns.numbers}, log-sum "
        f"{log_sum_columns.numbers}",
        f"{network_at}, shrinkage: L1 {shrunk.numbers}, MCP {network[0].numbers}, log-sum "
        f"{network[3].numbers}",
        f"{network_at}, test accuracy: L1 refitted minus L1 {gain.numbers}, MCP minus L1 "
        f"{network[2].numbers}, log-sum "
        f"minus L1 {network[5].numbers}",
    ]
