//! Gives the crate pyo3's `Py_3_x` cfgs, which choose the raw layouts.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
