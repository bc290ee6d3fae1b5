//! Gives the crate pyo3's `Py_3_x` cfgs, which choose the raw layouts, and `known_dicts`
//! where those of dicts and of attributes have been read: 3.11 to 3.14, with the GIL.

use pyo3_build_config::BuildFlag;

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo::rustc-check-cfg=cfg(known_dicts)");
    let config = pyo3_build_config::get();
    let (version, flags) = (config.version(), &config.build_flags().0);
    if version.major == 3
        && (11..=14).contains(&version.minor)
        && !flags.contains(&BuildFlag::Py_GIL_DISABLED)
    {
        println!("cargo::rustc-cfg=known_dicts");
    }
}
