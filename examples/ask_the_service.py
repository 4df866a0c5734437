"""Ask a running service for a row alone, as JSON, and among others, as bytes: the same bits.

Run it with::

    pip install httpx
    lockstep serve &
    python examples/ask_the_service.py [URL]
"""

import io
import sys

import httpx
import numpy as np

NPY = "application/x-npy"


def main(url: str = "http://localhost:8080") -> None:
    """Ask twice, and compare the first row's answers.

    Args:
        url: of a service that serves the digits, the model that ships.
    """
    rows = np.random.default_rng(0).integers(0, 17, (32, 64)).astype(np.float32)  # 8 × 8 images
    with httpx.Client(base_url=url, timeout=10) as service:
        alone = service.post("/predict", json={"instances": rows[:1].tolist()})
        alone.raise_for_status()

        body = io.BytesIO()
        np.save(body, rows)
        headers = {"Content-Type": NPY, "Accept": NPY}
        together = service.post("/predict", content=body.getvalue(), headers=headers)
        together.raise_for_status()

    prediction = alone.json()["predictions"][0]
    in_json = np.array(prediction["probabilities"], np.float32)
    in_bytes = np.load(io.BytesIO(together.content))[0]
    same = in_json.tobytes() == in_bytes.tobytes()
    print(f"label {prediction['label']}, probability {in_json.max():.4f}")
    print(f"alone and among {len(rows)} rows: {'the same' if same else 'other'} bits")


if __name__ == "__main__":
    main(*sys.argv[1:])
