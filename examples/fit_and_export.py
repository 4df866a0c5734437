"""Fit a classifier, export it as a proved artifact, and verify what was written.

Run it with::

    pip install '.[train]'
    python examples/fit_and_export.py [MODELS]
"""

import sys

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from lockstep import LockstepClassifier, verify


def main(models: str = "models") -> None:
    """Fit, export and verify.

    Args:
        models: the folder that the artifact is written into, as tumours/1, or the next version.
    """
    features, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(features, labels, random_state=0)

    model = LockstepClassifier(epochs=20, random_state=0).fit(seen, seen_labels)
    print(f"accuracy on unseen rows: {model.score(unseen, unseen_labels):.3f}")

    artifact = model.export(models, name="tumours", X=unseen, y=unseen_labels)
    verification = verify(artifact.path)
    print(f"{artifact.path} {'holds' if verification.holds else 'does not hold'}")
    print(f"serve it: lockstep serve --models {models}")


if __name__ == "__main__":
    main(*sys.argv[1:])
