"""gpu_check.py GSNAKE [DEVICE]: every family, from a Hugging Face folder, trained on a GPU by the command and by transformers there."""
import concurrent.futures
import pathlib
import sys
import tempfile

import transformers

import reference
from driver import Driver, by_step

transformers.logging.disable_progress_bar()
driver = Driver(sys.argv[1])
device = sys.argv[2] if len(sys.argv) > 2 else "cuda:0"


def trained(folder, dtype):
    (folder / dtype).mkdir()
    reference.write_tokens(folder / dtype / "tokens.bin")
    (folder / dtype / "run.toml").write_text(reference.config_text(folder / "hf", dtype, device))
    driver.run("train", "run.toml", folder=folder / dtype)
    return by_step(folder / dtype, "loss")


with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(8) as pool:
    cases = []
    for seed, (name, spec) in enumerate({**reference.FIXTURES, **reference.OTHERS}.items(), 100):
        place = pathlib.Path(folder) / name
        reference.make(place / "hf", spec, seed)
        cases += [(name, place, dtype, limits, pool.submit(trained, place, dtype)) for dtype, limits in (("fp32", (1e-5, 1e-4)), ("bf16", (1e-2, 1e-2)))]
    expected = {name: reference.losses(place / "hf", device) for name, place in {(name, place) for name, place, *_ in cases}}
    for name, place, dtype, (first, all_steps), losses in cases:
        errors = [abs(a / b - 1) for a, b in zip(losses.result(), expected[name], strict=True)]
        driver.expect(errors[0] <= first and max(errors) <= all_steps, f"{name} {dtype}: loss within {errors[0]:.1e} at step 1, {max(errors):.1e} over {len(errors)} steps")
sys.exit(f"{len(driver.failures)} comparisons failed" if driver.failures else 0)
