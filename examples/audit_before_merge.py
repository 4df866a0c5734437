"""Export one network twice, once by mistake in training mode, and let the audit tell them apart.

Run it with::

    pip install '.[train]'
    python examples/audit_before_merge.py
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

from lockstep import audit


def main() -> None:
    """Write both files into a temporary folder, and print what the audit says of each."""
    network = nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2)
    )
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("eval", "train"):
            file = Path(folder) / f"exported_in_{mode}.onnx"
            network.train(mode == "train")
            torch.onnx.export(network, (torch.randn(3, 4),), file, verbose=False)
            report = audit(file)
            print(f"{file.name}: {report.verdict}")
            for finding in report.findings:
                print(f"  {finding}")


if __name__ == "__main__":
    main()
