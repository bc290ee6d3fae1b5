"""Kernels together with what they were compiled to.

Kernel objects of CuPy, Numba, Triton and cuda.core can be pickled as they are; they go as source,
and the receiver compiles them. A `Bundle` adds compiled code, for receivers without a compiler,
or without the time::

    from ferropickle import kernels

    bundle = kernels.bundle(kernel, images={"sm_90": cubin}, ptx=ptx)
    data = fp.dumps(bundle)         # loads as the kernel, not as the bundle

The receiver loads the first that fits its device and driver, and an error says why each did not.
Such streams need ferropickle to load.
"""

from ferropickle.kernels._bundle import Bundle, KernelError, bundle
from ferropickle.kernels._choose import Target
from ferropickle.kernels._numba import NumbaBundle

__all__ = ["Bundle", "KernelError", "NumbaBundle", "Target", "bundle"]
