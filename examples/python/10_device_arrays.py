"""Arrays on a device, inside any object: to another process, and a training step through a queue.

Takes Numba or CuPy, and PyTorch for the second part; says so where there is no device.
"""

import importlib.util
import multiprocessing.process

import ferropickle as fp
import ferropickle.multiprocessing as mp
from ferropickle._native import device_ids


def made(numbers: list[float]) -> object:
    """An array on the device, of the library that is installed."""
    import numpy as np

    if importlib.util.find_spec("numba_cuda") is not None:
        from numba import cuda

        return cuda.to_device(np.array(numbers))
    import cupy

    return cupy.asarray(numbers)


def on_host(array: object) -> list[float]:
    found = array.get() if hasattr(array, "get") else array.copy_to_host()  # type: ignore[attr-defined]
    return list(found)


def double(batch: dict) -> dict:
    """In the other process: the array is there, on the device; one goes back."""
    return {**batch, "weights": made([2 * x for x in on_host(batch["weights"])])}


def add_up(channel: fp.Channel) -> None:
    """In the other process: each batch is answered with the sum of its weights."""
    with channel:
        for batch in channel:
            channel.send(sum(on_host(batch["weights"])))


def train(queue: mp.Queue) -> None:
    """A step of training, whose tensors go to whoever watches."""
    import torch

    model = torch.nn.Linear(4, 2).cuda()
    loss = model(torch.ones(3, 4, device="cuda")).square().mean()
    loss.backward()
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    queue.put(fp.pack({"step": 1, "loss": loss.detach(), "state": state}))


def main() -> None:
    try:
        devices = device_ids()
    except fp.DeviceError as error:
        print(f"nothing is shown here: {error}")
        return
    if all(importlib.util.find_spec(name) is None for name in ("cupy", "numba_cuda")):
        print("nothing is shown here: neither CuPy nor numba-cuda is installed")
        return

    # No driver survives a fork: the others are spawned.
    context = mp.get_context("spawn")
    batch = {"name": "first", "weights": made([1.0, 2.0, 3.0])}
    with context.Pool(1) as pool:
        answer = pool.apply(double, (batch,))
    assert on_host(answer["weights"]) == [2.0, 4.0, 6.0]
    print(f"to another process and back, on {devices[0]}: {answer['name']}")

    # A parcel that stays on the device, in this process.
    parcel = fp.pack(batch, policy=fp.Policy(device="device"))
    assert on_host(fp.unpack(parcel)["weights"]) == [1.0, 2.0, 3.0]

    # A channel keeps them there on the way to another process, once that has mapped memory of ours.
    here, there = fp.Channel.pair()
    watcher: multiprocessing.process.BaseProcess = context.Process(target=add_up, args=(there,))
    watcher.start()
    there.close()
    with here, fp.policy(device="auto"):
        for _ in range(3):
            here.send(batch)
            assert here.recv(timeout=120) == 6.0
    watcher.join()

    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed, so no step of training is shown")
        return
    queue = context.Queue()
    process: multiprocessing.process.BaseProcess = context.Process(target=train, args=(queue,))
    process.start()
    seen = fp.unpack(queue.get(timeout=120))
    process.join()
    print(f"step {seen['step']}: loss {seen['loss'].item():.3f} on {seen['loss'].device}")


if __name__ == "__main__":
    main()
