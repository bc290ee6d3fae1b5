//! NumPy arrays and scalars: rebuilt by NumPy's own functions, which the stream
//! names; there is nothing to do natively yet. The twin of `walk/numpy.rs`.
