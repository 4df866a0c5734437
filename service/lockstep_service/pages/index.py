"""The page at /: the served versions, and what was proved about them on this machine."""

from __future__ import annotations

from html import escape

from lockstep.proof.load import LoadProof
from lockstep_service.repository.repository import Repository

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Lockstep</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc }}
</style></head><body>
<h1>Lockstep</h1>
<p>Locked in inference mode, and proved so on this machine before the first answer.</p>
<table><tr><th>model</th><th>version</th><th>task</th><th>engine</th><th>golden rows' bits</th>
<th>same bits in any batch, tried in</th><th>digest</th></tr>{rows}</table>{refused}
<p><a href="docs">Documentation</a> · <a href="openapi.json">OpenAPI</a> ·
<a href="metrics">Metrics</a></p>
</body></html>
"""


def index_page(repository: Repository) -> str:
    """The page as HTML: served versions with their proofs, and refused versions with reasons."""
    rows = "".join(
        f"<tr><td>{escape(served.manifest.name)}</td><td>{served.manifest.version}</td>"
        f"<td>{served.manifest.task}</td>"
        f"<td>{served.proof.engine}, {served.manifest.precision}</td>"
        f"<td>{served.proof.golden}</td><td>{_invariance(served.proof)}</td>"
        f"<td><code>{served.artifact.digest[:12]}</code></td></tr>"
        for served in repository
    )
    refused = "".join(
        f"<li>{escape(name)}, version {version}: {escape(reason)}</li>"
        for name, model in repository.models.items()
        for version, reason in model.refused.items()
    )
    return PAGE.format(rows=rows, refused=f"<h2>Refused</h2><ul>{refused}</ul>" if refused else "")


def _invariance(proof: LoadProof) -> str:
    sizes = f"{proof.batch_invariance.tried} of {proof.batch_invariance.asked} batch sizes"
    return f"in a tile of {proof.tile} rows" if proof.tile else sizes
